"""Nothing is forgotten: goes over the work directory at the start and over the claims all the time.

Whatever a service did when it died, a task is in one of three places: its directory is there and
the index does not know it; the index has it waiting; or a worker that is gone has claimed it.
"""

import asyncio
import logging
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from task_runner.environments.work_dir import WorkDir
from task_runner.lib.errors import ValidationError
from task_runner.lib.observe import Observation, observe
from task_runner.lib.state import STALLED_AFTER, State
from task_runner.lib.task import checked_record
from task_runner.lib.task_dir import PREFIX, TaskDir, read_json
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index
from task_runner.service.index.rows import Added
from task_runner.service.threads import in_thread
from task_runner.service.watch.watcher import Watcher

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two looks at the claims."""
ROUNDS_PER_CHECKUP = 6
"""Every so many looks, the heartbeats are looked at too."""


class Recovery:
    """Brings index, directories and processes back together."""

    def __init__(
        self,
        work_dir: WorkDir,
        index: Index,
        watcher: Watcher,
        changes: Changes,
        threads: ThreadPoolExecutor,
    ) -> None:
        """Do nothing yet."""
        self._work_dir = work_dir
        self._index = index
        self._watcher = watcher
        self._changes = changes
        self._set_aside = watcher.set_aside
        self._threads = threads
        self._stalled: set[str] = set()

    async def run(self) -> None:
        """Recover what was left by others, then keep looking, for as long as the service lives."""
        await self._log_failure(self.reconcile)
        rounds = 0
        while True:
            for step in (self._sweep, self._take_over, self._go_on_with_own):
                await self._log_failure(step)
            if rounds % ROUNDS_PER_CHECKUP == 0:
                await self._log_failure(self._check_heartbeats)
                await self._log_failure(self._index.forget_old_events)
            rounds += 1
            await asyncio.sleep(INTERVAL)

    async def _log_failure(self, step: Any) -> None:
        try:
            await step()
        except Exception:  # one bad round must not be the last one
            log.exception("recovery failed; it is tried again")

    async def reconcile(self) -> None:
        """Add the tasks that only have a directory, remove those that have none."""
        await in_thread(self._threads, self._look_for_strangers)
        known = await self._index.task_ids()
        there = await in_thread(self._threads, lambda: set(self._work_dir.task_ids()))
        found = await in_thread(self._threads, self._read_tasks, there - known)
        for asked, seen in sorted(found, key=lambda task: str(task[0]["createdAt"])):
            await self._add(asked, seen)
        for task_id in await in_thread(self._threads, self._really_gone, known - there):
            await self._index.remove(task_id)

    def _look_for_strangers(self) -> None:
        for name, reason in self._work_dir.strangers():
            self._set_aside.note(name, reason)

    async def _add(self, asked: dict[str, Any], seen: Observation) -> None:
        if seen.is_unjudged:  # not over until the watcher has passed a verdict
            seen = seen._replace(state=State.RUNNING)
        try:
            if await self._index.add(asked, seen) is Added.CLAIMED:
                self._watcher.go_on_with([asked["taskId"]])
        except (sqlite3.InterfaceError, sqlite3.ProgrammingError) as problem:  # no value for it
            self._set_aside.note(f"{PREFIX}{asked['taskId']}", problem)

    def _really_gone(self, task_ids: set[str]) -> list[str]:
        """Return those that have no directory; some may have been made a moment ago."""
        return [i for i in task_ids if not os.path.exists(self._watcher.directory(i).path)]

    def _read_tasks(self, task_ids: set[str]) -> list[tuple[dict[str, Any], Observation]]:
        found = []
        for task_id in task_ids:
            directory = TaskDir.of(self._work_dir.path, task_id)
            try:
                found.append((_read_task(directory), observe(directory)))
            except (ValueError, OSError) as problem:  # one damaged directory never hides the others
                self._set_aside.note(f"{PREFIX}{task_id}", problem)
        return found

    async def _sweep(self) -> None:
        """Look for tasks that a worker made a directory for, but died before it could tell."""
        if await in_thread(self._threads, self._work_dir.sweep):
            await self.reconcile()

    async def _take_over(self) -> None:
        for owner in await self._index.owners():
            if not await in_thread(self._threads, self._work_dir.is_alive, owner):
                self._watcher.go_on_with(await self._index.take_over(owner))

    async def _go_on_with_own(self) -> None:
        """Start what waits and has a slot, and go on with what was dropped for some trouble."""
        self._watcher.go_on_with(await self._index.claim_waiting())
        self._watcher.go_on_with(await self._index.owned())

    async def _check_heartbeats(self) -> None:
        """Note which of the running tasks have gone silent, and which have come back."""
        for task_id, stalled in await in_thread(self._threads, self._silent, self._watcher.watched):
            if stalled == (task_id in self._stalled):
                continue
            (self._stalled.add if stalled else self._stalled.discard)(task_id)
            seen = await in_thread(self._threads, observe, self._watcher.directory(task_id))
            if not seen.state.is_over and seen.state is not State.CREATED:
                await self._index.change(task_id, seen)
                self._changes.tell(task_id)
        self._stalled &= set(self._watcher.watched)

    def _silent(self, task_ids: list[str]) -> list[tuple[str, bool]]:
        now = time.time()
        ages = []
        for task_id in task_ids:
            try:
                age = now - os.stat(self._watcher.directory(task_id).status).st_mtime
            except FileNotFoundError:  # deleted or not begun
                continue
            ages.append((task_id, age > STALLED_AFTER))
        return ages


def _read_task(directory: TaskDir) -> dict[str, Any]:
    """Return what was asked for. Raises ValueError when it is damaged, or of another task."""
    asked = read_json(directory.task)
    if asked is None:
        raise ValueError(f"{directory.task} is missing")
    try:
        task = checked_record(asked)
    except ValidationError as problem:
        raise ValueError(f"{directory.task} is damaged: {problem}") from problem
    if task.task_id != directory.task_id:  # a copy, which is not to run a second time
        raise ValueError(f"{directory.task} is of another task, {task.task_id!r}")
    return asked
