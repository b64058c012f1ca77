"""Accepting a task: checked, written down, entered into the index, started, or refused whole."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from task_runner.lib.errors import (
    StartLaterError,
    TaskActiveError,
    TaskDamagedError,
    TaskExistsError,
    TaskNotFoundError,
    UnreachableError,
    ValidationError,
)
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.observe import Observation
from task_runner.lib.state import State
from task_runner.lib.task import Task, task_from_dict, task_from_record
from task_runner.lib.task_dir import TaskDir, read_json
from task_runner.service.capacity import Capacity
from task_runner.service.defaults import with_defaults
from task_runner.service.environments import LOCAL, Environments
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index
from task_runner.service.index.rows import Added, Row
from task_runner.service.rerun import fields_of_rerun
from task_runner.service.settings import Settings
from task_runner.service.threads import in_thread, patiently
from task_runner.service.watch.watcher import Watcher

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a submission waits for another one of the same task that is under way."""


class Submission:
    """Submit, check, run once more."""

    def __init__(
        self,
        settings: Settings,
        environments: Environments,
        index: Index,
        changes: Changes,
        watcher: Watcher,
        *,
        threads: ThreadPoolExecutor,
    ) -> None:
        """Accept what the settings and the environments allow."""
        self._settings = settings
        self._environments = environments
        self._work_dir = environments.local.work_dir
        self._index = index
        self._changes = changes
        self._watcher = watcher
        self._threads = threads
        self.capacity = Capacity(self._work_dir.path, settings.min_free_bytes, threads)

    async def submit(self, fields: dict[str, Any]) -> tuple[str, str]:
        """Accept a task, start it when there is a free slot; return its identifier and state.

        `fields` are as for `task_from_dict`. The same task with the same identifier again is
        answered like the first time. Raises ValidationError, TaskExistsError when the identifier
        belongs to another task, StartLaterError and DiskFullError when this node can take no more
        now, OSError. What was refused is not stored, and never runs.
        """
        await self.capacity.check()
        try:
            directory, asked = await in_thread(self._threads, self._accept, fields)
        except TaskExistsError:
            directory, asked = await in_thread(self._threads, self._stored_again, fields)
            added = await self._add(asked)  # should who made the directory not have lived to
        else:
            added = await self._add_new(directory, asked)
        return await self._answer(directory, asked, added)

    async def check(self, fields: dict[str, Any]) -> None:
        """Check a task like `submit`, and do nothing. Raises the same errors."""
        await in_thread(self._threads, self._check, fields)

    async def rerun(self, task_id: str, changes: Mapping[str, Any]) -> tuple[str, str]:
        """Submit a task once more, with what `changes` says; see `fields_of_rerun`.

        It does not matter whether the original is over. Returns like `submit`, and raises the
        same; TaskNotFoundError when there is no such task, TaskDamagedError.
        """
        await self._index.known(task_id)
        try:
            stored = await in_thread(self._threads, read_json, self._directory(task_id).task)
        except ValueError as problem:
            raise TaskDamagedError(f"it cannot be run again: {problem}") from problem
        if stored is None:
            raise TaskNotFoundError(f"there is no task {task_id!r}")
        return await self.submit(fields_of_rerun(task_id, stored, changes))

    def _directory(self, task_id: str) -> TaskDir:
        return TaskDir.of(self._work_dir.path, task_id)

    def _accept(self, fields: dict[str, Any]) -> tuple[TaskDir, dict[str, Any]]:
        """Check a task, which for a long script takes a while, and make its directory."""
        return self._work_dir.create(self._checked(fields), max_output=self._settings.max_output)

    def _check(self, fields: dict[str, Any]) -> None:
        task = self._checked(fields)
        if task.task_id is not None and os.path.exists(self._directory(task.task_id).path):
            self._stored_like(task)

    def _checked(self, fields: dict[str, Any]) -> Task:
        task = self._task_of(fields)
        self._environments.admit(task)
        most, wanted = self._settings.max_output, task.max_output
        if most is not None and wanted is not None and wanted > most:
            raise ValidationError(f"it must be at most {most}: the setting max_output", "maxOutput")
        return task

    def _task_of(self, fields: dict[str, Any]) -> Task:
        """Make the task, with the settings' defaults. Raises ValidationError."""
        given = with_defaults(fields, self._settings.task_defaults)
        environment = {"environment": self._settings.environment}
        return task_from_dict({**environment, **given}, self._work_dir.policy)

    def _stored_again(self, fields: dict[str, Any]) -> tuple[TaskDir, dict[str, Any]]:
        return self._stored_like(self._task_of(fields))

    def _stored_like(self, task: Task) -> tuple[TaskDir, dict[str, Any]]:
        """Return directory and record of a task submitted again.

        Raises TaskExistsError when another one has its identifier, StartLaterError when that is
        free again.
        """
        directory = self._directory(str(task.task_id))
        with suppress(ValueError):  # damaged, and so another one
            stored = read_json(directory.task)
            if stored is not None and task_from_record(stored) == task:
                return directory, stored
        if not os.path.exists(directory.path):
            raise _not_now(directory.task_id)
        raise TaskExistsError(f"there is another task {task.task_id!r} already")

    async def _add(self, asked: dict[str, Any]) -> Added:
        return await self._index.add(asked, Observation(State.CREATED, {}))

    async def _add_new(self, directory: TaskDir, asked: dict[str, Any]) -> Added:
        try:
            return await self._add(asked)
        except (sqlite3.Error, OSError):
            await patiently(self._threads, self._work_dir.remove, directory)
            raise

    async def _answer(
        self, directory: TaskDir, asked: dict[str, Any], added: Added
    ) -> tuple[str, str]:
        """Return identifier and state of an accepted task, once nothing can undo that."""
        # A sync mostly waits, so the task starts meanwhile; the answer waits for both, and for a
        # second one, which makes the start last too.
        synced = asyncio.ensure_future(patiently(self._threads, self._work_dir.sync, directory))
        synced.add_done_callback(lambda done: done.cancelled() or done.exception())
        state = State.CREATED
        if added is Added.CLAIMED:
            state = await self._start(directory, asked)
        elif added is Added.KNOWN:
            state = await self._decided(directory.task_id)
        await synced
        await patiently(self._threads, self._work_dir.sync_names, directory)
        reach(Step.ANSWER, directory.path)
        return directory.task_id, state

    async def _start(self, directory: TaskDir, asked: dict[str, Any]) -> State:
        """Start a new task, or take it back; what can be done neither way waits."""
        try:
            return await self._watcher.start(directory.task_id, asked["environment"])
        except StartLaterError:
            self.capacity.refused["start"] += 1
            if await self._take_back(directory, asked):
                raise
        except FileNotFoundError as problem:  # another submission of it has taken it back
            await self._index.remove(directory.task_id, asked["createdAt"])
            raise _not_now(directory.task_id) from problem
        except (OSError, sqlite3.Error):  # Recovery goes on with it
            log.exception("%s is accepted, and cannot be started yet", directory.task_id)
        return State.CREATED

    async def _take_back(self, directory: TaskDir, asked: dict[str, Any]) -> bool:
        """Remove a task that is not started; False when it cannot be, and so is to run."""
        try:
            await in_thread(self._threads, self._environments.local.remove, directory)
        except (TaskActiveError, UnreachableError, OSError, ValueError) as problem:
            log.warning("%s cannot be started yet, it waits: %s", directory.task_id, problem)
            return False
        await self._index.remove(directory.task_id, asked["createdAt"])
        self._changes.tell(directory.task_id)
        return True

    async def _decided(self, task_id: str) -> State:
        """Wait until the submission that is to start a task has done so, or taken it back.

        Before that nobody may be told that the task is accepted. Raises StartLaterError.
        """
        with self._changes.of_task(task_id) as changed, suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while (row := await self._index.get(task_id)) is not None:
                    if not _is_being_started(row):
                        return row.state
                    await changed.wait()
                    changed.clear()
        raise _not_now(task_id)


def _is_being_started(row: Row) -> bool:
    """Say whether who has claimed a task might take it back: here only, and before it runs."""
    here = row.asked.get("environment", LOCAL) == LOCAL
    return here and row.state is State.CREATED and row.owner is not None


def _not_now(task_id: str) -> StartLaterError:
    return StartLaterError(f"another request submitted {task_id} and has not started it; ask again")
