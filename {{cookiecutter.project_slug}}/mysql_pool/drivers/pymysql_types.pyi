"""Types of what PyMySQL 1.1 and 1.2 have inside and their stubs leave out. Never imported: a type
checker reads it in place of PyMySQL's own classes, from which `pymysql_driver` inherits.
"""

from typing import Any

from pymysql.connections import Connection, MySQLResult

class DriverResult(MySQLResult):
    """``pymysql.connections.MySQLResult``."""

    message: Any
    server_status: Any
    has_next: Any

    def _check_packet_is_eof(self, packet: Any) -> bool: ...
    def _read_ok_packet(self, packet: Any) -> None: ...

class DriverConnection(Connection[Any]):
    """``pymysql.connections.Connection``."""

    server_capabilities: int
    server_status: int
    server_version: str
    _affected_rows: int | None
    _next_seq_id: int
    _read_timeout: float | None
    _result: Any
    _rfile: Any
    _sock: Any
    _write_timeout: float | None

    def __init__(self, **parameters: Any) -> None: ...
    def query(self, sql: str | bytes, unbuffered: bool = False) -> Any: ...
    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> Any: ...
    def _execute_command(self, command: int, sql: bytes) -> None: ...
    def _force_close(self) -> None: ...
    def _read_ok_packet(self) -> Any: ...
    def _request_authentication(self) -> None: ...
    def _write_bytes(self, data: bytes) -> None: ...
