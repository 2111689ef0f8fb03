"""The ledger's file and its locks, on a real file system and with real processes. No server."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mysql_pool.ledger import file as ledger_file
from mysql_pool.ledger.bell import Bell
from mysql_pool.ledger.file import MAGIC, RECORDS, ROLES, LedgerFile, SlotOwner, Unusable
from mysql_pool.ledger.reading import read_host
from mysql_pool.ledger.record import Record

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user, a mount")


@pytest.fixture
def opened(ledger):
    """``opened(path)`` opens a ledger: this test's, or another one."""
    files = []

    def make(path=ledger):
        files.append(LedgerFile(str(path)))
        return files[-1]

    yield make
    for one in files:
        one.close()


@contextlib.contextmanager
def child(function):
    """A forked process that calls ``function`` and then sleeps; it is killed at the end."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os.write(tell, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(ready, 1) == b"!"
    os.close(ready)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def run_python(code, *arguments, **options):
    """What another Python prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


TRY = """
import sys
from mysql_pool.ledger.file import LedgerFile, Unusable
try:
    LedgerFile(sys.argv[1])
except Unusable as error:
    print(error)
"""

# -- locks -----------------------------------------------------------------------------------------


def test_two_pools_of_a_process_exclude_each_other(opened):
    one, two = opened(), opened()
    assert one.lock_slot(3)
    assert not two.lock_slot(3)
    assert two.slot_is_locked(3)
    assert two.lock_slot(4)
    one.unlock_slot(3)
    assert two.lock_slot(3)


def test_who_has_a_lock_does_not_see_it(opened):
    one = opened()
    assert one.lock_slot(3)
    assert not one.slot_is_locked(3)


def test_a_backup_tool_in_the_same_process_takes_no_lock_away(opened, ledger):
    one, two = opened(), opened()
    assert one.lock_slot(3)
    ledger.read_bytes()
    opened().close()
    assert not two.lock_slot(3)


def test_the_end_of_a_pool_frees_all_of_it(opened):
    one, two = opened(), opened()
    assert one.lock_slot(3)
    one.close()
    assert two.lock_slot(3)


def test_a_child_that_lets_go_takes_nothing_from_its_parent(opened):
    one, two = opened(), opened()
    number = one.take_record()
    assert one.lock_slot(3)
    with child(one.close):
        assert two.slot_is_locked(3)
        assert two.record_lives(number)


def test_a_child_that_lives_on_keeps_nothing_of_a_parent_that_was_killed(opened, ledger):
    """As when the main process of Celery is killed and its children are not, yet."""
    code = """
import os, signal, sys, time
from mysql_pool.ledger.share import Share, Terms
from mysql_pool.ledger.record import Record
terms = Terms(path=sys.argv[1], host_conns=4, guaranteed=1, static_conns=1, role="")
share = Share(terms, lambda: Record(pid=os.getpid()))
assert share.take(time.monotonic()).number == 0
os.register_at_fork(after_in_child=share.forget)  # as registry.py
ready, tell = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(tell, b"!")
    signal.pause()
os.read(ready, 1)
print(pid, flush=True)
signal.pause()
"""
    mine = opened()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(ledger)], stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        assert mine.slot_is_locked(0)
        assert mine.record_lives(0)
        parent.kill()
        parent.wait()
        try:
            os.kill(pid, 0)
            assert not mine.slot_is_locked(0)
            assert not mine.record_lives(0)
        finally:
            os.kill(pid, signal.SIGKILL)


def test_a_killed_process_leaves_what_it_has_written(opened):
    mine = opened()

    def take():
        his = LedgerFile(mine.path)
        his.write_record(his.take_record(), Record(pid=os.getpid(), role="job", checkouts=7))
        assert his.lock_slot(3)
        his.write_slot(3, SlotOwner(1, 99, 12))

    with child(take) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert not mine.slot_is_locked(3)
        assert [(one.record, one.number, one.server) for one in mine.read_slots(5)] == [
            *[(0, 0, 0)] * 3,
            (1, 99, 12),
            (0, 0, 0),
        ]
        assert [lives for _, lives in mine.read_records().values()] == [False]


# -- records ---------------------------------------------------------------------------------------


def test_records_are_used_again_and_what_was_counted_is_kept(opened, ledger):
    for _ in range(5):
        one = opened()
        one.write_record(one.take_record(), Record(pid=1, role="job", alias="default", checkouts=7))
        one.close()
    host = read_host(str(ledger))
    assert host.living == []
    assert [(total.role, total.alias, total.checkouts) for total in host.ended] == [
        ("job", "default", 35)
    ]


def test_roles_beyond_the_last_one_share_its_totals(opened):
    for number in range(ROLES + 4):
        one = opened()
        one.write_record(one.take_record(), Record(pid=1, role=f"role {number}", checkouts=1))
        one.close()
    one = opened()
    one.take_record()
    totals = one.read_totals()
    assert len(totals) == ROLES
    assert sum(total.checkouts for total in totals) == ROLES + 4


def test_totals_are_not_lost_while_another_adds_up(opened, monkeypatch):
    """Many processes begin at the same moment, and one of them may be stopped."""
    busy, one = opened(), opened()
    one.write_record(one.take_record(), Record(pid=1, role="job", checkouts=7))
    one.close()
    assert ledger_file._lock(busy._fd, ledger_file._TOTALS_LOCK)

    def sleep(seconds):
        raise AssertionError("somebody waits, with the pool's lock")

    monkeypatch.setattr(ledger_file.time, "sleep", sleep)
    two = opened()
    two.take_record()
    ledger_file._unlock(busy._fd, ledger_file._TOTALS_LOCK)
    assert sum(total.checkouts for total in read_host(two.path).ended) == 7


def test_there_is_no_room(opened):
    numbers = []
    for _ in range(RECORDS):
        one = opened()
        numbers.append(one.take_record())
    assert numbers == list(range(RECORDS))
    with pytest.raises(Unusable, match="room for 256 pools"):
        opened().take_record()
    one.close()
    assert opened().take_record() == RECORDS - 1


# -- what may lie at the path ----------------------------------------------------------------------


def test_the_first_one_makes_the_file_for_its_user_alone(opened, ledger):
    opened()
    assert ledger.read_bytes().startswith(MAGIC)
    assert ledger.stat().st_mode & 0o777 == 0o600
    assert ledger.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "directory"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "symbolic link"),
        (lambda path: path.write_bytes(b"mysql_pool ledger 2\n"), "another version"),
        (lambda path: path.write_bytes(b"a letter to my mother"), "none of its own"),
    ],
)
def test_what_is_no_ledger_is_left_alone(ledger, make, reason):
    ledger.parent.mkdir()
    make(ledger)
    before = ledger.read_bytes() if ledger.is_file() and not ledger.is_symlink() else None
    with pytest.raises(Unusable, match=reason):
        LedgerFile(str(ledger))
    if before is not None:
        assert ledger.read_bytes() == before


def test_no_folder(tmp_path):
    LedgerFile(str(tmp_path / "no" / "where" / "connections")).close()
    assert (tmp_path / "no" / "where").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="File exists"):
        LedgerFile(str(tmp_path / "file" / "connections"))


def test_a_reader_makes_nothing(ledger):
    with pytest.raises(Unusable):
        read_host(str(ledger))
    assert not ledger.parent.exists()


def test_no_descriptor_is_left_when_it_cannot_be_used(ledger):
    ledger.parent.mkdir()
    os.mkfifo(ledger)
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        with pytest.raises(Unusable):
            LedgerFile(str(ledger))
    assert os.listdir("/proc/self/fd") == before


@needs_root
def test_the_file_of_another_user(opened, ledger):
    opened()
    os.chmod(ledger, 0o666)
    for folder in (ledger.parent, ledger.parent.parent):
        os.chmod(folder, 0o755)
    # The user changes when all is imported: it may have no right to the interpreter's folders.
    code = f"import os; os.setuid(65534)\n{TRY.replace('import sys', '', 1)}"
    answer = run_python("import sys, mysql_pool.ledger.file\n" + code, ledger)
    assert answer == "it belongs to the user 0, not to 65534"


@needs_root
def test_a_folder_that_may_not_be_written(ledger):
    ledger.parent.mkdir()
    for folder in (ledger.parent, ledger.parent.parent):
        os.chmod(folder, 0o755)
    code = f"import os; os.setuid(65534)\n{TRY.replace('import sys', '', 1)}"
    answer = run_python("import sys, mysql_pool.ledger.file\n" + code, ledger)
    assert answer == "Permission denied"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB: less than a ledger's records."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_the_locks_hold_on_a_full_disk(small_disk, opened):
    with contextlib.suppress(OSError), (small_disk / "much").open("wb", buffering=0) as much:
        while True:
            much.write(bytes(4096))
    one, two = opened(small_disk / "connections"), opened(small_disk / "connections")
    assert {one.take_record(), two.take_record()} == {0, 1}
    one.write_record(0, Record(pid=1))
    assert one.lock_slot(3)
    one.write_slot(3, SlotOwner(1, 1, 1))
    assert not two.lock_slot(3)
    assert two.read_slots(5)[3].record == 0


def test_a_file_system_that_can_only_be_read(small_disk, opened):
    opened(small_disk / "connections").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(Unusable, match="Read-only"):
        LedgerFile(str(small_disk / "connections"))
    with pytest.raises(Unusable, match="Read-only"):
        LedgerFile(str(small_disk / "others"))


# -- a file that was deleted -----------------------------------------------------------------------


def test_a_new_file_waits_for_the_users_of_the_old_one(opened, ledger):
    one = opened()
    ledger.unlink()
    assert not one.is_current()
    two = opened()
    assert not two.is_ready()
    one.close()
    assert two.is_ready()


def test_a_new_file_does_not_wait_for_ever(opened, ledger, monkeypatch):
    opened()
    ledger.unlink()
    two = opened()
    later = ledger_file.now() + ledger_file.LONGEST_MOVE
    assert not two.is_ready()
    monkeypatch.setattr(ledger_file, "now", lambda: later)
    assert two.is_ready()


# -- bells -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [40, 200])
def test_a_bell_is_heard_at_paths_of_any_length(tmp_path, length):
    folder = tmp_path / ("long" * (length // 4))
    folder.mkdir()
    one, two = Bell(str(folder / "connections"), 0), Bell(str(folder / "connections"), 1)
    try:
        assert not one.wait(0.001)
        two.ring(0)
        assert one.wait(10)
        two.ring(17)  # nobody is there
        for _ in range(1000):  # nobody listens
            two.ring(0)
    finally:
        one.close()
        two.close()


def test_a_bell_of_a_process_that_has_ended_is_taken_over(tmp_path):
    path = str(tmp_path / "connections")
    for _ in range(2):
        one = Bell(path, 0)
        one.ring(0)
        assert one.wait(10)
        one.close()


def test_no_descriptor_is_left_when_there_can_be_no_bell(tmp_path):
    folder = tmp_path / ("long" * 50)
    folder.mkdir()
    (folder / "connections.0").mkdir()
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        with pytest.raises(OSError, match=r"directory|permitted"):
            Bell(str(folder / "connections"), 0)
    assert os.listdir("/proc/self/fd") == before
