"""A task goes on while the service, or its own TaskRunner, is killed; whatever stands around it."""

import os
import signal
from pathlib import Path

from tests.contract.conftest import Combination
from tests.task_processes import is_running
from tests.waiting import wait_until

WAIT = "until [ -e go ]; do sleep 0.02; done"


def go(combination: Combination, task: str) -> None:
    Path(combination.node.directory(task), "files", "go").touch()


def kill_task_runner(combination: Combination, task: str) -> None:
    pid = combination.node.view(task)["processId"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def test_the_service_is_killed_and_started_again(combination: Combination) -> None:
    task = combination.script(f"echo before; {WAIT}; echo after; exit 3")
    combination.has_said(task, b"before")
    combination.node.kill()
    combination.node.start()
    assert combination.node.view(task)["state"] == "running"
    go(combination, task)
    assert combination.ending(task) == ("failed", 3)
    assert combination.log(task) == b"before\nafter\n"


def test_what_ended_while_the_service_was_gone_is_known(combination: Combination) -> None:
    task = combination.script(f"echo before; {WAIT}; kill -9 $$")
    combination.has_said(task, b"before")
    status = combination.node.directory(task) / f"{task}.result"
    combination.node.kill()
    go(combination, task)
    wait_until(lambda: "finished_at" in status.read_text())
    combination.node.start()
    assert combination.ending(task) == ("crashed", 137)


def test_a_stop_goes_on_while_the_service_is_killed(combination: Combination) -> None:
    task = combination.script("trap 'sleep 1; echo clean; exit' TERM; echo ready; sleep 1000")
    combination.has_said(task, b"ready")
    combination.stop(task)
    combination.node.kill()
    combination.node.start()
    assert combination.ending(task) == ("canceled", -1)
    assert combination.log(task).endswith(b"clean\n")


def test_the_task_runner_is_killed_and_another_one_goes_on(combination: Combination) -> None:
    task = combination.script(f"echo before; {WAIT}; echo after")
    combination.has_said(task, b"before")
    kill_task_runner(combination, task)
    go(combination, task)
    outcome, code = combination.ending(task)
    assert (outcome, code) in {("unknown", None), ("succeeded", 0)}
    assert combination.log(task) == b"before\nafter\n"


def test_a_stop_after_the_task_runner_was_killed_cleans_up_once(combination: Combination) -> None:
    task = combination.script(
        "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done"
    )
    combination.has_said(task, b"ready")
    kill_task_runner(combination, task)
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)
    assert combination.log(task).count(b"bye\n") == 1


def test_a_time_out_holds_after_the_task_runner_was_killed(combination: Combination) -> None:
    task = combination.echo("ECHO ready", "SLEEP 1000", "CLEANUP", "ECHO clean-up", timeout=4)
    combination.has_said(task, b"ready")
    kill_task_runner(combination, task)
    assert combination.ending(task) == ("timeout", -2)
    assert combination.log(task) == b"ready\nclean-up\n"


def test_a_deleted_task_leaves_nothing(combination: Combination) -> None:
    task = combination.script("touch left; mkdir -m 0 locked")
    assert combination.ending(task) == ("succeeded", 0)
    assert combination.node.http.delete(f"/v1/tasks/{task}").json() == {"success": True}
    assert not combination.node.directory(task).exists()
