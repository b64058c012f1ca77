from typing import Any

import pytest

from task_runner.lib.state import STALLED_AFTER, Facts, State, state_of

STARTED = {"started_at": "then"}
STOPPING = STARTED | {"stop": {"reason": "timeout"}}
FINISHED = STARTED | {"finished_at": "now"}
LOST = {"state": "lost"}
GIVEN_UP = {"state": "exited"}


def facts(status: dict[str, Any] | None, **others: Any) -> Facts:
    ordinary = Facts(
        status, heartbeat_age=1.0, locked=True, machine_alive=None, stop_asked=False, verdict=None
    )
    return ordinary._replace(**others)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # A result is the truth and overrules everything.
        (facts(FINISHED), State.EXITED),
        (facts(FINISHED, verdict=LOST), State.EXITED),
        (facts(FINISHED, locked=False, machine_alive=True, stop_asked=True), State.EXITED),
        (facts(FINISHED, heartbeat_age=1e9), State.EXITED),
        # Then a verdict.
        (facts(None, verdict=GIVEN_UP, locked=False), State.EXITED),
        (facts(STARTED, verdict=LOST, locked=False, machine_alive=True), State.LOST),
        (facts(STARTED, verdict=LOST, stop_asked=True), State.LOST),
        # Not started.
        (facts(None), State.CREATED),
        (facts(None, locked=False), State.CREATED),
        (facts(None, stop_asked=True), State.CREATED),
        # Only when both are known to be dead it is lost.
        (facts(STARTED, locked=False, machine_alive=False), State.LOST),
        (facts(STARTED, locked=False, machine_alive=False, stop_asked=True), State.LOST),
        (facts(STOPPING, locked=False, machine_alive=False), State.LOST),
        (facts(STARTED, locked=False, machine_alive=True), State.RUNNING),
        (facts(STARTED, locked=False, machine_alive=None), State.RUNNING),
        (facts(STARTED, locked=True, machine_alive=False), State.RUNNING),
        # A stop, whoever wants it.
        (facts(STARTED, stop_asked=True), State.STOPPING),
        (facts(STOPPING), State.STOPPING),
        (facts(STOPPING, locked=False, machine_alive=True), State.STOPPING),
        (facts(STOPPING, heartbeat_age=1e9), State.STOPPING),
        # Silence.
        (facts(STARTED, heartbeat_age=STALLED_AFTER), State.RUNNING),
        (facts(STARTED, heartbeat_age=STALLED_AFTER + 0.001), State.STALLED),
        (facts(STARTED, heartbeat_age=1e9, locked=False, machine_alive=None), State.STALLED),
        (facts(STARTED, heartbeat_age=-3600), State.RUNNING),
        (facts(STARTED), State.RUNNING),
    ],
)
def test_every_line_of_the_decision(seen: Facts, expected: State) -> None:
    assert state_of(seen) is expected


def test_what_is_over() -> None:
    assert {state for state in State if state.is_over} == {State.EXITED, State.LOST}


def test_a_verdict_that_names_no_state() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        state_of(facts(STARTED, verdict={"state": "nonsense"}))
