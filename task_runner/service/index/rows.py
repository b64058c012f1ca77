"""What the index tells: tasks, events, and tasks that are over."""

import json
import sqlite3
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from task_runner.lib.state import State


class Added(Enum):
    """What came of adding a task to the index."""

    CLAIMED = "it is for this worker to start or to watch"
    LEFT = "it waits for a free slot, or is over"
    KNOWN = "it is there already, and stays as it is"


class Row(NamedTuple):
    """A task as the index knows it."""

    seq: int
    task_id: str
    state: State
    over: bool
    owner: str | None
    asked: Mapping[str, Any]
    record: Mapping[str, Any]
    created_at: str
    place: Mapping[str, Any] | None = None


class Event(NamedTuple):
    """A change of state; `state` may also be `deleted`."""

    number: int
    task_id: str
    state: str
    at: str
    outcome: str | None
    exit_code: int | None


class Finished(NamedTuple):
    """A task that is over, in the order of the ends; `size` is 0 until it was measured."""

    task_id: str
    finished_at: str
    seq: int
    size: int


FIRST = Finished("", "", 0, 0)
"""Before all others."""


def row_of(row: sqlite3.Row) -> Row:
    """Return a task from a row of `tasks`."""
    return Row(
        seq=row["seq"],
        task_id=row["task_id"],
        state=State(row["state"]),
        over=bool(row["over"]),
        owner=row["owner"],
        asked=json.loads(row["asked"]),
        record=json.loads(row["record"]),
        created_at=row["created_at"],
        place=json.loads(row["place"] or "null"),
    )
