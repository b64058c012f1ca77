"""Who waits for a change hears of it, whichever worker made it.

What this worker writes, it tells at once. What others write is in the events of the index, their
only channel, and seen by `PRAGMA data_version`, which is asked only while somebody waits.
"""

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from task_runner.service.index.index import Index

INTERVAL = 0.025
"""Seconds between two looks at what other workers did."""
BATCH = 1000

log = logging.getLogger(__name__)


class Changes:
    """Hands every new event to those who wait for it."""

    def __init__(self, index: Index) -> None:
        """Wait for nothing until somebody subscribes."""
        self._index = index
        self._by_task: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._of_all: set[asyncio.Event] = set()
        self._reader: asyncio.Task[None] | None = None

    def tell(self, task_id: str) -> None:
        """Say that this worker has written something about a task."""
        for changed in (*self._by_task.get(task_id, ()), *self._of_all):
            changed.set()

    def wake_everybody(self) -> None:
        """Let everybody look again, as when the server stops."""
        for changed in (*self._of_all, *(one for some in self._by_task.values() for one in some)):
            changed.set()

    @contextmanager
    def of_task(
        self, task_id: str, changed: asyncio.Event | None = None
    ) -> Iterator[asyncio.Event]:
        """Give an event that is set at every change of one task; clear it before looking again."""
        changed = changed or asyncio.Event()
        self._by_task[task_id].add(changed)
        self._start()
        try:
            yield changed
        finally:
            self._by_task[task_id].discard(changed)
            if not self._by_task[task_id]:
                del self._by_task[task_id]

    @contextmanager
    def of_all(self) -> Iterator[asyncio.Event]:
        """Give an event that is set at every change of anything."""
        changed = asyncio.Event()
        self._of_all.add(changed)
        self._start()
        try:
            yield changed
        finally:
            self._of_all.discard(changed)

    def _start(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), name="changes")

    async def _read(self) -> None:
        """Hand out events until nobody waits any more."""
        _, _, last = await self._index.events_range()
        self.wake_everybody()  # what happened before `last` was known
        version = -1
        while self._by_task or self._of_all:
            await asyncio.sleep(INTERVAL)
            try:
                if version != (version := await self._index.data_version()):
                    last = await self._hand_out(last)
            except sqlite3.Error:  # whoever waits is better served late than never
                log.exception("the index cannot be read; it is tried again")

    async def _hand_out(self, last: int) -> int:
        """Tell of every event after `last`; return the last one now."""
        while events := await self._index.events_after(last, BATCH):
            last = events[-1].number
            for event in events:
                self.tell(event.task_id)
        return last

    async def close(self) -> None:
        """Look no more."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
