"""The environment as a library."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.errors import (
    TaskActiveError,
    TaskExistsError,
    TaskNotFoundError,
    TaskRunnerError,
)
from task_runner.lib.state import State
from task_runner.lib.task_dir import TaskDir
from tests.tasks import (
    begin,
    echo,
    ending,
    finish,
    left_in,
    output_of,
    record_of,
    run,
    script,
    stop,
)
from tests.waiting import wait_until

Environment = MultiprocessEnvironment


@pytest.fixture
def other(environment: Environment) -> Iterator[Environment]:
    """Give a second environment on the same directory."""
    other = MultiprocessEnvironment(environment.work_dir.path)
    yield other
    other.close()


def test_the_way_of_a_task(environment: Environment) -> None:
    entry = environment.register_task(script("until [ -e go ]; do sleep 0.01; done; exit 3"))
    assert (entry.state, entry.exit_code) == (State.CREATED, None)
    assert environment.start_task(entry.task_id).state is State.RUNNING
    assert environment.wait_completion(entry.task_id, timeout=0.1).state is State.RUNNING
    assert [active.task_id for active in environment.get_active_tasks()] == [entry.task_id]
    Path(entry.work_dir, "files", "go").touch()
    over = environment.wait_completion(entry.task_id)
    assert (over.state, over.exit_code) == (State.EXITED, 3)
    assert environment.get_all_tasks() == [over]
    assert environment.get_active_tasks() == []
    environment.unregister_task(entry.task_id)
    assert environment.get_all_tasks() == []
    assert not os.path.exists(entry.work_dir)


def test_identifiers(environment: Environment) -> None:
    mine = environment.register_task(echo(taskId="mine.1-a_B"))
    assert mine.task_id == "mine.1-a_B"
    with pytest.raises(TaskExistsError):
        environment.register_task(echo(taskId="mine.1-a_B"))
    other = environment.register_task(echo())
    assert len(other.task_id) == 8
    assert set(other.task_id) <= set("0123456789abcdef")


@pytest.mark.parametrize("task_id", ["nobody", "", "../work", "a/b", "\0"])
def test_an_unknown_task(environment: Environment, task_id: str) -> None:
    for method in (
        environment.get_task_data,
        environment.start_task,
        environment.stop_task,
        environment.wait_completion,
        environment.unregister_task,
    ):
        with pytest.raises(TaskNotFoundError):
            method(task_id)


def test_starting_twice_runs_once(environment: Environment) -> None:
    entry = environment.register_task(script("echo ran"))
    for _ in range(3):
        environment.start_task(entry.task_id)
    assert output_of(finish(environment, entry)) == b"ran\n"
    environment.start_task(entry.task_id)
    assert output_of(finish(environment, entry)) == b"ran\n"


def test_waiting_for_what_was_not_started(environment: Environment) -> None:
    entry = environment.register_task(echo())
    with pytest.raises(TaskRunnerError, match="was not started"):
        environment.wait_completion(entry.task_id)


def test_an_active_task_is_not_removed(environment: Environment) -> None:
    entry = begin(environment, script("echo ready; sleep 60"), b"ready")
    with pytest.raises(TaskActiveError, match="running"):
        environment.unregister_task(entry.task_id)
    assert environment.get_task_data(entry.task_id).state is State.RUNNING
    stop(environment, entry)
    environment.unregister_task(entry.task_id)


HOLD = """
import sys
from task_runner.lib.task_dir import TaskDir
print(TaskDir(sys.argv[1], "t").take_lock(), flush=True)
sys.stdin.read()
"""


def test_the_removal_waits_for_a_task_runner_that_is_about_to_end(environment: Environment) -> None:
    entry = run(environment, echo())
    command = [sys.executable, "-c", HOLD, entry.work_dir]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as last_moments:
        assert last_moments.stdin is not None
        assert last_moments.stdout is not None
        assert last_moments.stdout.readline() == b"True\n"
        removal = threading.Thread(target=environment.unregister_task, args=(entry.task_id,))
        removal.start()
        removal.join(0.1)
        assert removal.is_alive()
        last_moments.stdin.close()
        removal.join(20)
    assert not os.path.exists(entry.work_dir)


def wait_until_over(environment: Environment, task_id: str) -> None:
    """Wait for the result, not for the end of the TaskRunner as `wait_completion` does."""
    wait_until(lambda: environment.get_task_data(task_id).state.is_over)


def test_a_task_can_be_removed_the_moment_it_is_over(environment: Environment) -> None:
    for _ in range(100):
        entry = begin(environment, script(":"))
        wait_until_over(environment, entry.task_id)
        environment.unregister_task(entry.task_id)


def test_a_removal_waits_for_who_tidies_up(environment: Environment) -> None:
    entry = run(environment, script(":"))
    directory = TaskDir(entry.work_dir, entry.task_id)
    wait_until(lambda: directory.lock_holder() is None)  # TaskRunner has had its last moments
    with ThreadPoolExecutor(1) as threads:
        with directory.keep_out():
            removal = threads.submit(environment.unregister_task, entry.task_id)
            assert not wait([removal], timeout=0.2).done
        removal.result()
    assert not os.path.exists(entry.work_dir)


def test_what_a_task_made_read_only_is_removed_too(environment: Environment) -> None:
    entry = run(environment, script("mkdir -p a/b; touch a/b/c; ln -s /etc a/b/d; chmod -R a-w a"))
    environment.unregister_task(entry.task_id)
    assert not os.path.exists(entry.work_dir)
    assert os.path.exists("/etc/passwd")


def test_two_environments_see_the_same(environment: Environment, other: Environment) -> None:
    task = script("trap 'echo bye; exit' TERM; echo ready; sleep 60 & wait")
    entry = begin(environment, task, b"ready")
    assert other.get_task_data(entry.task_id).state is State.RUNNING
    other.start_task(entry.task_id)
    assert ending(stop(other, entry)) == ("canceled", -1)
    assert environment.get_task_data(entry.task_id) == other.get_task_data(entry.task_id)
    assert output_of(entry) == b"ready\nbye\n"


def test_another_process_goes_on_when_the_first_is_killed(
    environment: Environment, tmp_path: Path
) -> None:
    code = """
import os, signal, sys
from task_runner.environments.multiprocess import MultiprocessEnvironment
from tests.tasks import *
begin(MultiprocessEnvironment(sys.argv[1]), script(sys.argv[2], taskId="orphan"), b"ready")
os.kill(os.getpid(), signal.SIGKILL)
"""
    text = "echo ready; until [ -e go ]; do sleep 0.01; done; exit 5"
    command = [sys.executable, "-c", code, environment.work_dir.path, text]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    entry = environment.get_task_data("orphan")
    assert entry.state is State.RUNNING
    Path(entry.work_dir, "files", "go").touch()
    assert ending(finish(environment, entry)) == ("failed", 5)


def test_the_fork_server_is_replaced_when_it_was_killed(environment: Environment) -> None:
    first = begin(environment, script("echo ready; sleep 60"), b"ready")
    server = environment._forks._server
    assert server is not None
    server.kill()
    second = run(environment, echo("ECHO two"))
    assert ending(second) == ("succeeded", 0)
    assert environment._forks._server is not server
    assert environment.get_task_data(first.task_id).state is State.RUNNING
    assert ending(stop(environment, first)) == ("canceled", -1)


def test_the_fork_server_ends_although_a_forked_process_lives(environment: Environment) -> None:
    run(environment, echo())
    code = "import os, sys, time; sys.stdin.read()"
    control = environment._forks._control
    assert control is not None
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=(control.fileno(),)
    ) as heir:
        environment._forks.close()
        assert heir.stdin is not None
        heir.stdin.close()


def test_a_place_outside_has_to_be_allowed(other: Environment, tmp_path: Path) -> None:
    with pytest.raises(TaskRunnerError, match="work directory"):
        other.register_task(echo(), tmp_path / "elsewhere")


@pytest.mark.parametrize("parent", ["same", "/dev/shm"])
def test_a_task_may_live_elsewhere(environment: Environment, tmp_path: Path, parent: str) -> None:
    where = (tmp_path if parent == "same" else Path(parent)) / f"elsewhere-{os.getpid()}"
    try:
        entry = environment.register_task(script("echo hi; echo hi > left"), where)
        assert entry.work_dir == str(where)
        with pytest.raises(TaskExistsError):
            environment.register_task(echo(), where)
        environment.start_task(entry.task_id)
        finish(environment, entry)
        assert output_of(entry) == left_in(entry, "left") == b"hi\n"
        assert [found.task_id for found in environment.get_all_tasks()] == [entry.task_id]
        environment.unregister_task(entry.task_id)
        assert [name for name in os.listdir(where.parent) if "elsewhere" in name] == []
    finally:
        shutil.rmtree(where, ignore_errors=True)


DAMAGE = [b"", b"{", b"\0" * 100, b"[]", b"{}", b'{"machine": 1, "host": 2}', b"[" * 100_000]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_task_does_not_hide_the_others(environment: Environment, damage: bytes) -> None:
    good = environment.register_task(echo())
    bad = environment.register_task(echo())
    Path(bad.work_dir, "verdict.json").write_bytes(damage)
    assert environment.get_all_tasks() == [good]
    with pytest.raises(ValueError, match="damaged"):
        environment.get_task_data(bad.task_id)


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_a_task_whose_status_is_damaged_is_lost_when_nobody_lives(
    environment: Environment, damage: bytes
) -> None:
    entry = environment.register_task(echo())
    Path(entry.work_dir, f"{entry.task_id}.result").write_bytes(damage)
    assert environment.get_task_data(entry.task_id).state is State.LOST
    environment.unregister_task(entry.task_id)


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop"])
def test_something_else_in_the_place_of_a_file(environment: Environment, kind: str) -> None:
    bad = environment.register_task(echo())
    path = Path(bad.work_dir, f"{bad.task_id}.result")
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
    assert environment.get_task_data(bad.task_id).state is State.LOST


def test_a_work_directory_that_cannot_be_used_comes_with_advice(tmp_path: Path) -> None:
    code = """
import os, sys
from task_runner.environments.multiprocess import MultiprocessEnvironment
os.setuid(65534)
MultiprocessEnvironment(sys.argv[1])
"""
    path = tmp_path / "work"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = done.stderr[done.stderr.index("WorkDirError: ") :].splitlines()
    assert told[0] == f"WorkDirError: the work directory {path} cannot be used: Permission denied."
    assert f"    sudo install -d -m 0700 -o nobody {path}" in told
    assert any("TASK_RUNNER_WORK_DIR" in line for line in told)


def test_a_file_is_no_work_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TaskRunnerError, match="cannot be used"):
        MultiprocessEnvironment(tmp_path / "file")


def test_what_is_on_disk_is_what_was_asked(environment: Environment) -> None:
    entry = environment.register_task(echo("ECHO hi", name="n", labels={"a": "b"}, timeout=5))
    stored = json.loads(Path(entry.work_dir, "task.json").read_bytes())
    assert stored["taskId"] == entry.task_id
    assert (stored["name"], stored["labels"], stored["timeout"]) == ("n", {"a": "b"}, 5)
    assert os.stat(entry.work_dir).st_mode & 0o777 == 0o700
    assert "machine" not in (record_of(run(environment, echo()))["error"] or "")
