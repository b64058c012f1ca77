"""What becomes of a task elsewhere that has no result: the decisions, each by itself."""

import os
import time
from pathlib import Path

import pytest

from task_runner.environments.base import Place, Sighting
from task_runner.lib.outcome import Outcome
from task_runner.lib.state import STALLED_AFTER, State
from task_runner.lib.task_dir import TaskDir
from task_runner.service.watch import elsewhere

BEGUN = {"started_at": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def task(tmp_path: Path) -> elsewhere._Task:
    """Give a task that was handed over and not heard of since."""
    return elsewhere._Task(TaskDir(str(tmp_path), "a"))


def seen(task: elsewhere._Task, place: Place, says: str | None = "its job is GONE") -> None:
    task.sighting = Sighting(place, says)


@pytest.mark.parametrize("place", [Place.CANCELED, Place.ENDED, Place.MISSING])
@pytest.mark.parametrize("stop", [False, True])
def test_what_has_begun_and_left_no_result_is_lost(
    task: elsewhere._Task, place: Place, stop: bool
) -> None:
    task.record = {**BEGUN}
    seen(task, place)
    if stop:
        Path(task.directory.stop).touch()
    why = "its job is GONE; nobody saw how the task ended"
    assert elsewhere._verdict_on(task) == (State.LOST, Outcome.UNKNOWN, why)


@pytest.mark.parametrize(
    ("place", "outcome"),
    [
        (Place.CANCELED, Outcome.CANCELED),
        (Place.ENDED, Outcome.ERROR),
        (Place.MISSING, Outcome.ERROR),
    ],
)
def test_what_never_began_says_why(task: elsewhere._Task, place: Place, outcome: Outcome) -> None:
    seen(task, place)
    why = "its job is GONE, before the task began"
    assert elsewhere._verdict_on(task) == (State.EXITED, outcome, why)


@pytest.mark.parametrize("place", [Place.CANCELED, Place.ENDED, Place.MISSING])
def test_what_was_stopped_before_it_began_is_canceled(task: elsewhere._Task, place: Place) -> None:
    seen(task, place)
    Path(task.directory.stop).touch()
    assert elsewhere._verdict_on(task) == (State.EXITED, Outcome.CANCELED, None)


def test_the_last_words_of_the_node_are_shown_and_short(task: elsewhere._Task) -> None:
    seen(task, Place.ENDED, None)
    Path(task.directory.runner_log).write_bytes(b"x" * 10_000 + b"\xff: no such file\n")
    _, _, why = elsewhere._verdict_on(task)
    assert why is not None
    assert why.startswith("it is over there, before the task began: xxx")
    assert why.endswith("\N{REPLACEMENT CHARACTER}: no such file")
    assert len(why) < 600


@pytest.mark.parametrize("place", Place)
def test_only_what_is_still_there_can_hear_of_a_stop(task: elsewhere._Task, place: Place) -> None:
    assert not elsewhere._has_not_heard(task, Sighting(place))
    Path(task.directory.stop).touch()
    active = place in (Place.WAITING, Place.RUNNING)
    assert elsewhere._has_not_heard(task, Sighting(place)) is active
    task.record = {**BEGUN, "stop": "canceled"}
    assert not elsewhere._has_not_heard(task, Sighting(place))


@pytest.mark.parametrize(
    ("age", "silent"),
    [(None, True), (0, False), (STALLED_AFTER / 2, False), (STALLED_AFTER * 2, True)],
)
def test_who_has_sent_no_heartbeat_for_long_is_silent(
    task: elsewhere._Task, age: float | None, silent: bool
) -> None:
    if age is not None:
        Path(task.directory.status).touch()
        os.utime(task.directory.status, (time.time() - age,) * 2)
    assert elsewhere._is_silent(task.directory) is silent


def test_a_status_file_is_read_when_it_has_changed(task: elsewhere._Task) -> None:
    assert elsewhere._changed([task]) == []  # there is none yet
    status = Path(task.directory.status)
    draft = status.with_suffix(".draft")
    draft.write_text('{"finished_at": "2026-01-01T00:00:00+00:00", "exit_code": 3}')
    draft.rename(status)
    ((found, observed),) = elsewhere._changed([task])
    assert (found, observed.state, observed.exit_code) == (task, State.EXITED, 3)
    assert elsewhere._changed([task]) == []


def test_what_is_shown_has_the_words_of_the_system() -> None:
    sighting = Sighting(Place.WAITING, "it waits", {"job": "7", "reason": "Priority"})
    expected = {"place": "waiting", "says": "it waits", "job": "7", "reason": "Priority"}
    assert elsewhere._shown(sighting) == expected
