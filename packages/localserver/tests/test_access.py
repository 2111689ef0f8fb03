"""Who may log in to the private server, how often at once, and what comes back."""

from collections.abc import Callable

import pymysql
import pytest

from localserver.server import Server

pytestmark = pytest.mark.server

StartServer = Callable[..., Server]


def connect(server: Server, user: str, password: str, **more: object) -> pymysql.Connection:
    return pymysql.connect(unix_socket=server.socket, user=user, password=password, **more)


def test_an_accounts_limit_is_held_by_the_server(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("shop")
    server.ensure_account("shop", "secret", "shop", max_user_connections=2)
    held = [connect(server, "shop", "secret") for _ in range(2)]
    with pytest.raises(pymysql.err.OperationalError) as refused:
        connect(server, "shop", "secret")
    assert refused.value.args[0] in (1203, 1226)  # ER_TOO_MANY_USER_CONNECTIONS, _LIMIT_REACHED
    for one in held:
        one.close()


def test_ensuring_an_account_again_corrects_it(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("shop")
    server.ensure_account("shop", "old", "shop", privileges="ALL")
    server.ensure_account("shop", "it's \\ new", "shop", 5, privileges="SELECT")
    with pytest.raises(pymysql.err.OperationalError):
        connect(server, "shop", "old")
    with connect(server, "shop", "it's \\ new", database="shop") as connection:
        with connection.cursor() as cursor, pytest.raises(pymysql.err.OperationalError) as denied:
            cursor.execute("CREATE TABLE t (n INT)")
        assert denied.value.args[0] == 1142  # ER_TABLEACCESS_DENIED_ERROR


def test_an_underscore_in_a_database_name_is_no_wildcard(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("a_b")
    server.ensure_database("axb")
    server.ensure_account("a_b", "secret", "a_b")
    with pytest.raises(pymysql.err.OperationalError) as denied:
        connect(server, "a_b", "secret", database="axb")
    assert denied.value.args[0] == 1044  # ER_DBACCESS_DENIED_ERROR


def test_the_administrator_cannot_log_in_over_tcp(new_server: StartServer) -> None:
    server = new_server(tcp=True)
    assert server.port is not None
    for user in ("root", server.sql("SELECT CURRENT_USER()")[0][0].split("@")[0]):
        with pytest.raises(pymysql.err.OperationalError) as denied:
            pymysql.connect(host="127.0.0.1", port=server.port, user=user, password="")
        assert denied.value.args[0] in (1045, 1130, 1698)


def test_the_administrator_gets_in_when_every_connection_is_taken(new_server: StartServer) -> None:
    server = new_server(max_connections=12)
    server.ensure_account("greedy", "secret", "test")
    held = [connect(server, "greedy", "secret") for _ in range(12)]
    with pytest.raises(pymysql.err.OperationalError) as refused:
        connect(server, "greedy", "secret")
    assert refused.value.args[0] == 1040  # ER_CON_COUNT_ERROR
    assert len(server.sql("SHOW PROCESSLIST")) >= 12
    for one in held:
        one.close()


def test_the_tcp_port_is_kept_over_a_restart(new_server: StartServer) -> None:
    server = new_server(tcp=True)
    port = server.port
    server.restart()
    assert server.port == port
    assert server.sql("SELECT @@port, @@bind_address") == [[str(port), "127.0.0.1"]]


def test_values_come_back_as_they_are(new_server: StartServer) -> None:
    rows = new_server().sql(r"SELECT 'tab\there', 'line\nbreak', 'back\\slash', 'back\\not', 'ö'")
    assert rows == [["tab\there", "line\nbreak", "back\\slash", "back\\not", "ö"]]
