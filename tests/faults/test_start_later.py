"""What was accepted runs, also when it could not be started in its turn for want of something."""

from pathlib import Path

import pytest

from task_runner.lib.fault_points import Step
from tests.fault_plans import Plans
from tests.node import running_node
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("step", "want"),
    [(Step.FORK, "EAGAIN"), (Step.OPEN_STREAMS, "ENOSPC"), (Step.BEGIN, "EMFILE")],
)
def test_a_task_waits_until_it_can_be_started(tmp_path: Path, step: Step, want: str) -> None:
    plans = Plans(tmp_path / "plans")
    with running_node(tmp_path / "work", TASK_RUNNER_MAX_RUNNING="1", **plans.settings) as node:
        first = node.sh("until [ -e go ]; do sleep 0.01; done")
        task = node.sh("echo ran >> ran")
        plans.add(step, want, once=False)
        (node.directory(first) / "files/go").touch()
        wait_until(lambda: plans.fired(step))
        assert node.view(task)["state"] == "created"
        plans.remove(step)
        assert node.result(task)["outcome"] == "succeeded"
        assert (node.directory(task) / "files/ran").read_text() == "ran\n"
