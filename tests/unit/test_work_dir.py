"""The work directory, with real processes that compete, die, and may not do everything."""

import ctypes
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from task_runner.environments.work_dir import STAGING, WorkDir, prepare
from task_runner.lib.errors import TaskExistsError, WorkDirError
from task_runner.lib.task import Task
from task_runner.lib.task_dir import TaskDir, read_json
from tests.waiting import wait_until

DEADLINE = 30.0
ECHO = Task(None, "echo", ["ECHO a"])
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2

OWNER = """
import os, sys
from task_runner.environments.work_dir import WorkDir
work_dir = WorkDir(sys.argv[1])
os.mkdir(f"{sys.argv[1]}/.staging/{work_dir.owner}/draft")
open(f"{sys.argv[1]}/.staging/{work_dir.owner}/draft/task.json", "x").close()
print(work_dir.owner, flush=True)
sys.stdin.readline()
"""
CREATOR = """
import sys
from task_runner.environments.work_dir import WorkDir
from task_runner.lib.errors import TaskExistsError
from task_runner.lib.task import Task
work_dir = WorkDir(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for i in range(100):
    try:
        work_dir.create(Task(f"t{i}", "echo", [f"ECHO {sys.argv[2]}"]))
        print(f"t{i}", flush=True)
    except TaskExistsError:
        pass
work_dir.close()
"""
REMOVER = """
import os, sys
from task_runner.environments.work_dir import WorkDir
from task_runner.lib.task_dir import TaskDir
path, task_id, locked = sys.argv[1:]
try:
    os.listdir(f"{path}/{locked}")
except PermissionError:
    pass
else:
    sys.exit("permissions do not bind here: nothing would be tested")
work_dir = WorkDir(path)
work_dir.remove(TaskDir.of(path, task_id))
assert os.listdir(f"{path}/.staging/{work_dir.owner}") == []
work_dir.close()
"""
CREATOR_WITHOUT_SPACE = """
import resource, sys
from task_runner.environments.work_dir import WorkDir
from task_runner.lib.task import Task
work_dir = WorkDir(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for path in (None, f"{sys.argv[1]}/../elsewhere"):
    try:
        work_dir.create(Task("a", "echo", ["ECHO a"]), path)
    except OSError as problem:
        print(problem.errno)
print(work_dir.owner)
work_dir.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def work_dir(path: Path) -> Iterator[WorkDir]:
    work_dir = WorkDir(path)
    yield work_dir
    work_dir.close()


@contextmanager
def python(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script that talks through its standard input and output; kill it at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def another_owner(path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Give the name of another process's staging area, with a draft in it, and the process."""
    with python(OWNER, path) as process:
        yield line_of(process), process


def drop_root() -> None:
    """Make permissions bind for root too, from the next exec on; nothing to do for others."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def mode_of(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def staged(path: Path) -> set[str]:
    return set(os.listdir(path / STAGING))


def drafts(work_dir: WorkDir) -> list[str]:
    return os.listdir(f"{work_dir.path}/{STAGING}/{work_dir.owner}")


def test_it_is_made_when_it_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    work_dir = WorkDir(path)
    assert work_dir.path == str(path)
    assert mode_of(path) == mode_of(path / STAGING) == 0o700
    assert mode_of(path / STAGING / work_dir.owner) == 0o700
    work_dir.close()
    assert staged(path) == set()


def test_its_path_does_not_depend_on_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work_dir = WorkDir("work")
    monkeypatch.chdir("/")
    work_dir.create(ECHO._replace(task_id="a"))
    assert (tmp_path / "work" / "task-a" / "task.json").exists()
    work_dir.close()


def test_a_new_task(work_dir: WorkDir, path: Path) -> None:
    task = Task("a", "echo", ["USE SHARED x"], labels={"b": "c"}, env={"SECRET": "s"}, priority=3)
    directory, record = work_dir.create(task)
    assert (directory.path, directory.task_id) == (str(path / "task-a"), "a")
    assert os.listdir(directory.path) == ["task.json"]
    assert read_json(directory.task) == record
    assert {**task.to_dict(), "createdAt": record["createdAt"]}.items() <= record.items()
    assert record["resources"] == {"shared": ["x"], "exclusive": []}
    assert (mode_of(directory.path), mode_of(directory.task)) == (0o700, 0o600)
    assert list(work_dir.task_ids()) == ["a"]
    assert drafts(work_dir) == []
    work_dir.sync(directory)


def test_identifiers_are_made_up(work_dir: WorkDir) -> None:
    ids = [work_dir.create(ECHO) for _ in range(50)]
    assert all(
        len(directory.task_id) == 8 and int(directory.task_id, 16) >= 0 for directory, _ in ids
    )
    assert all(record["taskId"] == directory.task_id for directory, record in ids)
    assert sorted(work_dir.task_ids()) == sorted(directory.task_id for directory, _ in ids)
    assert len(set(work_dir.task_ids())) == 50


def test_a_made_up_identifier_that_is_taken_is_not_used(
    work_dir: WorkDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_dir.create(ECHO._replace(task_id="00000001"))
    made_up = iter(["00000001", "draft-1", "00000002", "draft-2"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(made_up))
    directory, record = work_dir.create(ECHO)
    assert (directory.task_id, record["taskId"]) == ("00000002", "00000002")
    assert sorted(work_dir.task_ids()) == ["00000001", "00000002"]
    assert drafts(work_dir) == []


def test_an_identifier_is_used_once(work_dir: WorkDir) -> None:
    first, record = work_dir.create(ECHO._replace(task_id="a"))
    with pytest.raises(TaskExistsError, match="'a'"):
        work_dir.create(ECHO._replace(task_id="a", priority=5))
    assert read_json(first.task) == record
    assert drafts(work_dir) == []


def test_a_file_in_the_place_of_a_task_is_an_error(work_dir: WorkDir, path: Path) -> None:
    (path / "task-a").write_text("mine")
    with pytest.raises(OSError, match="task-a"):
        work_dir.create(ECHO._replace(task_id="a"))
    assert (path / "task-a").read_text() == "mine"
    assert drafts(work_dir) == []


def test_competing_processes_create_each_task_once_and_whole(path: Path) -> None:
    with ThreadPoolExecutor() as threads, ExitStack() as stack:
        processes = [stack.enter_context(python(CREATOR, path, i)) for i in range(3)]
        assert [line_of(process) for process in processes] == ["ready"] * 3
        answers = [threads.submit(process.communicate, "go\n", DEADLINE) for process in processes]
        half_made = 0
        while not all(answer.done() for answer in answers):
            for entry in path.glob("task-*"):
                half_made += not (entry / "task.json").exists()
                json.loads((entry / "task.json").read_text())
        made = [answer.result()[0].split() for answer in answers]
    assert half_made == 0
    assert sorted(task for some in made for task in some) == sorted(f"t{i}" for i in range(100))
    for number, some in enumerate(made):
        for task in some:
            stored = json.loads((path / f"task-{task}" / "task.json").read_text())
            assert stored["parameters"] == [f"ECHO {number}"]
    assert staged(path) == set()


def test_a_task_can_be_put_somewhere_else(work_dir: WorkDir, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    directory, record = work_dir.create(ECHO._replace(task_id="a"), str(elsewhere))
    assert (directory.path, directory.task_id) == (str(elsewhere), "a")
    assert read_json(directory.task) == record
    assert list(work_dir.task_ids()) == []
    with pytest.raises(TaskExistsError):
        work_dir.create(ECHO._replace(task_id="a"), str(elsewhere))
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "work"]
    work_dir.sync(directory)
    work_dir.remove(directory)
    assert os.listdir(tmp_path) == ["work"]
    with pytest.raises(FileNotFoundError):
        work_dir.create(ECHO, str(tmp_path / "no" / "parent"))
    assert os.listdir(tmp_path) == ["work"]


def test_sync_needs_the_task(work_dir: WorkDir) -> None:
    with pytest.raises(FileNotFoundError):
        work_dir.sync(TaskDir.of(work_dir.path, "nowhere"))


def test_what_else_lies_there_is_no_task(work_dir: WorkDir, path: Path) -> None:
    work_dir.create(ECHO._replace(task_id="a"))
    (path / "task-file").touch()
    (path / "task-link").symlink_to("task-a")
    (path / "index.sqlite").touch()
    (path / "other").mkdir()
    assert list(work_dir.task_ids()) == ["a"]


def test_remove(work_dir: WorkDir) -> None:
    directory, _ = work_dir.create(ECHO._replace(task_id="a"))
    kept, _ = work_dir.create(ECHO._replace(task_id="b"))
    os.makedirs(f"{directory.files}/x/y")
    os.symlink(kept.path, f"{directory.files}/x/link")
    os.link(kept.task, f"{directory.files}/hard")
    os.mkfifo(f"{directory.files}/fifo")
    work_dir.remove(directory)
    assert list(work_dir.task_ids()) == ["b"]
    assert os.listdir(kept.path) == ["task.json"]
    assert drafts(work_dir) == []
    with pytest.raises(FileNotFoundError):
        work_dir.remove(directory)
    work_dir.create(ECHO._replace(task_id="a"))


def make_read_only(directory: str) -> None:
    """A directory that may be read, not written."""
    os.makedirs(f"{directory}/files/d")
    Path(f"{directory}/files/d/f").touch()
    os.chmod(f"{directory}/files/d", 0o500)


def make_closed(directory: str) -> None:
    """A directory that may not even be read."""
    os.makedirs(f"{directory}/files/d/e")
    Path(f"{directory}/files/d/e/f").touch()
    os.chmod(f"{directory}/files/d", 0o000)


def make_nested(directory: str) -> None:
    """Directories without any permission in each other, and read-only ones below."""
    os.makedirs(f"{directory}/files/a/b/c")
    for name in ("files/f", "files/a/f", "files/a/b/f", "files/a/b/c/f"):
        Path(directory, name).touch(0o000)
    for name, mode in (("a/b/c", 0o500), ("a/b", 0o000), ("a", 0o000), ("", 0o500)):
        os.chmod(f"{directory}/files/{name}", mode)


def make_siblings(directory: str) -> None:
    """Several of them beside each other."""
    os.makedirs(f"{directory}/files")
    for name in "abc":
        os.mkdir(f"{directory}/files/{name}")
        Path(f"{directory}/files/{name}/f").touch()
        os.symlink("/nowhere", f"{directory}/files/{name}/l")
        os.chmod(f"{directory}/files/{name}", 0o100)
    os.chmod(f"{directory}/files", 0o300)


def make_own(directory: str) -> None:
    """The directory of the task itself."""
    os.mkdir(f"{directory}/files")
    os.chmod(directory, 0o500)


@pytest.mark.parametrize(
    "lock_up", [make_read_only, make_closed, make_nested, make_siblings, make_own]
)
def test_what_a_task_has_locked_up_is_removed(
    path: Path, work_dir: WorkDir, lock_up: Callable[[str], None]
) -> None:
    directory, _ = work_dir.create(ECHO._replace(task_id="a"))
    kept, _ = work_dir.create(ECHO._replace(task_id="b"))
    lock_up(directory.path)
    (path / "locked").mkdir(0o000)
    done = subprocess.run(
        [sys.executable, "-c", REMOVER, str(path), "a", "locked"],
        preexec_fn=drop_root,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(work_dir.task_ids()) == ["b"]
    assert os.listdir(kept.path) == ["task.json"]
    assert staged(path) == {work_dir.owner}


def test_sweep_removes_what_dead_processes_left(work_dir: WorkDir, path: Path) -> None:
    assert not work_dir.sweep()
    with another_owner(path) as (dead, first), another_owner(path) as (alive, second):
        assert staged(path) == {work_dir.owner, dead, alive}
        assert not work_dir.sweep()
        first.send_signal(signal.SIGKILL)
        first.wait(DEADLINE)
        assert work_dir.sweep()
        assert staged(path) == {work_dir.owner, alive}
        assert os.listdir(path / STAGING / alive) == ["draft"]
        assert not work_dir.sweep()
        assert second.poll() is None
    assert work_dir.sweep()
    assert staged(path) == {work_dir.owner}


def test_sweep_removes_what_was_being_deleted(work_dir: WorkDir, path: Path) -> None:
    with another_owner(path) as (dead, process):
        process.kill()
    grave = path / STAGING / dead / "grave" / "files" / "deep"
    grave.mkdir(parents=True)
    grave.chmod(0o000)
    grave.parent.chmod(0o500)
    assert work_dir.sweep()
    assert staged(path) == {work_dir.owner}


def test_an_owner_is_alive_while_its_process_is(work_dir: WorkDir, path: Path) -> None:
    assert work_dir.is_alive(work_dir.owner)
    assert not work_dir.is_alive("0123456789abcdef")
    with another_owner(path) as (other, process):
        assert work_dir.is_alive(other)
        process.send_signal(signal.SIGSTOP)  # slow is not dead
        wait_until(lambda: "\nState:\tT" in Path(f"/proc/{process.pid}/status").read_text())
        assert work_dir.is_alive(other)
        process.kill()
        process.wait(DEADLINE)
        assert not work_dir.is_alive(other)
        assert other in staged(path)  # to ask changes nothing
        assert not work_dir.is_alive(other)
    work_dir.sweep()
    assert not work_dir.is_alive(other)


def test_an_owner_that_closed_is_not_alive(work_dir: WorkDir, path: Path) -> None:
    other = WorkDir(path)
    assert other.owner != work_dir.owner
    assert work_dir.is_alive(other.owner)
    assert other.is_alive(work_dir.owner)
    other.close()
    assert not work_dir.is_alive(other.owner)
    assert staged(path) == {work_dir.owner}


def test_a_child_does_not_keep_its_dead_parent_alive(work_dir: WorkDir, path: Path) -> None:
    script = OWNER.replace(
        "print", "import subprocess\nsubprocess.Popen(['sleep', '60'], close_fds=False)\nprint"
    )
    with python(script, path) as process:
        owner = line_of(process)
        process.kill()
        process.wait(DEADLINE)
        assert not work_dir.is_alive(owner)
        # The child holds the other end of this pipe; it goes with it.
        for entry in Path("/proc").glob("[0-9]*"):
            if has_open(entry, process):
                os.kill(int(entry.name), signal.SIGKILL)


def has_open(process: Path, other: subprocess.Popen[str]) -> bool:
    """Say whether a process writes into the pipe that we read another one's output from."""
    assert other.stdout is not None
    if int(process.name) == os.getpid():
        return False
    try:
        return os.readlink(process / "fd/1") == os.readlink(
            f"/proc/self/fd/{other.stdout.fileno()}"
        )
    except OSError:
        return False


@pytest.mark.parametrize("limit", [0, 10])
def test_a_full_disk_leaves_nothing_behind(path: Path, limit: int) -> None:
    """A limit of the size of files stands for a disk with that much space."""
    with python(CREATOR_WITHOUT_SPACE, path, limit) as process:
        *errors, owner = process.communicate(timeout=DEADLINE)[0].splitlines()
    assert process.returncode == 0
    assert len(errors) == 2
    assert len(owner) == 16
    assert os.listdir(path) == [STAGING]
    assert staged(path) == set()
    assert os.listdir(path.parent) == ["work"]


@pytest.mark.parametrize(
    ("place", "reason"), [("file", "exists"), ("file/below", "Not a directory")]
)
def test_a_work_directory_that_cannot_be_used(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / place)
    for use in (WorkDir, prepare):
        with pytest.raises(WorkDirError) as caught:
            use(path)
        first, *advice = str(caught.value).splitlines()
        assert first.startswith(f"the work directory {path} cannot be used: ")
        assert reason in first
        assert shutil.which("install")
        [install] = [line.strip() for line in advice if "install" in line]
        assert install.startswith("sudo install -d -m 0700 -o ")
        assert install.endswith(path)
        assert advice[-1].strip() == "export TASK_RUNNER_WORK_DIR=$HOME/task_runner"


def test_a_work_directory_that_may_not_be_written(path: Path) -> None:
    prepare(str(path))
    (path / STAGING).chmod(0o500)
    script = f"from task_runner.environments.work_dir import prepare\nprepare({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        preexec_fn=drop_root,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (
        f"WorkDirError: the work directory {path} cannot be used: Permission denied." in done.stderr
    )
    assert staged(path) == set()


def test_prepare_leaves_nothing_but_the_directory(path: Path) -> None:
    for _ in range(3):
        prepare(str(path))
        assert os.listdir(path) == [STAGING]
        assert staged(path) == set()


def test_no_descriptor_is_left_open(path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(3):
        work_dir = WorkDir(path)
        directory, _ = work_dir.create(ECHO)
        work_dir.sync(directory)
        work_dir.remove(directory)
        with another_owner(path) as (other, process):
            work_dir.is_alive(other)
            process.kill()
        work_dir.is_alive(other)
        work_dir.sweep()
        work_dir.close()
    assert descriptors() == before
