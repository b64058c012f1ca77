"""Whatever process is killed at whatever step of a task's life, the task is accounted for.

The victims are the service (a worker, which its server replaces), its fork server, TaskRunner and
the machine; which one it is depends on the step.
"""

import signal

import pytest

from task_runner.lib.fault_points import Step
from tests.faults.site import Site
from tests.node import Json
from tests.waiting import wait_until

KNOWN_TO_TASK_RUNNER_ALONE = {
    Step.WRITE, Step.RENAME, Step.RELEASE, Step.ANNOUNCE, Step.MARK, Step.MOVE, Step.ADOPT,
    Step.SEGMENT, Step.COMPLETE, Step.BEGIN_STOP, Step.TERMINATE, Step.DRAIN, Step.COLLECT,
    Step.FINISH,
}  # fmt: skip
"""Killed here, TaskRunner may take the result with it: then it is unknown, and said to be."""
IN_STOPS = {Step.NOTE_STOP, Step.SIGNAL_STOP, Step.BEGIN_STOP, Step.TERMINATE}
IN_OUTPUT = {Step.MARK, Step.MOVE}
IN_LIMITED_OUTPUT = {Step.SEGMENT, Step.COMPLETE}
IN_DELETES = {Step.BURY, Step.REMOVE_FILES, Step.FORGET}
STARTED_BY = {Step.ADOPT: (Step.DRAIN, "SIGKILL"), Step.JUDGE: (Step.COLLECT, "SIGKILL")}
"""What else has to go wrong until somebody gets to a step."""


def kill_at(site: Site, step: Step, task_id: str) -> None:
    if step in STARTED_BY:
        other, fault = STARTED_BY[step]
        site.plan(other, fault, task_id)
    site.plan(step, "SIGKILL", task_id)


def assert_was_killed(site: Site, step: Step, task_id: str) -> None:
    killed = [one for one in site.plans.fired(step) if task_id in one.path or not one.path]
    assert killed, "the step was reached"


@pytest.mark.parametrize("step", [step for step in Step if step not in IN_STOPS | IN_DELETES])
def test_a_task_that_ends_by_itself(site: Site, step: Step) -> None:
    task_id = f"end-{step}"
    with site.bystander(task_id):
        kill_at(site, step, task_id)
        site.submit(task_id, "exit 7", **({"maxOutput": 1000} if step in IN_LIMITED_OUTPUT else {}))
        view = site.accounted_for(task_id)
        assert_was_killed(site, step, task_id)
        assert ending(view) in expected(step, ("failed", 7))
        site.delete(task_id)


def ending(view: Json) -> tuple[str, int | None]:
    return view["outcome"], view["exitCode"]


def expected(step: Step, truth: tuple[str, int]) -> set[tuple[str, int | None]]:
    if step is Step.SETTLE:  # the machine itself, before it has done anything
        return {("crashed", 128 + signal.SIGKILL)}
    if step is Step.JUDGE:  # somebody else passes the verdict
        return {("unknown", None)}
    return {truth, ("unknown", None)} if step in KNOWN_TO_TASK_RUNNER_ALONE else {truth}


NOT_IN_STOPPED_TASKS = IN_DELETES | IN_LIMITED_OUTPUT | {Step.ADOPT, Step.JUDGE, Step.SETTLE}
IN_STOPPED_TASKS = [step for step in Step if step not in NOT_IN_STOPPED_TASKS]


@pytest.mark.parametrize("step", IN_STOPPED_TASKS)
def test_a_task_that_is_stopped(site: Site, step: Step) -> None:
    task_id = f"stop-{step}"
    with site.bystander(task_id):
        kill_at(site, step, task_id)
        site.submit(task_id, "trap 'exit 3' TERM; while :; do sleep 0.02; done")
        if step in IN_OUTPUT:  # else the stop might be there before it
            wait_until(lambda: [one for one in site.plans.fired(step) if task_id in one.path])
        site.ask("POST", f"/v1/tasks/{task_id}/stop", 200)
        view = site.accounted_for(task_id)
        assert_was_killed(site, step, task_id)
        lost = {("unknown", None)} if step in KNOWN_TO_TASK_RUNNER_ALONE else set()
        assert ending(view) in {("canceled", -1)} | lost
        site.delete(task_id)


@pytest.mark.parametrize("step", sorted(IN_DELETES))
def test_a_task_that_is_deleted(site: Site, step: Step) -> None:
    task_id = f"delete-{step}"
    with site.bystander(task_id):
        site.submit(task_id, "exit 7")
        site.accounted_for(task_id)
        kill_at(site, step, task_id)
        site.delete(task_id)
        assert_was_killed(site, step, task_id)


def test_every_step_is_tried() -> None:
    tried = {step for step in Step if step not in IN_STOPS | IN_DELETES}
    assert tried | {*IN_STOPPED_TASKS} | IN_DELETES == {*Step}
