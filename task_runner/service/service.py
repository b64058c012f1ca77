"""The service: what the API does, without HTTP. All it knows is on disk."""

import asyncio
import logging
import os
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.clock import since_boot
from task_runner.lib.errors import TaskActiveError, ValidationError
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.observe import Observation, observe
from task_runner.lib.policy import Policy
from task_runner.lib.state import State
from task_runner.lib.task_dir import TaskDir, read_json
from task_runner.service.capacity import raise_open_files, thread_count
from task_runner.service.environments import LOCAL, Environments
from task_runner.service.files.task_files import TaskFiles
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index
from task_runner.service.index.page import Page
from task_runner.service.index.rows import Row
from task_runner.service.isolations import isolation_views
from task_runner.service.logs.follower import Followers
from task_runner.service.logs.stream import LogStream
from task_runner.service.machines import machine_views
from task_runner.service.readers import Readers
from task_runner.service.retention import Limits, Retention
from task_runner.service.set_aside import SetAside
from task_runner.service.settings import Settings
from task_runner.service.submission import Submission
from task_runner.service.system import system_view
from task_runner.service.threads import in_thread, start_threads
from task_runner.service.views import full_view, result_view
from task_runner.service.watch.recovery import Recovery
from task_runner.service.watch.watcher import Watcher

log = logging.getLogger(__name__)

LOG_THREADS = 4
"""Of their own: a crowd of readers must not keep a task from starting."""
SEARCH_THREADS = 2
STOP_PATIENCE = 0.5
"""Seconds that a stop waits for the end, before it says how far it is."""


class TaskService:
    """List, view, wait, stop, delete; `submission` and `files` do the rest. One for each worker."""

    def __init__(self, settings: Settings) -> None:
        """Open work directory and index. Raises WorkDirError, sqlite3.Error."""
        self.settings = settings
        self._started = since_boot()
        raise_open_files()
        self._threads = start_threads(thread_count(), "service")
        local = MultiprocessEnvironment(settings.work_dir, policy=_policy(settings))
        self._environments = Environments(local, settings.environments)
        self._work_dir = work_dir = local.work_dir
        self._policy = work_dir.policy
        path = settings.index_path or f"{work_dir.path}/index.sqlite"
        self.index = Index(path, work_dir.owner, settings.max_running)
        self.changes = Changes(self.index)
        self._set_aside = SetAside(work_dir.path)
        if self.index.damage is not None:
            self._set_aside.note(*self.index.damage)
        self._watcher = Watcher(
            self._environments, self.index, self.changes, self._set_aside, self._threads
        )
        self.submission = Submission(
            settings,
            self._environments,
            self.index,
            self.changes,
            self._watcher,
            threads=self._threads,
        )
        self._recovery = Recovery(work_dir, self.index, self._watcher, self.changes, self._threads)
        limits = Limits(settings.retain_seconds, settings.retain_count, settings.retain_bytes)
        self.retention = Retention(limits, work_dir, self.index, self._remove, self._threads)
        self._readers = Readers()
        self.closing = asyncio.Event()
        """Set when the server stops: whoever waits is to come to an end."""
        self._log_threads = start_threads(LOG_THREADS, "logs")
        self.files = TaskFiles(work_dir.path, self.index, self._readers, self._log_threads)
        self._searchers = start_threads(SEARCH_THREADS, "search")
        self._finding_out = asyncio.Lock()
        """Held while programs are asked: should they hang, they occupy one thread, not all."""
        self._followers = Followers(self._log_threads, self.closing)

    async def start(self) -> None:
        """Recover what is there, in the background unless the index is new, and be ready."""
        if await self.index.is_empty():
            await self._recovery.reconcile()
        self._retaining = asyncio.create_task(self.retention.run(), name="retention")
        self._recovering = asyncio.create_task(self._recovery.run(), name="recovery")
        self._ending = asyncio.create_task(self._end_waits(), name="end of waits")

    async def _end_waits(self) -> None:
        await self.closing.wait()
        self.changes.wake_everybody()

    async def close(self) -> None:
        """Let go of everything; every task goes on."""
        self.closing.set()
        jobs = (self._recovering, self._retaining)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, self._ending, return_exceptions=True)
        await self._watcher.close()
        await self.changes.close()
        self._threads.shutdown()
        self._log_threads.shutdown()
        self._searchers.shutdown()
        self.index.close()
        self._environments.close()

    async def set_aside(self) -> list[dict[str, str]]:
        """Return `path` and `reason` of what is in the work directory and cannot be used."""
        return await in_thread(self._threads, self._set_aside.listed)

    async def environments(self) -> list[dict[str, Any]]:
        """Return every environment there is, and whether it can be used here."""
        async with self._finding_out:
            return await in_thread(self._threads, self._environments.views)

    async def isolations(self) -> list[dict[str, Any]]:
        """Return every isolation there is, and whether it can be used here."""
        async with self._finding_out:
            return await in_thread(self._threads, isolation_views, self._policy)

    async def machines(self) -> list[dict[str, Any]]:
        """Return every machine that a task can name."""
        return await in_thread(self._threads, machine_views)

    async def system(self) -> dict[str, Any]:
        """Return what this node is and how it does; see `system_view`."""
        counts = await self.index.count_states()
        uptime = since_boot() - self._started
        return await in_thread(self._threads, system_view, self.settings, counts, uptime)

    async def row(self, task_id: str, wait: float = 0) -> Row:
        """Return a task as it is now, or with `wait` (seconds at most) once it is over.

        The end of the server ends a wait too. What is over comes from the index, the rest from
        its directory. Raises TaskNotFoundError.
        """
        row = await (self._known_when_over(task_id, wait) if wait else self.index.known(task_id))
        if row.state is State.EXITED or (row.state is State.CREATED and row.owner is None):
            return row
        with suppress(ValueError):  # damaged: the index has the last that was readable
            seen: Observation = await in_thread(self._threads, observe, self.directory(task_id))
            if row.state is State.LOST and seen.state is State.EXITED:
                await self.index.finish(task_id, seen)
            if seen.is_unjudged:
                return row
            if seen.state is State.CREATED and row.record:
                return row  # its status file was removed from outside
            row = row._replace(state=seen.state, over=seen.state.is_over, record=seen.record)
        return row

    async def view(self, task_id: str, wait: float = 0) -> dict[str, Any]:
        """Return everything known of a task, at the moment `row` tells.

        Values of `env` are never shown: they are secrets. Raises TaskNotFoundError.
        """
        directory = self.directory(task_id)
        with self._readers.hold(directory) if wait else nullcontext():
            row = await self.row(task_id, wait)
            stored: dict[str, Any] | None = {}
            with suppress(ValueError):  # damaged; the rest is known
                stored = await in_thread(self._threads, read_json, directory.task)
        return full_view(row, stored or {})

    async def _known_when_over(self, task_id: str, seconds: float) -> Row:
        with self.changes.of_task(task_id) as changed:
            row = await self.index.known(task_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not row.over and await self.until(changed):
                        row = await self.index.known(task_id)
        return row

    async def until(self, changed: asyncio.Event) -> bool:
        """Wait for an event of `changes` and clear it; False when the server stops."""
        if not self.closing.is_set():
            await changed.wait()
        changed.clear()
        return not self.closing.is_set()

    async def states_of(self, page: Page) -> list[tuple[int, str, str]]:
        """Return place, identifier and state of the tasks of a page."""
        return await self.index.states_of(page)

    async def views_of(self, page: Page) -> list[tuple[int, dict[str, Any]]]:
        """Return place and everything but parameters of the tasks of a page."""
        return [(row.seq, full_view(row)) for row in await self.index.rows_of(page)]

    async def stop(self, task_id: str) -> dict[str, Any]:
        """Ask a task to stop, wait a moment for its end; return it as it is then.

        A waiting task is canceled out of its turn, and never runs. Raises TaskNotFoundError,
        StartError, StopError.
        """
        row = await self.row(task_id)
        if not row.over:
            claimed = await self.index.claim(task_id)
            directory = self.directory(task_id)
            await self._watcher.ask_to_stop(task_id, row.asked.get("environment", LOCAL))
            seen = await in_thread(self._threads, observe, directory)
            if not seen.state.is_over and seen.state is not State.CREATED:
                await self.index.change(task_id, seen)
                self.changes.tell(task_id)
            if claimed:
                await self._watcher.resume(task_id)
        return await self.view(task_id, 0 if row.over else STOP_PATIENCE)

    async def delete(self, task_id: str) -> None:
        """Remove a task that is over, with all its files.

        Raises TaskNotFoundError, TaskActiveError, UnreachableError when something of it elsewhere,
        such as a container, cannot be removed for now.
        """
        row = await self.row(task_id)
        if not row.over:
            raise TaskActiveError(f"{task_id} is not over; stop it first")
        await self._remove(task_id)

    async def _remove(self, task_id: str) -> None:
        row = await self.index.get(task_id)
        environment = LOCAL if row is None else row.asked.get("environment", LOCAL)
        directory = self.directory(task_id)
        try:
            await in_thread(
                self._threads, lambda: self._environments.of(environment).remove(directory)
            )
        except FileNotFoundError:  # somebody else was faster, or died halfway
            log.info("the directory of %s is gone already", task_id)
        reach(Step.FORGET, directory.path)
        await self.index.remove(task_id, row and row.created_at)
        self.changes.tell(task_id)

    async def open_log(
        self, task_id: str, changed: asyncio.Event, *, stderr: bool = False
    ) -> LogStream:
        """Return a log of a task; `changed` tells it when to look whether the task is over.

        `stderr` asks for that of standard error. Raises TaskNotFoundError, ValidationError when
        the task has none.
        """
        asked = (await self.row(task_id)).asked
        if stderr and asked.get("stderr") != "separate":
            detail = "standard error is in the output of this task; it has no log of its own"
            raise ValidationError(detail, "stream")
        directory = self.directory(task_id)
        files = directory.stderr if stderr else directory.output

        async def result() -> dict[str, Any] | None:
            row = await self.row(task_id)
            return result_view(row) if row.over else None

        hold = partial(self._readers.hold, directory)
        return LogStream(files, self._followers, result, changed, self._searchers, hold=hold)

    def directory(self, task_id: str) -> TaskDir:
        """Return the directory of a task that the index knows."""
        return self._watcher.directory(task_id)


def _policy(settings: Settings) -> Policy:
    index = settings.index_path
    return Policy(
        tuple(settings.allowed_read_only),
        tuple(settings.allowed_writable),
        (os.path.dirname(os.path.abspath(index)),) if index else (),
        tuple(settings.container_command),
    )
