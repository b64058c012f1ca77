"""Removes tasks that are over when they are too old, too many or too large, the oldest end first.

Never one that is active, that somebody reads, or that somebody waits for. One worker at a time does
it, whichever comes first. Each removal is that of a DELETE, and survives being killed half-way.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from task_runner.environments.work_dir import STAGING, WorkDir
from task_runner.lib.clock import timestamp
from task_runner.lib.errors import TaskRunnerError
from task_runner.lib.task_dir import TaskDir
from task_runner.service.index.index import Index
from task_runner.service.index.rows import FIRST, Finished
from task_runner.service.readers import lock_directory, nobody_reads
from task_runner.service.threads import in_thread

INTERVAL = 5.0
"""Seconds between two rounds."""
BATCH = 200

log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """What is kept of tasks that are over; None is no limit."""

    seconds: float | None = None
    number: int | None = None
    size: int | None = None


class Retention:
    """Keeps the finished tasks of a work directory within limits."""

    def __init__(
        self,
        limits: Limits,
        work_dir: WorkDir,
        index: Index,
        remove: Callable[[str], Awaitable[None]],
        threads: ThreadPoolExecutor,
    ) -> None:
        """Do nothing yet. `remove` removes a task that is over; it raises TaskActiveError."""
        self.removed = dict.fromkeys(("age", "count", "size"), 0)
        """How many tasks this worker has removed, and why."""
        self._limits = limits
        self._work_dir = work_dir
        self._index = index
        self._remove = remove
        self._threads = threads

    async def run(self) -> None:
        """Look again and again, for as long as the service lives."""
        if self._limits == Limits():
            return
        while True:
            try:
                await self.round()
            except Exception:  # one bad round must not be the last one
                log.exception("retention failed; it is tried again")
            await asyncio.sleep(INTERVAL)

    async def round(self) -> None:
        """Remove what is beyond the limits, unless another worker is doing so."""
        try:
            turn = lock_directory(f"{self._work_dir.path}/{STAGING}", fcntl.LOCK_EX)
        except BlockingIOError:
            return
        try:
            if self._limits.size is not None:
                await self._measure()
            await self._remove_oldest()
        finally:
            os.close(turn)

    async def _measure(self) -> None:
        """Note the sizes of tasks that have ended since the last time."""
        while task_ids := await self._index.unmeasured(BATCH):
            paths = [self._directory(task_id).path for task_id in task_ids]
            sizes = await in_thread(self._threads, lambda paths: [*map(disk_usage, paths)], paths)
            await self._index.note_sizes(dict(zip(task_ids, sizes, strict=True)))

    async def _remove_oldest(self) -> None:
        count, size = await self._index.finished_totals()
        last = FIRST
        while tasks := await self._index.finished_after(last, BATCH):
            for task in tasks:
                reason = self._reason(task, count, size)
                if reason is None:
                    return
                # One that is kept for its readers goes later: no other has to go in its place.
                count, size = count - 1, size - task.size
                await self._try_to_remove(task.task_id, reason)
            last = tasks[-1]

    def _reason(self, task: Finished, count: int, size: int) -> str | None:
        """Say why the oldest of so many tasks has to go; None when it may stay, as all others."""
        seconds, most, largest = self._limits
        if seconds is not None and task.finished_at < timestamp(time.time() - seconds):
            return "age"
        if most is not None and count > most:
            return "count"
        if largest is not None and size > largest:
            return "size"
        return None

    async def _try_to_remove(self, task_id: str, reason: str) -> None:
        try:
            with nobody_reads(self._directory(task_id)) as alone:
                if not alone:
                    return
                await self._remove(task_id)
        except FileNotFoundError:  # removed from outside: only the index knows it
            await self._remove(task_id)
        except (TaskRunnerError, OSError, ValueError) as problem:  # it keeps no other from going
            log.warning("%s cannot be removed, it is tried again: %s", task_id, problem)
            return
        self.removed[reason] += 1
        log.info("task %s was removed for its %s", task_id, reason)

    def _directory(self, task_id: str) -> TaskDir:
        return TaskDir.of(self._work_dir.path, task_id)


def disk_usage(path: str) -> int:
    """Return the bytes on the disk of a directory and all below it that can be read."""
    return sum(found.st_blocks for found in _stats(path)) * 512


def _stats(path: str) -> Iterator[os.stat_result]:
    directories = [path]
    while directories:
        try:
            with os.scandir(directories.pop()) as entries:
                for entry in entries:
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.path)
        except OSError as problem:  # locked up by the task, or removed meanwhile
            log.debug("not all of %s can be measured: %s", path, problem)
