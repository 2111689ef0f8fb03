"""What a pool tells of itself in the ledger: one record of fixed size, which only it writes.

A reader may meet a half-written one: the check sum tells. `Record` is everything that a reader can
know of a pool, of a living process or of one that has ended.
"""

import struct
import zlib
from dataclasses import dataclass, fields

SIZE = 256  # bytes
NAME = 24  # bytes of a role or an alias


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One pool of one process: connections, counters since its start, and seconds."""

    pid: int = 0
    started_at: float = 0.0
    """On the clock of the whole host that does not stop (CLOCK_BOOTTIME)."""
    written_at: float = 0.0
    """On the same clock."""
    guaranteed: int = 0
    most: int = 0
    """So many it may have at this moment."""
    open: int = 0
    in_use: int = 0
    idle: int = 0
    waiting: int = 0
    pinned: int = 0
    """Connections that are kept until a request ends, since the start."""
    peak: int = 0
    checkouts: int = 0
    waits: int = 0
    wait_seconds: float = 0.0
    held_seconds: float = 0.0
    timeouts: int = 0
    rejected: int = 0
    created: int = 0
    connect_errors: int = 0
    closed: int = 0
    role: str = ""
    alias: str = ""

    @property
    def wanted(self) -> int:
        """Connections in use and waited for."""
        return self.in_use + self.waiting

    def added_to(self, total: "Record | None") -> "Record":
        """The sums of the counters, for processes that have ended."""
        before = total or Record()
        sums = {name: getattr(before, name) + getattr(self, name) for name in COUNTERS}
        return Record(role=self.role, alias=self.alias, **sums)


#: What is added up when a process has ended.
COUNTERS = (
    *("pinned", "checkouts", "waits", "wait_seconds", "held_seconds", "timeouts", "rejected"),
    *("created", "connect_errors", "closed"),
)
_NUMBERS = {field.name: field.type for field in fields(Record) if field.type is not str}
_FORMAT = struct.Struct(
    f"<{''.join('d' if kind is float else 'Q' for kind in _NUMBERS.values())}{NAME}s{NAME}s"
)
_SUM = struct.Struct("<I")


def write(record: Record) -> bytes:
    """The record as `SIZE` bytes."""
    values = [getattr(record, name) for name in _NUMBERS]
    text = _FORMAT.pack(*values, _name(record.role), _name(record.alias))
    return (text + _SUM.pack(zlib.crc32(text))).ljust(SIZE, b"\0")


def read(data: bytes | memoryview) -> Record | None:
    """The record in `SIZE` bytes; None if there is none, or only half of one."""
    text = bytes(data[: _FORMAT.size])
    (check,) = _SUM.unpack_from(data, _FORMAT.size)
    if not any(text) or zlib.crc32(text) != check:
        return None
    *values, role, alias = _FORMAT.unpack(text)
    numbers = dict(zip(_NUMBERS, values, strict=True))
    return Record(**numbers, role=_text(role), alias=_text(alias))


def _name(text: str) -> bytes:
    return text.encode()[:NAME]


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
