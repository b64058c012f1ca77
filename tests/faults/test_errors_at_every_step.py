"""Whatever error a process gets at whatever step, the task is accounted for; nobody is killed.

Once, as by a disk that was full for a moment, and for as long as the first answer takes.
"""

import itertools

import pytest

from task_runner.lib.fault_points import Step
from tests.faults.site import Site
from tests.waiting import wait_until

ERRORS = itertools.cycle(["ENOSPC", "EIO", "EMFILE", "EAGAIN"])
NEVER_FAIL = {Step.RELEASE, Step.ANNOUNCE, Step.COLLECT, Step.DRAIN, Step.TIDY}
"""A byte into a pipe of our own, wait(2): there is no error to be had here."""
IN_MEMORY = {
    Step.NOTE_START,
    Step.NOTE_END,
    Step.ANSWER,
    Step.FORGET,
    Step.BEGIN_STOP,
    Step.TERMINATE,
}
"""What follows has a step of its own (`write`, `commit`), or is a signal."""
IN_STOPS = {Step.NOTE_STOP, Step.SIGNAL_STOP}
IN_DELETES = {Step.BURY, Step.REMOVE_FILES}
ELSEWHERE = {Step.ADOPT, Step.JUDGE, Step.SEGMENT, Step.COMPLETE}
STEPS = [
    step for step in Step if step not in NEVER_FAIL | IN_MEMORY | IN_STOPS | IN_DELETES | ELSEWHERE
]


@pytest.mark.parametrize(("step", "fault"), list(zip(STEPS, ERRORS, strict=False)))
def test_once(site: Site, step: Step, fault: str) -> None:
    task_id = f"once-{step}"
    with site.bystander(task_id):
        site.plan(step, fault, task_id)
        site.submit(task_id, "exit 7")
        view = site.accounted_for(task_id)
        wait_until(lambda: [one for one in site.plans.fired(step) if task_id in one.path + task_id])
        if step is Step.SETTLE:
            assert (view["outcome"], view["exitCode"]) == ("error", None)
        else:
            assert (view["outcome"], view["exitCode"]) == ("failed", 7)
        site.delete(task_id)


@pytest.mark.parametrize(
    "step", [Step.DRAFT, Step.WRITE, Step.PUBLISH, Step.COMMIT, Step.SYNC, Step.SYNC_NAMES]
)
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_a_submission_that_fails_is_refused_with_a_reason(
    site: Site, step: Step, fault: str
) -> None:
    task_id = f"refused-{step}-{fault}".lower()
    site.plan(step, fault, "" if step is Step.WRITE else task_id)
    task = {"taskId": task_id, "machine": "echo", "parameters": ["ECHO hello"]}
    answer = site.node.http.post("/v1/tasks", json=task)
    assert answer.status_code >= 500
    assert answer.json()["detail"]
    site.ask("POST", "/v1/tasks", 201, json=task)
    assert site.accounted(task_id)["outcome"] == "succeeded"


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("step", [Step.MARK, Step.MOVE])
def test_output_that_cannot_be_written_waits(site: Site, step: Step, fault: str) -> None:
    task_id = f"waits-{step}-{fault}".lower()
    site.plans.add(step, fault, task_id, once=False)
    site.submit(task_id, "exit 7")
    wait_until(lambda: len([one for one in site.plans.fired(step) if task_id in one.path]) > 1)
    assert site.node.view(task_id)["state"] == "running"
    site.plans.remove(step)
    assert site.accounted_for(task_id)["exitCode"] == 7


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("step", [Step.WRITE, Step.RENAME, Step.FINISH])
def test_a_result_that_cannot_be_written_waits(site: Site, step: Step, fault: str) -> None:
    task_id = f"result-{step}-{fault}".lower()
    gate = site.scratch / f"gate-{task_id}"
    site.submit(task_id, f"until [ -e {gate} ]; do sleep 0.02; done; exit 7")
    site.plans.add(step, fault, f"task-{task_id}", once=False)
    gate.touch()
    wait_until(lambda: [one for one in site.plans.fired(step) if task_id in one.path])
    assert site.node.view(task_id)["state"] == "running"
    site.plans.remove(step)
    assert site.accounted_for(task_id)["exitCode"] == 7
