import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib import fault_points
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.process import short_environment
from task_runner.lib.task import task_from_dict
from tests.conftest import ROOT
from tests.fault_plans import Plans
from tests.tasks import ending, program, run


@pytest.fixture
def plans(tmp_path: Path) -> Iterator[Plans]:
    plans = Plans(tmp_path / "plans")
    fault_points.switch_on(str(plans.directory))
    yield plans
    fault_points.switch_off()
    fault_points._passed.clear()


def fate(step: Step, path: str = "") -> str:
    """Return what becomes of a process that reaches a step."""
    pid = os.fork()
    if pid == 0:
        reach(step, path)
        os._exit(0)
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return signal.Signals(os.WSTOPSIG(status)).name
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "went on"


def test_every_step_is_reached_somewhere_and_only_those_that_are_named() -> None:
    files = (ROOT / "task_runner").rglob("*.py")
    reached = [
        name for file in files for name in re.findall(r"reach\(Step\.(\w+)", file.read_text())
    ]
    assert sorted(reached) == sorted(Step.__members__)


def test_nothing_is_planned_until_it_is_switched_on(tmp_path: Path) -> None:
    plans = Plans(tmp_path / "plans")
    plans.add(Step.MOVE, "SIGKILL")
    reach(Step.MOVE)
    assert plans.fired() == []


@pytest.mark.parametrize("fault", ["SIGKILL", "SIGSTOP"])
def test_a_signal_hits_the_process_itself_once(plans: Plans, fault: str) -> None:
    plans.add(Step.MOVE, fault)
    assert [fate(Step.MARK), fate(Step.MOVE), fate(Step.MOVE)] == ["went on", fault, "went on"]
    assert [(one.step, one.fault) for one in plans.fired()] == [(Step.MOVE, fault)]


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "EMFILE", "EAGAIN"])
def test_an_error_is_raised(plans: Plans, fault: str) -> None:
    plans.add(Step.WRITE, fault, once=False)
    for _ in range(2):
        with pytest.raises(OSError, match=re.escape(os.strerror(getattr(errno, fault)))):
            reach(Step.WRITE, "/a/path")
    plans.remove(Step.WRITE)
    reach(Step.WRITE, "/a/path")


def test_only_one_task_and_only_after_some(plans: Plans) -> None:
    plans.add(Step.MOVE, "EIO", "task-two/", skip=2)
    for path in ("task-one/x", "task-two/x", "task-one/x", "task-two/x"):
        reach(Step.MOVE, path)
    with pytest.raises(OSError, match="Input/output"):
        reach(Step.MOVE, "task-two/x")


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(ValueError, match="can be written by others"):
        fault_points.switch_on(str(tmp_path))
    assert not fault_points.plans()


def test_a_directory_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        fault_points.switch_on(str(tmp_path / "missing"))


def test_a_task_cannot_switch_them_on(environment: MultiprocessEnvironment, tmp_path: Path) -> None:
    """Not by its environment, which is refused, and not by what it sets for itself."""
    plans = Plans(tmp_path / "plans")
    plans.add(Step.COLLECT, "SIGKILL")
    plans.add(Step.MOVE, "EIO", once=False)
    for fields in ({"env": plans.settings}, {"parameters": {"argv": ["x"], "env": plans.settings}}):
        with pytest.raises(ValueError, match="is set by the Task Runner"):
            task_from_dict({"machine": "command", "parameters": {"argv": ["x"]}, **fields})
    name, value = next(iter(plans.settings.items()))
    code = f"import os; os.environ[{name!r}] = {value!r}; os.execlp('echo', 'echo', 'done')"
    assert ending(run(environment, program(sys.executable, "-c", code))) == ("succeeded", 0)
    assert plans.fired() == []
    assert not any(name.startswith("TASK_RUNNER") for name in short_environment())


def test_they_reach_the_task_runner_by_the_fork_server(plans: Plans, tmp_path: Path) -> None:
    environment = MultiprocessEnvironment(tmp_path / "work")
    plans.add(Step.SETTLE, "EIO")
    entry = run(environment, program("true"))
    environment.close()
    assert ending(entry) == ("error", None)
    assert [one.step for one in plans.fired()] == [Step.SETTLE]
