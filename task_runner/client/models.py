"""What a node tells, typed. Every name of the wire that is not here is in `data`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self

from task_runner.client.errors import ProtocolError
from task_runner.lib.outcome import Outcome
from task_runner.lib.state import State


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it was when the node was asked. What is not known, or was not asked, is None."""

    task_id: str
    state: State
    outcome: Outcome | None
    exit_code: int | None
    """Its own; -1 canceled, -2 time-out, -3 exception, 128 + n signal n."""
    error: str | None
    name: str | None
    machine: str | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    output_size: int | None
    """Bytes of log, once it is complete."""
    data: Mapping[str, Any] = field(repr=False)
    """Everything that the node said, under the names of the API."""

    @classmethod
    def of(cls, data: Any) -> Self:
        """Read an answer of the API. Raises ProtocolError."""
        try:
            return cls(
                task_id=data["taskId"],
                state=State(data["state"]),
                outcome=Outcome(data["outcome"]) if data.get("outcome") else None,
                exit_code=data.get("exitCode"),
                error=data.get("error"),
                name=data.get("name"),
                machine=data.get("machine"),
                created_at=_time(data.get("createdAt")),
                started_at=_time(data.get("startedAt")),
                finished_at=_time(data.get("finishedAt")),
                output_size=data.get("outputSize"),
                data=data,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise ProtocolError(f"this does not describe a task: {data!r:.200}") from problem

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected to happen."""
        return self.state.is_over

    @property
    def progress(self) -> float | None:
        """How far it says that it is, from 0 to 1."""
        status = self.data.get("status")
        value = status.get("progress") if isinstance(status, dict) else None
        return min(max(float(value), 0.0), 1.0) if isinstance(value, int | float) else None


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


class LogEntry(NamedTuple):
    """A line of a log; `offset` is that of the byte after it. A program's line has no level."""

    offset: int
    time: datetime | None
    level: str | None
    logger: str | None
    message: str
    data: Mapping[str, Any]
    """The same under the names of the API."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read a line of the API, parsed."""
        return cls(
            data["offset"],
            _time(data.get("time")),
            data.get("level"),
            data.get("logger"),
            data["message"],
            data,
        )


class Event(NamedTuple):
    """A change of state of a task; what follows it is found by its `cursor`."""

    cursor: str
    task_id: str
    state: str
    """A state, or `deleted`."""
    at: datetime | None
    outcome: str | None
    exit_code: int | None
    data: Mapping[str, Any]
    """The same under the names of the API."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read a line of the API, parsed."""
        return cls(
            data["cursor"],
            data["taskId"],
            data["state"],
            _time(data["at"]),
            data.get("outcome"),
            data.get("exitCode"),
            data,
        )
