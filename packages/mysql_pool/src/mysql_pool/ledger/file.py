"""The ledger's file: kernel locks on byte ranges, and beside them what the pools write.

The locks are "open file description" locks (``F_OFD_SETLK``, Linux 3.15). Both kinds were tried. A
process lock is lost when *any* descriptor of the file is closed in that process (a backup tool in
a thread, a second pool), and two pools of one process do not exclude each other with it. An open
file description's lock survives both. It is shared with the child of a fork: the child has to close
its copy, and must not unlock, which would unlock for the parent (see `LedgerFile.close`).
Whoever dies, however it dies, loses its locks when the kernel closes its files.

The file is read and written with system calls, and not mapped into memory: a process that touches a
mapped page of a file that was truncated is killed by SIGBUS. Locks hold beyond the end of the file
and on an empty one.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Collection

from . import record as records
from .record import Record

MAGIC = b"mysql_pool ledger 1\n"
RECORDS = 256
ROLES = 16
"""So many roles have totals of processes that have ended; further ones share the last."""

_HEADER = 64  # bytes: MAGIC, then since when it waits for the users of a deleted file (0: no)
_WAITS = struct.Struct("<d")
_TOTALS_AT = _HEADER
_RECORDS_AT = _TOTALS_AT + ROLES * records.SIZE
_SLOTS_AT = _RECORDS_AT + RECORDS * records.SIZE
_SLOT = struct.Struct("<QQQ")

# Locks are far behind whatever is written, and in the same place in every version of this file.
_LOCKS_AT = 1 << 40
_TOTALS_LOCK, _TEST_LOCK, _TRY_LOCK = (_LOCKS_AT + (1 << 16) + number for number in range(3))
_SLOT_LOCKS_AT = _LOCKS_AT + (1 << 20)
_FLOCK = "hhqqi0q"

# Other systems than Linux have no such clock, and no locks that a ledger could use.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# Users of a deleted file move to the new one within a fraction of a second (see ``Share``), or hold
# no more than one connection and are asleep: a program with one thread.
LONGEST_MOVE = 5.0  # seconds


class Unusable(Exception):
    """The file cannot be used; the message says why, in words."""


class SlotOwner:
    """Who has a slot, and which connection is in it. All 0: nobody, and none."""

    __slots__ = ("number", "record", "server")

    def __init__(self, record: int, number: int, server: int):
        self.record = record
        """The number of the record, from 1 on."""
        self.number = number
        """The connection's number at the server. It stays behind when a process dies."""
        self.server = server
        """A number made of the server's identity."""


def now() -> float:
    """Seconds on a clock that all processes of a host share."""
    return time.clock_gettime(_CLOCK)


class LedgerFile:
    """An open ledger. Raises `Unusable` if there can be none at this path.

    With ``create`` it is made if there is none, and so is its folder, for this user alone.
    """

    def __init__(self, path: str, *, create: bool = True):
        self._fd = self._folder = -1
        self.path = path
        self._may_create = create
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise Unusable("this system has no open file description locks (Linux has)")
        try:
            self._open()
        except OSError as error:
            self.close()
            raise Unusable(error.strerror or str(error)) from None
        except Unusable:
            self.close()
            raise

    def _open(self) -> None:
        folder = os.path.dirname(self.path)
        if self._may_create:
            os.makedirs(folder, 0o700, exist_ok=True)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        created = False
        try:
            self._fd = os.open(self.path, flags)
        except FileNotFoundError:
            if not self._may_create:
                raise
            try:
                self._fd = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
                created = True
            except FileExistsError:  # another process was quicker
                self._fd = os.open(self.path, flags)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise Unusable("it is no regular file")
        if status.st_uid != os.geteuid():
            raise Unusable(f"it belongs to the user {status.st_uid}, not to {os.geteuid()}")
        self._inode = (status.st_dev, status.st_ino)
        self._check_locks()
        head = os.pread(self._fd, len(MAGIC), 0)
        if head.strip(b"\0") and head != MAGIC:
            raise Unusable("it was written by another version of mysql_pool, or is none of its own")
        if created:
            self._write(_WAITS.pack(0.0 if self._nobody_has_another() else now()), len(MAGIC))
        if head != MAGIC:
            self._write(MAGIC, 0)
        if self.is_ready():
            self._attend()

    def _check_locks(self) -> None:
        """Whether locks on this file system exclude anybody."""
        other = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(other).st_ino != self._inode[1]:
                return  # it was replaced this very moment: `is_current` tells
            if not _lock(self._fd, _TEST_LOCK):
                return  # another process tests: that it excludes us is the answer
            excluded = not _lock(other, _TEST_LOCK)
            _unlock(self._fd, _TEST_LOCK)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise Unusable(f"its file system has no locks ({error.strerror})") from None
            raise
        finally:
            os.close(other)
        if not excluded:
            raise Unusable("locks on its file system exclude nobody")

    # -- a file that was deleted or replaced ---------------------------------------------------

    def is_current(self) -> bool:
        """Whether the path still leads to this file. One system call."""
        try:
            status = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode

    def is_ready(self) -> bool:
        """Whether connections may be opened. Not yet while users of a deleted file are moving."""
        data = os.pread(self._fd, _WAITS.size, len(MAGIC))
        since = _WAITS.unpack(data)[0] if len(data) == _WAITS.size else 0.0
        if not since:
            return True
        if not self._nobody_has_another() and 0 <= now() - since < LONGEST_MOVE:
            return False
        self._write(_WAITS.pack(0.0), len(MAGIC))
        self._attend()
        return True

    def wait_for_movers(self) -> None:
        """Called by a user of the file that was here before: others of those have yet to move. A
        copy that was put in its place does not say so by itself."""
        self._write(_WAITS.pack(now()), len(MAGIC))
        with contextlib.suppress(OSError):
            fcntl.flock(self._folder, fcntl.LOCK_UN)

    def _attend(self) -> None:
        """Say with a lock on the folder that a file in it is in use."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._folder, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _nobody_has_another(self) -> bool:
        """Whether no process uses a file of this folder that has become ready."""
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        fcntl.flock(self._folder, fcntl.LOCK_UN)
        return True

    # -- records ---------------------------------------------------------------------------

    def take_record(self) -> int:
        """The number of a record that is this user's now, from 0 on. Raises `Unusable`.

        What an ended process has counted there goes to the totals first.
        """
        for number in range(RECORDS):
            if _lock(self._fd, _LOCKS_AT + number):
                left = self._read_record(number)
                # Another process adds up, and may have been stopped: leave this one to others.
                if left is not None and not self._add_up(left):
                    _unlock(self._fd, _LOCKS_AT + number)
                    continue
                self._write(bytes(records.SIZE), _RECORDS_AT + number * records.SIZE)
                return number
        raise Unusable(f"it has room for {RECORDS} pools, and as many processes use it")

    def write_record(self, number: int, record: Record) -> None:
        """Write this user's own record. On a full disk nothing happens."""
        self._write(records.write(record), _RECORDS_AT + number * records.SIZE)

    def read_records(self, but: int | None = None) -> dict[int, tuple[Record, bool]]:
        """All records by their numbers, and whether each one's process lives; without ``but``."""
        data = os.pread(self._fd, RECORDS * records.SIZE, _RECORDS_AT)
        found = {}
        for number in range(len(data) // records.SIZE):
            at = number * records.SIZE
            if number == but or not any(data[at : at + 8]):  # no pid
                continue
            # Half-written: once more.
            record = records.read(data[at : at + records.SIZE]) or self._read_record(number)
            if record is not None:
                found[number] = record, self.record_lives(number)
        return found

    def record_lives(self, number: int) -> bool:
        """Whether somebody else has this record. One system call."""
        return _is_locked(self._fd, _LOCKS_AT + number)

    def _read_record(self, number: int) -> Record | None:
        data = os.pread(self._fd, records.SIZE, _RECORDS_AT + number * records.SIZE)
        return records.read(data) if len(data) == records.SIZE else None

    # -- totals of those that have ended -----------------------------------------------------

    def read_totals(self) -> list[Record]:
        """What processes that have ended had counted, by role and alias."""
        data = os.pread(self._fd, ROLES * records.SIZE, _TOTALS_AT)
        found = [
            records.read(data[at : at + records.SIZE])
            for at in range(0, len(data) - records.SIZE + 1, records.SIZE)
        ]
        return [record for record in found if record is not None]

    def _add_up(self, ended: Record) -> bool:
        """Whether it could be done now. Nothing here may wait: the caller has its pool's lock."""
        if not _lock(self._fd, _TOTALS_LOCK):
            return False
        try:
            totals = self.read_totals()
            place = next(
                (
                    place
                    for place, total in enumerate(totals)
                    if (total.role, total.alias) == (ended.role, ended.alias)
                ),
                min(len(totals), ROLES - 1),
            )
            total = ended.added_to(totals[place] if place < len(totals) else None)
            self._write(records.write(total), _TOTALS_AT + place * records.SIZE)
        finally:
            _unlock(self._fd, _TOTALS_LOCK)
        return True

    # -- slots -------------------------------------------------------------------------------

    def read_slots(self, number: int) -> list[SlotOwner]:
        """The first ``number`` slots."""
        data = os.pread(self._fd, number * _SLOT.size, _SLOTS_AT)
        return [
            SlotOwner(*one) for one in _SLOT.iter_unpack(data.ljust(number * _SLOT.size, b"\0"))
        ]

    def lock_slot(self, slot: int) -> bool:
        """Take this slot; False if somebody has it."""
        return _lock(self._fd, _SLOT_LOCKS_AT + slot)

    def slot_is_locked(self, slot: int) -> bool:
        """Whether somebody else has this slot."""
        return _is_locked(self._fd, _SLOT_LOCKS_AT + slot)

    def unlock_slot(self, slot: int) -> None:
        """Let go of a slot."""
        _unlock(self._fd, _SLOT_LOCKS_AT + slot)

    def may_try(self) -> bool:
        """Whether this user may take a slot about which nobody could be asked: one at a time may,
        of all users. Until `end_try`."""
        return _lock(self._fd, _TRY_LOCK)

    def end_try(self) -> None:
        """It has come out what was in the slot."""
        _unlock(self._fd, _TRY_LOCK)

    def keep_slots(self, slots: Collection[int]) -> None:
        """Let go of all slots but these."""
        begin = 0
        for slot in sorted(slots):
            if slot > begin:
                _unlock(self._fd, _SLOT_LOCKS_AT + begin, slot - begin)
            begin = slot + 1
        _unlock(self._fd, _SLOT_LOCKS_AT + begin, 0)  # 0: and all that follow

    def write_slot(self, slot: int, owner: SlotOwner | None) -> None:
        """Say who has a slot and which connection is in it; None: nobody, and none."""
        values = (owner.record, owner.number, owner.server) if owner else (0, 0, 0)
        self._write(_SLOT.pack(*values), _SLOTS_AT + slot * _SLOT.size)

    # -- the end -------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of everything. In the child of a fork this lets go of nothing: the locks are the
        parent's, as long as the parent has its own descriptor."""
        # Forgotten first: a second close() would close what has this number by then.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(folder)

    def __del__(self) -> None:
        # An exception of a signal handler may strike before anybody has this object.
        self.close()

    def _write(self, data: bytes, at: int) -> None:
        with contextlib.suppress(OSError):  # a full disk: the locks hold all the same
            os.pwrite(self._fd, data, at)


def _lock(fd: int, at: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, at))
    except (BlockingIOError, PermissionError):  # POSIX allows EACCES too
        return False
    return True


def _unlock(fd: int, at: int, length: int = 1) -> None:
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, at, length))


def _is_locked(fd: int, at: int) -> bool:
    answer: bytes = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, at))
    kind: int = struct.unpack(_FLOCK, answer)[0]
    return kind != fcntl.F_UNLCK


def _flock(kind: int, at: int, length: int = 1) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, at, length, 0)
