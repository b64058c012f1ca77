"""Watches the tasks of this worker: starts them, sees their end at once, goes on with orphans.

A pidfd per TaskRunner stands in the event loop. It works on processes that are not our children,
so after a restart the tasks that are found are watched like those that are started. What runs in
another environment than this machine is passed on to `elsewhere.py`.
"""

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from task_runner.lib.errors import StartError, StartLaterError
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.observe import Observation, machine_alive, observe
from task_runner.lib.outcome import Outcome
from task_runner.lib.output import hold_fifo
from task_runner.lib.state import State
from task_runner.lib.task_dir import PREFIX, TaskDir, sync_file
from task_runner.service.environments import LOCAL, Environments
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index
from task_runner.service.set_aside import SetAside
from task_runner.service.threads import in_thread
from task_runner.service.watch.elsewhere import Elsewhere
from task_runner.service.watch.jobs import Jobs

log = logging.getLogger(__name__)

LOST = "both its TaskRunner and its machine are gone, and nobody saw how they ended"
ATTEMPTS = 3
"""TaskRunners that are launched to tidy up after a dead machine."""
REMOVED = "it was started, and its status file was removed from outside"


class Watch(NamedTuple):
    """What is open of a task that runs."""

    pidfd: int
    """Readable when its TaskRunner has ended."""
    fifos: list[int]
    """Of its output: should TaskRunner and machine both die, what is in there is kept."""

    def close(self) -> None:
        """Close all."""
        for fd in (self.pidfd, *self.fifos):
            os.close(fd)


class Watcher:
    """One task after the other: look, launch when nobody owns it, wait, and write down the end."""

    def __init__(
        self,
        environments: Environments,
        index: Index,
        changes: Changes,
        set_aside: SetAside,
        threads: ThreadPoolExecutor,
    ) -> None:
        """Watch nothing yet."""
        self._environments = environments
        self._environment = environments.local
        self._elsewhere: dict[str, Elsewhere] = {}
        self._index = index
        self._changes = changes
        self.set_aside = set_aside
        self._threads = threads
        self._watched: dict[str, Watch] = {}
        self._busy: set[str] = set()
        self._jobs = Jobs()

    @property
    def watched(self) -> list[str]:
        """The tasks that run and are watched by this worker."""
        return [*self._watched, *(i for other in self._elsewhere.values() for i in other.watched)]

    def _is_watched(self, task_id: str) -> bool:
        return task_id in self._watched or any(task_id in i for i in self._elsewhere.values())

    def directory(self, task_id: str) -> TaskDir:
        """Return the directory of a task."""
        return TaskDir.of(self._environment.work_dir.path, task_id)

    async def start(self, task_id: str, environment: str = LOCAL) -> State:
        """Start a task that this worker has claimed; return its state right after.

        Raises StartLaterError when it cannot be started now: it stays as it is, and claimed.
        """
        directory = self.directory(task_id)
        if environment != LOCAL:
            (await self._in(environment)).begin(directory)
            return State.CREATED
        try:
            launch = await in_thread(self._threads, self._environment.launch, directory)
        except StartLaterError:  # nothing is wrong with the task
            raise
        except StartError as problem:
            log.error("%s", problem)
            return await self._judge(directory, State.EXITED, Outcome.ERROR, str(problem))
        if launch.record is None:  # another TaskRunner got the lock first
            os.close(launch.pidfd)
            self._jobs.spawn(self.resume(task_id, LOCAL))
            return State.RUNNING
        if "finished_at" in launch.record:
            os.close(launch.pidfd)
            seen = Observation(State.EXITED, launch.record)
            await self._finish(directory, seen)
            return seen.state
        seen = Observation(State.RUNNING, launch.record)
        reach(Step.NOTE_START, directory.path)
        await self._index.change(task_id, seen)
        self._changes.tell(task_id)
        self._watch(task_id, launch.pidfd)
        return seen.state

    async def _in(self, name: str) -> Elsewhere:
        """Return who watches what runs in an environment. Raises StartError."""
        if name not in self._elsewhere:
            environment = await in_thread(self._threads, self._environments.remote, name)
            watch = Elsewhere(environment, self._index, self._changes, self._finish)
            self._elsewhere.setdefault(name, watch)
        return self._elsewhere[name]

    async def ask_to_stop(self, task_id: str, environment: str) -> None:
        """Have a task stopped, without waiting for the end. Raises StartError."""
        directory = self.directory(task_id)
        if environment == LOCAL:
            await in_thread(self._threads, self._environment.ask_to_stop, directory)
            return
        remote = await in_thread(self._threads, self._environments.remote, environment)
        await in_thread(self._threads, remote.note_stop, directory)
        (await self._in(environment)).cancel(directory)

    async def resume(self, task_id: str, environment: str | None = None) -> None:
        """Find out how far a task is, and go on from there."""
        if self._is_watched(task_id) or task_id in self._busy:
            return
        self._busy.add(task_id)
        try:
            if environment is None:
                environment = await self._environment_of(task_id)
            if environment == LOCAL:
                await self._resume(self.directory(task_id))
            else:
                await self._resume_elsewhere(self.directory(task_id), environment)
            self.set_aside.clear(f"{PREFIX}{task_id}")
        except StartLaterError as problem:
            log.warning("%s; it is tried again", problem)
        except StartError as problem:  # as of a plug-in that was removed
            log.error("%s; %s is left alone", problem, task_id)
        except FileNotFoundError:
            await self._index.remove(task_id)
        except (ValueError, OSError) as problem:
            self.set_aside.note(f"{PREFIX}{task_id}", problem)
        finally:
            self._busy.discard(task_id)

    async def _environment_of(self, task_id: str) -> str:
        row = await self._index.get(task_id)
        return LOCAL if row is None else str(row.asked.get("environment", LOCAL))

    async def _resume_elsewhere(self, directory: TaskDir, environment: str) -> None:
        seen: Observation = await in_thread(self._threads, observe, directory)
        if seen.state is State.EXITED or "judged_at" in seen.record:
            await self._finish(directory, seen)
        else:
            (await self._in(environment)).begin(directory)

    async def _resume(self, directory: TaskDir) -> None:
        seen: Observation = await in_thread(self._threads, observe, directory)
        if seen.state is State.CREATED and await self._was_started(directory.task_id):
            await self._judge(directory, State.LOST, Outcome.UNKNOWN, REMOVED)
        elif seen.state is State.CREATED:
            await self.start(directory.task_id)
            await self._sync_start(directory)
        elif seen.state is State.EXITED:
            await self._finish(directory, seen)
        else:
            await self._go_on(directory, seen)

    async def _sync_start(self, directory: TaskDir) -> None:
        sync = self._environment.work_dir.sync_names
        try:
            await in_thread(self._threads, sync, directory)
        except OSError as problem:  # it runs all the same
            log.warning("after a power cut %s may begin again: %s", directory.task_id, problem)

    async def _was_started(self, task_id: str) -> bool:
        """Say whether the index has seen a status file that is there no more."""
        row = await self._index.get(task_id)
        return row is not None and "started_at" in row.record

    async def _go_on(self, directory: TaskDir, seen: Observation) -> None:
        """Watch the owner of a task that is under way; launch one when there is none.

        What cannot be done now is left alone; Recovery comes back to it.
        """
        pidfd = await in_thread(self._threads, directory.open_holder)
        if pidfd is None:
            pidfd = await self._launch_adopter(directory, seen)
        if seen.state is State.LOST:
            await self._clear_away(directory, seen, pidfd)
            why = str(seen.record.get("error", LOST))  # of a status file that cannot be read
            await self._judge(directory, State.LOST, Outcome.UNKNOWN, why)
        elif pidfd is not None:
            await self._index.change(directory.task_id, seen)
            self._changes.tell(directory.task_id)
            self._watch(directory.task_id, pidfd)

    async def _clear_away(self, directory: TaskDir, seen: Observation, pidfd: int | None) -> None:
        """Let TaskRunners, should they be killed, move what a dead machine left and tidy up."""
        for _ in range(ATTEMPTS):
            if pidfd is None:
                return
            await self._wait_for(pidfd)
            if not await in_thread(self._threads, os.path.exists, directory.output.fifo):
                return
            pidfd = await self._launch_adopter(directory, seen)

    async def _launch_adopter(self, directory: TaskDir, seen: Observation) -> int | None:
        """Launch a TaskRunner that goes on with a machine; None when that is of no use here."""
        if await in_thread(self._threads, machine_alive, directory, seen.record) is None:
            return None  # a machine of another host: nobody here can see or signal it
        try:
            launch = await in_thread(self._threads, self._environment.launch, directory)
        except StartError as problem:
            log.error("%s; it is tried again", problem)
            return None
        if launch.record is None:  # owned by somebody who cannot be seen, as in another container
            os.close(launch.pidfd)
            return None
        return launch.pidfd

    async def _wait_for(self, pidfd: int) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    def _watch(self, task_id: str, pidfd: int) -> None:
        if task_id in self._watched:
            os.close(pidfd)
            return
        directory = self.directory(task_id)
        fifos = [hold_fifo(files.fifo) for files in (directory.output, directory.stderr)]
        self._watched[task_id] = Watch(pidfd, [fd for fd in fifos if fd is not None])
        asyncio.get_running_loop().add_reader(pidfd, self._ended, task_id)

    def _ended(self, task_id: str) -> None:
        """Take notice that the TaskRunner of a task has ended, for better or worse."""
        watch = self._watched.pop(task_id)
        asyncio.get_running_loop().remove_reader(watch.pidfd)
        self._jobs.spawn(self._resume_after(watch, task_id))

    async def _resume_after(self, watch: Watch, task_id: str) -> None:
        try:
            await self.resume(task_id, LOCAL)
        finally:
            watch.close()

    async def _judge(self, directory: TaskDir, state: State, outcome: Outcome, why: str) -> State:
        judge = self._environment.judge
        seen: Observation = await in_thread(self._threads, judge, directory, state, outcome, why)
        await self._finish(directory, seen)
        return seen.state

    async def _finish(self, directory: TaskDir, seen: Observation) -> None:
        if (
            seen.is_unjudged or not seen.state.is_over
        ):  # the verdict was refused: somebody lives after all
            log.warning("%s is %s after all", directory.task_id, seen.state)
            return  # Recovery looks at it again
        reach(Step.NOTE_END, directory.path)
        claimed = await self._index.finish(directory.task_id, seen)
        self._changes.tell(directory.task_id)
        self.go_on_with(claimed)
        self._threads.submit(self._clear_up, directory, seen)

    def _clear_up(self, directory: TaskDir, seen: Observation) -> None:
        """Do what can wait until the end is told: this can take a second."""
        try:
            self._environment.tidy(directory)
            if seen.state is State.EXITED:
                _sync_result(directory, seen)
        except FileNotFoundError:
            log.debug("%s was deleted already", directory.task_id)
        except (OSError, ValueError):
            log.exception("the result of %s may not survive a power cut", directory.task_id)

    def go_on_with(self, task_ids: list[str]) -> None:
        """Start, or go on watching, tasks that this worker has claimed."""
        for task_id in task_ids:
            if not self._is_watched(task_id):
                self._jobs.spawn(self.resume(task_id))

    async def close(self) -> None:
        """Stop watching; the tasks go on."""
        for task_id in list(self._watched):
            watch = self._watched.pop(task_id)
            asyncio.get_running_loop().remove_reader(watch.pidfd)
            watch.close()
        await self._jobs.close()
        for elsewhere in self._elsewhere.values():
            await elsewhere.close()


def _sync_result(directory: TaskDir, seen: Observation) -> None:
    """Make a result survive a power cut."""
    reach(Step.SYNC_RESULT, directory.path)
    sync_file(directory.status)
    for name, files in (("output", directory.output), ("stderr", directory.stderr)):
        if seen.record.get(f"{name}_size"):
            sync_file(files.log)
