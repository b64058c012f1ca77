"""TaskRunner killed while a log is at its limit: nothing that was read changes, and what is missing
is told to the byte."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib import fault_points
from task_runner.lib.fault_points import Step
from task_runner.lib.output import MISSING
from task_runner.lib.rest import KEPT
from tests.fault_plans import Plans
from tests.task_processes import is_running
from tests.tasks import begin, finish, output_of, record_of, script
from tests.waiting import wait_until

LIMIT = 300_001
LINES = 400_000
DATA = b"".join(b"%d\n" % number for number in range(1, LINES + 1))
MISSED = len(DATA) - LIMIT - KEPT
LOG = DATA[:LIMIT] + b"\n" + MISSING % MISSED + DATA[-KEPT:]


@pytest.fixture
def plans(tmp_path: Path) -> Iterator[Plans]:
    plans = Plans(tmp_path / "plans")
    fault_points.switch_on(str(plans.directory))
    yield plans
    fault_points.switch_off()


@pytest.mark.parametrize(
    ("step", "skip"),
    [
        *[(Step.MOVE, 0), (Step.MOVE, 3), (Step.MOVE, 8), (Step.MARK, 0)],
        *[(Step.SEGMENT, 0), (Step.SEGMENT, 1), (Step.SEGMENT, 4)],
    ],
)
def test_while_the_machine_lives(
    environment: MultiprocessEnvironment, plans: Plans, step: Step, skip: int
) -> None:
    plans.add(step, "SIGKILL", skip=skip)
    text = f"seq {LINES}; touch said; until [ -e go ]; do sleep 0.01; done"
    entry = begin(environment, script(text, maxOutput=LIMIT))
    wait_until(lambda: plans.fired(step) and not is_running(record_of(entry)["process_id"]))
    environment.start_task(entry.task_id)  # whoever finds it goes on with it
    wait_until(lambda: record_of(entry).get("output_dropped") == MISSED)
    assert output_of(entry) == DATA[:LIMIT]
    Path(entry.work_dir, "files/go").touch()
    finish(environment, entry)
    record = record_of(entry)
    assert output_of(entry) == LOG
    assert (record["outcome"], record["output_size"]) == ("unknown", len(LOG))
    assert record["output_dropped"] == MISSED
    assert list(Path(entry.work_dir).glob("output.rest*")) == []


@pytest.mark.parametrize("step", [Step.COMPLETE, Step.COLLECT, Step.FINISH])
def test_at_the_end(environment: MultiprocessEnvironment, plans: Plans, step: Step) -> None:
    """The result is lost with it, the log is not."""
    plans.add(step, "SIGKILL")
    entry = begin(environment, script(f"seq {LINES}", maxOutput=LIMIT))
    wait_until(lambda: plans.fired(step) and not is_running(record_of(entry)["process_id"]))
    seen = output_of(entry)
    environment.start_task(entry.task_id)
    wait_until(lambda: output_of(entry) == LOG)
    assert LOG.startswith(seen)


def test_after_the_result(environment: MultiprocessEnvironment, plans: Plans) -> None:
    plans.add(Step.TIDY, "SIGKILL")
    entry = begin(environment, script(f"seq {LINES}", maxOutput=LIMIT))
    finish(environment, entry)
    assert (record_of(entry)["outcome"], record_of(entry)["output_dropped"]) == (
        "succeeded",
        MISSED,
    )
    assert output_of(entry) == LOG


@pytest.mark.parametrize("step", [Step.MOVE, Step.SEGMENT, Step.COMPLETE])
def test_a_full_disk_loses_nothing(
    environment: MultiprocessEnvironment, plans: Plans, step: Step
) -> None:
    plans.add(step, "ENOSPC")
    entry = begin(environment, script(f"seq {LINES}", maxOutput=LIMIT))
    finish(environment, entry)
    assert plans.fired(step)
    assert output_of(entry) == LOG
