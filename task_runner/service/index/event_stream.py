"""Reading the events from a cursor on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from task_runner.lib.errors import CursorGoneError, ValidationError
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index
from task_runner.service.index.rows import Event

BATCH = 500
NOW = "now"


class EventStream:
    """The events after a cursor, `<epoch>-<number>`; an index made anew has another epoch."""

    def __init__(self, index: Index, changes: Changes, epoch: str, after: int) -> None:
        """Read what follows event `after`."""
        self._index = index
        self._changes = changes
        self._epoch = epoch
        self._after = after

    @classmethod
    async def open(cls, index: Index, changes: Changes, cursor: str | None) -> "EventStream":
        """Find the place of a cursor; without one, the oldest event that is kept.

        Raises ValidationError when it is none, CursorGoneError when what follows it is gone.
        """
        epoch, first, last = await index.events_range()
        if cursor is None:
            return cls(index, changes, epoch, 0)
        if cursor == NOW:
            return cls(index, changes, epoch, last)
        name, dash, number = cursor.partition("-")
        if not dash or not number.isdecimal() or len(number) > 18:
            raise ValidationError("it is not the cursor of an event", "cursor")
        after = int(number)
        if name != epoch or after + 1 < first or after > last:
            raise CursorGoneError("the events after this cursor are not kept any more")
        return cls(index, changes, epoch, after)

    @property
    def cursor(self) -> str:
        """The cursor of the last event that was read, or of the place where it begins."""
        return f"{self._epoch}-{self._after}"

    async def read(
        self, until: Callable[[asyncio.Event], Awaitable[bool]] | None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield batches of events. `until` waits for more; without it, the end is the end."""
        if until is None:
            async for batch in self._rest():
                yield batch
            return
        with self._changes.of_all() as changed:
            while True:
                async for batch in self._rest():
                    yield batch
                if not await until(changed):
                    return

    async def _rest(self) -> AsyncIterator[list[dict[str, Any]]]:
        while events := await self._index.events_after(self._after, BATCH):
            self._after = events[-1].number
            yield [self._wire(event) for event in events]

    def _wire(self, event: Event) -> dict[str, Any]:
        return {
            "cursor": f"{self._epoch}-{event.number}",
            "taskId": event.task_id,
            "state": event.state,
            "at": event.at,
            "outcome": event.outcome,
            "exitCode": event.exit_code,
        }
