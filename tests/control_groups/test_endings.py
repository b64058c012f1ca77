"""With the task goes its group, and everything that is in it, whoever is killed meanwhile."""

import os
import signal
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib import fault_points, limits
from task_runner.lib.errors import StartLaterError
from task_runner.lib.fault_points import Step
from task_runner.lib.task_dir import TaskDir
from tests.control_groups.groups import UNIT, group_of, groups_in, processes_in
from tests.fault_plans import Plans
from tests.node import Json, Node
from tests.tasks import ending, script, stop
from tests.waiting import wait_until

DAEMON = "(env -i setsid sh -c 'sleep 1000 & exec sleep 1000' > /dev/null 2>&1 < /dev/null &)"
"""Has a session of its own, no parent of the task, and nothing of it in its environment."""
LIMIT = 64 << 20
HELD: Json = {"limits": {"pids": 20}, "gracePeriod": 1}


def begin(node: Node, script: str) -> tuple[str, Path]:
    """Start a task that prints `ready` in the end; return it with its group."""
    task = node.sh(f"{script} echo ready; exec sleep 1000", **HELD)
    wait_until(lambda: b"ready" in node.log_of(task))
    return task, group_of(node, task)


def test_a_stop_ends_all_of_it(unit_node: Node) -> None:
    task, group = begin(unit_node, f"trap '' TERM; {DAEMON};")
    wait_until(lambda: len(processes_in(group)) == 3)
    unit_node.http.post(f"/v1/tasks/{task}/stop")
    assert unit_node.result(task)["outcome"] == "canceled"
    assert not group.exists()


def test_what_an_adopter_cannot_find_is_in_the_group(unit_node: Node) -> None:
    """Only the TaskRunner that was killed knew of it, as the one that took it in."""
    task, group = begin(unit_node, f"{DAEMON};")
    wait_until(lambda: len(processes_in(group)) == 3)
    first = unit_node.view(task)["processId"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: unit_node.view(task)["processId"] not in (first, None))
    unit_node.http.post(f"/v1/tasks/{task}/stop")
    assert unit_node.result(task)["outcome"] == "canceled"
    assert not group.exists()


def test_all_of_them_killed_at_once(unit_node: Node) -> None:
    """The service, TaskRunner and the machine; the next service cleans up."""
    task, group = begin(unit_node, "")
    unit_node.kill()
    os.kill(unit_node.status_file(task)["process_id"], signal.SIGKILL)
    (group / "cgroup.kill").write_text("1")
    unit_node.start()
    view = unit_node.result(task)
    assert (view["state"], view["outcome"], view["exitCode"]) == ("lost", "unknown", None)
    wait_until(lambda: not group.exists())


def test_a_start_that_is_cut_off_is_done_again(unit_node: Node, plans: Plans) -> None:
    """The group of the first is that of the second."""
    plans.add(Step.BEGIN, "SIGKILL", "again")
    task = unit_node.sh("exit 3", taskId="again", **HELD)
    assert unit_node.result(task)["exitCode"] == 3
    assert plans.fired(Step.BEGIN)


def cut_off(plans: Plans, environment: MultiprocessEnvironment) -> str:
    """Return a task that has a group and has not begun."""
    fault_points.switch_on(str(plans.directory))
    plans.add(Step.BEGIN, "SIGKILL", once=False)
    entry = environment.register_task(script("true", **HELD))
    with pytest.raises(StartLaterError):
        environment.start_task(entry.task_id)
    plans.remove(Step.BEGIN)
    fault_points.switch_off()
    assert len(groups_in(UNIT)) == 1
    return entry.task_id


def test_a_start_that_is_cut_off_and_canceled(
    plans: Plans, environment: MultiprocessEnvironment
) -> None:
    task_id = cut_off(plans, environment)
    assert ending(stop(environment, environment.get_task_data(task_id))) == ("canceled", -1)


def test_a_start_that_is_cut_off_and_removed(
    plans: Plans, environment: MultiprocessEnvironment
) -> None:
    task_id = cut_off(plans, environment)
    environment.unregister_task(task_id)


def test_a_group_that_cannot_be_made(tmp_path: Path) -> None:
    """The kernel takes no such number."""
    with pytest.raises(OSError, match="Invalid argument"):
        limits.hold(os.getpid(), {"memory": LIMIT, "pids": 1 << 40}, TaskDir(str(tmp_path), "a"))


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        limits.hold(pid, {"memory": LIMIT}, TaskDir(str(tmp_path), "a"))
