"""A stop that was answered is carried out; one that cannot be noted is refused."""

from pathlib import Path

from task_runner.lib.fault_points import Step
from tests.fault_plans import Plans
from tests.node import running_node
from tests.waiting import wait_until


def test_a_stop_that_cannot_be_noted_is_to_be_repeated(tmp_path: Path) -> None:
    plans = Plans(tmp_path / "plans")
    with running_node(tmp_path / "work", **plans.settings) as node:
        task = node.sh("trap '' TERM; echo ready; sleep 600", gracePeriod=600)
        wait_until(lambda: node.log_of(task) == b"ready\n")
        plans.add(Step.NOTE_STOP, "ENOSPC")
        answer = node.http.post(f"/v1/tasks/{task}/stop")
        assert answer.status_code == 503
        assert "ask again" in answer.json()["detail"]
        wait_until(lambda: node.view(task)["state"] == "stopping")  # it was told all the same
        assert node.http.post(f"/v1/tasks/{task}/stop").status_code == 200
        assert (node.directory(task) / "stop.json").exists()
