import os
import resource
from pathlib import Path
from typing import Any

import pytest

from task_runner.lib import cgroup, limits
from task_runner.lib.errors import ValidationError
from task_runner.lib.outcome import Outcome, result_of
from task_runner.lib.task import task_from_dict
from task_runner.lib.task_dir import TaskDir

MIB = 1 << 20
TASK = {"machine": "echo", "parameters": []}


def refused(fields: dict[str, Any]) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        task_from_dict({**TASK, **fields})
    return caught.value


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a base with all limits; a fake, see test_cgroup.py."""
    monkeypatch.setattr(limits, "_base", lambda: (str(tmp_path), frozenset(cgroup.CONTROLLERS)))
    return tmp_path


@pytest.fixture
def no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_base", lambda: None)


@pytest.mark.parametrize("wrong", [None, 1, "a", [], [["memory", 1]]])
def test_limits_are_an_object(wrong: object) -> None:
    assert refused({"limits": wrong}).field == "limits"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *[("memory", value) for value in (None, True, "1G", 1.5, 0, -1, 32 * MIB - 1, 1 << 54)],
        *[("cpu", value) for value in (None, True, "1", 0, float("nan"), float("inf"), 5000)],
        *[("pids", value) for value in (0, 1.0, False)],
        *[("openFiles", value) for value in (31, 1 << 30, "64")],
        *[("colour", 1), ("runTime", 0), ("output", -1)],
    ],
)
def test_a_bad_limit_is_named(groups: Path, name: str, wrong: object) -> None:
    other = limits.OTHER_NAMES.get(name)
    assert refused({"limits": {name: wrong}}).field == (other or f"limits.{name}")


def test_output_and_run_time_are_other_names() -> None:
    task = task_from_dict({**TASK, "limits": {"runTime": 5, "output": 100, "openFiles": 64}})
    assert (task.timeout, task.max_output, task.limits) == (5, 100, {"openFiles": 64})


@pytest.mark.parametrize(("name", "other"), limits.OTHER_NAMES.items())
def test_a_limit_under_both_names_is_refused(name: str, other: str) -> None:
    error = refused({"limits": {name: 5}, other: 5})
    assert (error.field, error.detail) == (f"limits.{name}", f"it is given as {other} too")


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize(("name", "value"), [("cpu", 1), ("pids", 10)])
def test_what_cannot_be_held_is_refused_with_the_reason(name: str, value: int) -> None:
    error = refused({"limits": {name: value}})
    assert error.field == f"limits.{name}"
    assert "control group" in error.detail


def test_groups_hold_all_of_them(groups: Path) -> None:
    wanted = {"memory": 64 * MIB, "cpu": 0.5, "pids": 10, "openFiles": 64}
    assert task_from_dict({**TASK, "limits": wanted}).limits == wanted


def test_an_isolation_with_means_of_its_own_is_asked_instead(groups: Path) -> None:
    limits.check_held({"pids": 3}, frozenset({"pids"}), "container")
    with pytest.raises(ValidationError, match="'container' cannot hold") as caught:
        limits.check_held({"memory": 64 * MIB}, frozenset({"pids"}), "container")
    assert caught.value.field == "limits.memory"


def test_more_files_than_the_node_may_open_are_refused() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits.check_held({"openFiles": hard}, None, "none")
    with pytest.raises(ValidationError) as caught:
        limits.check_held({"openFiles": hard + 1}, None, "none")
    assert caught.value.field == "limits.openFiles"


@pytest.fixture
def directory(tmp_path: Path) -> TaskDir:
    return TaskDir(str(tmp_path), "a")


@pytest.fixture
def child() -> Any:
    waits, goes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(goes)
        os.read(waits, 1)
        os._exit(0)
    os.close(waits)
    yield pid
    os.close(goes)
    os.waitpid(pid, 0)


@pytest.mark.usefixtures("no_groups")
def test_without_a_group_the_process_itself_is_limited(child: int, directory: TaskDir) -> None:
    assert limits.hold(child, {"memory": 64 * MIB, "openFiles": 64}, directory) is None
    assert resource.prlimit(child, resource.RLIMIT_DATA) == (64 * MIB, 64 * MIB)
    assert resource.prlimit(child, resource.RLIMIT_NOFILE) == (64, 64)


@pytest.mark.usefixtures("no_groups")
def test_a_limit_that_nobody_can_hold_any_more_is_an_error(child: int, directory: TaskDir) -> None:
    with pytest.raises(OSError, match="the limits pids cannot be held"):
        limits.hold(child, {"pids": 5}, directory)


def test_the_end_counts_the_kills_and_notes_a_group_that_stays(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("oom_kill 2\n")
    noted: list[str] = []
    assert limits.end(str(tmp_path), noted.append) == 2  # the file is in the way of rmdir
    assert "cannot be removed: Directory not empty" in noted[0]


def test_memory_that_ran_out_is_named_whatever_came_of_it() -> None:
    words = limits.out_of_memory(1, {"memory": 64 * MIB})
    killed = result_of(None, 9, {"out_of_memory": words})
    assert (killed.outcome, killed.exit_code, killed.error) == (Outcome.CRASHED, 137, words)
    of_a_child = result_of(None, 1 << 8, {"out_of_memory": words})
    assert (of_a_child.outcome, of_a_child.exit_code) == (Outcome.FAILED, 1)
    assert of_a_child.error == words


def test_a_kill_for_the_memory_of_others_names_no_limit() -> None:
    told = limits.out_of_memory(2, {"pids": 50})
    assert told == "out of memory: the kernel killed 2; the task has no limit of its own"
