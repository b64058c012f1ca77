"""The one place that decides in which state a task is."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

HEARTBEAT = 60.0
STALLED_AFTER = 3 * HEARTBEAT


class State(StrEnum):
    """Where a task is on its way. EXITED is final; LOST can only become EXITED."""

    CREATED = "created"
    RUNNING = "running"
    STALLED = "stalled"
    STOPPING = "stopping"
    EXITED = "exited"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected to happen."""
        return self in (State.EXITED, State.LOST)


class Facts(NamedTuple):
    """What can be observed about a task from outside."""

    status: Mapping[str, Any] | None
    """The status file that TaskRunner writes; None before it has started."""
    heartbeat_age: float
    """Seconds since the status file was touched."""
    locked: bool
    """A TaskRunner holds the lock: it is alive, whatever else says."""
    machine_alive: bool | None
    """None: cannot be known, as on another host."""
    stop_asked: bool
    verdict: Mapping[str, Any] | None


def state_of(facts: Facts) -> State:
    """Decide.

    A result that was written is the truth and overrules everything, also a verdict. Silence is
    not death: a task is lost only when neither its TaskRunner nor its machine lives.
    """
    status = facts.status
    if status is not None and "finished_at" in status:
        return State.EXITED
    if facts.verdict is not None:
        return State(facts.verdict["state"])
    if status is None:
        return State.CREATED
    if not facts.locked and facts.machine_alive is False:
        return State.LOST
    if facts.stop_asked or "stop" in status:
        return State.STOPPING
    if facts.heartbeat_age > STALLED_AFTER:
        return State.STALLED
    return State.RUNNING
