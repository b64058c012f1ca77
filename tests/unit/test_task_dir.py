import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from task_runner.lib.task_dir import TaskDir, create_exclusive, read_json, write_atomic
from tests.waiting import wait_until

HOLD = """
import sys
from task_runner.lib.task_dir import TaskDir
directory = TaskDir(sys.argv[1], "t")
print(directory.take_lock(), flush=True)
sys.stdin.read()
"""
HOLD_AND_FORK = """
import os, sys
from task_runner.lib.task_dir import TaskDir
directory = TaskDir(sys.argv[1], "t")
taken = directory.take_lock()
pid = os.fork()
if pid == 0:
    os.closerange(3, 1000)
    os._exit(0)
os.waitpid(pid, 0)
print(taken, flush=True)
sys.stdin.read()
"""
TAKE = """
import sys
from task_runner.lib.task_dir import TaskDir
print(TaskDir(sys.argv[1], "t").take_lock())
"""
KEEP_OUT = """
import sys
from task_runner.lib.task_dir import TaskDir
with TaskDir(sys.argv[1], "t").keep_out() as alone:
    print(alone, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> TaskDir:
    return TaskDir(str(tmp_path), "t")


@contextmanager
def other(code: str, directory: TaskDir) -> Iterator[subprocess.Popen[str]]:
    """Run code in another process, which ends when it is left, and has said True."""
    command = [sys.executable, "-c", code, directory.path]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.stdin.close()


def take_elsewhere(directory: TaskDir) -> bool:
    """Try to take the lock in a process of its own, so that this one never holds it."""
    command = [sys.executable, "-c", TAKE, directory.path]
    return subprocess.run(command, check=True, stdout=-1).stdout == b"True\n"


def test_nobody_holds_the_lock(directory: TaskDir) -> None:
    assert directory.lock_holder() is directory.open_holder() is None
    assert not os.path.exists(directory.lock)
    assert take_elsewhere(directory)
    assert directory.lock_holder() is None


@pytest.mark.parametrize("code", [HOLD, HOLD_AND_FORK], ids=["plain", "after a fork"])
def test_a_lock_is_held_by_one(directory: TaskDir, code: str) -> None:
    with other(code, directory) as holder:
        assert directory.lock_holder() == holder.pid
        assert not take_elsewhere(directory)
        with directory.keep_out() as alone:
            assert not alone
        pidfd = directory.open_holder()
        assert pidfd is not None
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
        assert holder.wait(20) == -signal.SIGKILL
        assert directory.lock_holder() is None
        assert take_elsewhere(directory)


def test_who_keeps_out_is_no_holder_and_is_waited_for(directory: TaskDir) -> None:
    with other(KEEP_OUT, directory) as keeper:
        assert directory.lock_holder() == 0
        assert directory.open_holder() is None
        with directory.keep_out() as alone:
            assert not alone
        taken: list[bool] = []
        waiting = threading.Thread(target=lambda: taken.append(take_elsewhere(directory)))
        waiting.start()
        waiting.join(0.1)
        assert taken == []
        assert keeper.stdin is not None
        keeper.stdin.close()
        waiting.join(20)
        assert taken == [True]


def test_looking_at_the_lock_does_not_let_others_in(directory: TaskDir) -> None:
    with directory.keep_out() as alone:
        assert alone
        assert directory.lock_holder() == 0
        with directory.keep_out() as twice:
            assert not twice
        assert directory.lock_holder() == 0
    assert directory.lock_holder() is None


def test_the_lock_of_a_task_that_was_made_anew_is_another(tmp_path: Path) -> None:
    path = tmp_path / "task"
    directory = TaskDir(str(path), "t")
    path.mkdir()
    with directory.keep_out() as alone:
        assert alone
        fd = os.open(directory.lock, os.O_RDWR)
        assert directory._is_lock(fd)
        path.rename(tmp_path / "removed")
        assert not directory._is_lock(fd)
        path.mkdir()
        assert take_elsewhere(directory)
        assert not directory._is_lock(fd)
        os.close(fd)


def test_no_lock_where_no_directory_is(tmp_path: Path) -> None:
    directory = TaskDir(str(tmp_path / "gone"), "t")
    with pytest.raises(FileNotFoundError):
        directory.take_lock()


DAMAGE = [b"", b"{", b"\0" * 9, b"\xff", b"[]", b"1", b"null", b'"a"', b"[" * 100_000, b'{"a":1}x']


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_damage_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "file").write_bytes(damage)
    with pytest.raises(ValueError, match="file is damaged"):
        read_json(str(tmp_path / "file"))


def test_there_is_none(tmp_path: Path) -> None:
    assert read_json(str(tmp_path / "none")) is None


def test_a_write_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    write_atomic(path, {"n": 0, "text": ""})
    if (pid := os.fork()) == 0:
        for n in range(2000):
            write_atomic(path, {"n": n, "text": "x" * (n * 37 % 5000)})
        os._exit(0)
    seen = []
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG):
        record = read_json(path)
        assert record is not None
        assert len(record["text"]) == record["n"] * 37 % 5000
        seen.append(record["n"])
    assert seen == sorted(seen)
    assert len(set(seen)) > 10
    assert os.listdir(tmp_path) == ["file"]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    write_atomic(path, {"old": True})
    code = """
import resource, signal, sys
from task_runner.lib.task_dir import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_atomic(sys.argv[1], {"new": "x" * 1000})
except OSError as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    assert b"No space left on device" in done.stdout
    assert read_json(path) == {"old": True}
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("attempt", range(5))
def test_of_several_that_create_it_one_does(tmp_path: Path, attempt: int) -> None:
    path = str(tmp_path / "file")
    gate, opener = os.pipe()
    pids = []
    for number in range(8):
        if (pid := os.fork()) == 0:
            os.close(opener)
            os.read(gate, 1)
            os._exit(number + 1 if create_exclusive(path, {"by": number}) else 0)
        pids.append(pid)
    os.close(opener)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(gate)
    (winner,) = filter(None, codes)
    assert json.loads(Path(path).read_bytes()) == {"by": winner - 1}
    assert os.listdir(tmp_path) == ["file"]
    assert not create_exclusive(path, {"by": "late"})


def test_the_names_of_the_files() -> None:
    directory = TaskDir.of("/srv", "a.b")
    assert directory.path == "/srv/task-a.b"
    assert directory.status == "/srv/task-a.b/a.b.result"
    here = TaskDir("/scratch", "cli", results="/here")
    assert (here.status, here.output.log, here.files) == (
        "/here/cli.result",
        "/here/output.log",
        "/here",
    )
    assert here.lock == "/scratch/lock"


def test_wait_until_waits_no_longer_than_asked() -> None:
    with pytest.raises(TimeoutError, match="is still 0 after"):
        wait_until(lambda: 0, timeout=0.05)
