"""Watches the tasks of this worker that run elsewhere: hands them over, looks how they are.

Two things tell of such a task. Its status file, brought by the shared file system, is the truth and
read whenever it has changed. The environment is asked about all tasks at once, the less often the
less happens; what it says is shown, and decides only that a task without a result will not get one.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from task_runner.environments.base import Place, RemoteEnvironment, Sighting
from task_runner.lib.errors import StartError, UnreachableError
from task_runner.lib.handle import owner
from task_runner.lib.observe import Observation, observe
from task_runner.lib.outcome import Outcome
from task_runner.lib.state import STALLED_AFTER, State
from task_runner.lib.task_dir import TaskDir
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index
from task_runner.service.threads import in_thread
from task_runner.service.watch.jobs import Jobs

if TYPE_CHECKING:
    from task_runner.lib.status_file import Record

log = logging.getLogger(__name__)

THREADS = 4
"""So many programs of a batch system run at a time, and so many more that stop something."""
FILES_PAUSE = 0.25
"""Seconds between two looks at the status files, when that is quick."""
QUIET = 20
"""Asking takes at most a part of so many of the time: a slow system is asked less."""
TAIL = 500
"""Bytes of `runner.log` that are shown of a task that never began."""

Finish = Callable[[TaskDir, Observation], Awaitable[None]]
Stamp = tuple[int, int] | None


class _Task:
    """What is known of one task."""

    def __init__(self, directory: TaskDir) -> None:
        self.directory = directory
        self.handed_over = False
        self.stamp: Stamp = None
        self.state = State.CREATED
        self.record: Record = {}
        self.sighting = Sighting(Place.UNKNOWN)
        self.over_since: float | None = None


class Elsewhere:
    """The tasks of one remote environment."""

    def __init__(
        self, environment: RemoteEnvironment, index: Index, changes: Changes, finish: Finish
    ) -> None:
        """Watch nothing yet; `finish` writes down the end of a task."""
        self._environment = environment
        self._index = index
        self._changes = changes
        self._finish = finish
        self._threads = ThreadPoolExecutor(THREADS, "elsewhere")
        self._stops = ThreadPoolExecutor(THREADS, "stops elsewhere")
        """Of their own: many stops that hang must not keep a task from starting or ending."""
        self._being_stopped: set[str] = set()
        self._tasks: dict[str, _Task] = {}
        self._jobs = Jobs()
        self._is_watching = False
        self._hurry = asyncio.Event()
        self._pause = environment.pause[0]
        self._look_at = 0.0

    @property
    def watched(self) -> list[str]:
        """The tasks that are not over."""
        return list(self._tasks)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._tasks

    def begin(self, directory: TaskDir) -> None:
        """Hand a task over unless that was done, and watch it until it is over."""
        if directory.task_id in self._tasks:
            return
        self._tasks[directory.task_id] = task = _Task(directory)
        self._jobs.spawn(self._begin(task))
        if not self._is_watching:
            self._is_watching = True
            self._jobs.spawn(self._watch())

    def cancel(self, directory: TaskDir) -> None:
        """Have a task stopped, as is noted already; programs that hang hold nobody else up."""
        self._jobs.spawn(self._cancel_and_look(directory))

    async def _cancel_and_look(self, directory: TaskDir) -> None:
        await self._cancel(directory)
        self._look_soon()

    def _look_soon(self) -> None:
        """Have a look before its time: something was done that is about to show."""
        self._pause = self._environment.pause[0]
        self._look_at = min(self._look_at, time.monotonic() + self._pause)
        self._hurry.set()
        self._hurry = asyncio.Event()

    async def _begin(self, task: _Task) -> None:
        """Hand a task over; what goes wrong here (a full disk, a damaged file) leaves it alone.

        Recovery comes back to it, as to everything that is not watched.
        """
        try:
            await self._hand_over(task)
        except Exception:
            self._tasks.pop(task.directory.task_id, None)
            raise

    async def _hand_over(self, task: _Task) -> None:
        """Launch the task; what cannot be reached now is tried again, ever more slowly."""
        pause, slowest = self._environment.pause
        while True:
            try:
                launched = await in_thread(self._threads, self._environment.launch, task.directory)
            except UnreachableError as problem:
                log.warning("%s waits: %s", task.directory.task_id, problem)
                await self._show([(task, Sighting(Place.UNKNOWN, str(problem)))])
                await self._sleep(pause)
                pause = min(pause * 2, slowest)
            except StartError as problem:
                log.error("%s", problem)
                await self._judge(task, State.EXITED, Outcome.ERROR, str(problem))
                return
            except FileNotFoundError:
                await self._forget(task)
                return
            else:
                if not launched:
                    await self._judge(task, State.EXITED, Outcome.CANCELED, None)
                task.handed_over = launched
                self._look_soon()
                return

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless somebody is in a hurry."""
        hurry = self._hurry
        try:
            async with asyncio.timeout(seconds):
                await hurry.wait()
        except TimeoutError:
            return

    async def _watch(self) -> None:
        """Look at the files all the time, and ask now and then, while there is a task."""
        while self._tasks:
            begin = time.monotonic()
            await self._log_failure(self._read_files)
            if time.monotonic() >= self._look_at and self._handed_over():
                await self._log_failure(self._look)
            took = time.monotonic() - begin
            await asyncio.sleep(max(FILES_PAUSE, took * 2))
        self._is_watching = False

    async def _log_failure(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception:  # one bad round must not be the last one, nor one bad task the only one
            log.exception("looking at tasks elsewhere failed; it is tried again")

    def _handed_over(self) -> list[_Task]:
        return [task for task in self._tasks.values() if task.handed_over]

    async def _read_files(self) -> None:
        """Take in every status file that has changed."""
        changed = await in_thread(self._threads, _changed, self._handed_over())
        await asyncio.gather(*(self._take_in(task, seen) for task, seen in changed))

    async def _take_in(self, task: _Task, seen: Observation) -> None:
        task.record = seen.record
        if seen.state is State.EXITED or "judged_at" in seen.record:
            self._tasks.pop(task.directory.task_id, None)
            await self._finish(task.directory, seen)
        elif seen.state not in (State.LOST, State.CREATED, task.state):
            # Lost it may seem to be: whether it is, the environment knows better.
            task.state = seen.state
            await self._index.change(task.directory.task_id, seen)
            self._changes.tell(task.directory.task_id)

    async def _look(self) -> None:
        """Ask the environment about all tasks, and act on what it says."""
        tasks = self._handed_over()
        begin = time.monotonic()
        sightings, unheard = await in_thread(self._threads, self._ask, tasks)
        took = time.monotonic() - begin
        moved = [(task, sightings[task]) for task in tasks if sightings[task] != task.sighting]
        await self._show(moved)
        for task in unheard:
            self._jobs.spawn(self._cancel(task.directory))
        for task in tasks:
            await self._log_failure(partial(self._act_on, task))
        fastest, slowest = self._environment.pause
        self._pause = fastest if moved else min(self._pause * 1.5, slowest)
        self._look_at = time.monotonic() + max(self._due(), took * QUIET)

    def _ask(self, tasks: list[_Task]) -> tuple[dict[_Task, Sighting], list[_Task]]:
        """Return how each is, and those that a stop was noted for but has not got to."""
        why = None
        said: Mapping[str, Sighting] = {}
        try:
            said = self._environment.look([task.directory for task in tasks])
        except UnreachableError as problem:
            why = str(problem)
            log.warning("%s", problem)
        unknown = Sighting(Place.UNKNOWN, why)
        sightings = {task: said.get(task.directory.task_id, unknown) for task in tasks}
        return sightings, [task for task in tasks if _has_not_heard(task, sightings[task])]

    async def _show(self, moved: list[tuple[_Task, Sighting]]) -> None:
        """Put what the environment says where everybody sees it."""
        for task, sighting in moved:
            task.sighting = sighting
        await asyncio.gather(
            *(
                self._index.set_place(task.directory.task_id, _shown(sighting))
                for task, sighting in moved
            )
        )
        for task, _ in moved:
            self._changes.tell(task.directory.task_id)

    async def _cancel(self, directory: TaskDir) -> None:
        """Pass a stop on to the job; who cannot be reached now is asked again at the next look."""
        if directory.task_id in self._being_stopped:
            return
        self._being_stopped.add(directory.task_id)
        try:
            job = await in_thread(self._stops, owner, directory)
            if job is not None:
                await in_thread(self._stops, self._environment.cancel, directory, job)
        except UnreachableError as problem:
            log.warning("%s is yet to be stopped: %s", directory.task_id, problem)
        finally:
            self._being_stopped.discard(directory.task_id)

    async def _act_on(self, task: _Task) -> None:
        """Judge a task that is over there and has had the time to bring its result here."""
        now = time.monotonic()
        if task.sighting.place in (Place.WAITING, Place.RUNNING):
            task.over_since = None
        if task.sighting.place not in (Place.CANCELED, Place.ENDED, Place.MISSING):
            return
        if task.over_since is None:
            task.over_since = now
        if now < task.over_since + self._environment.settle:
            return
        try:
            seen = await in_thread(self._threads, _observe_anew, task.directory)
        except FileNotFoundError:
            await self._forget(task)
            return
        task.record = seen.record
        if seen.state.is_over and (seen.state is State.EXITED or "judged_at" in seen.record):
            await self._take_in(task, seen)
        elif task.sighting.place is not Place.MISSING or _is_silent(task.directory):
            await self._judge(task, *_verdict_on(task))

    def _due(self) -> float:
        """Return the seconds until the next look."""
        now = time.monotonic()
        settled = [
            task.over_since + self._environment.settle - now
            for task in self._tasks.values()
            if task.over_since is not None
        ]
        return min([self._pause, *(max(left, FILES_PAUSE) for left in settled)])

    async def _judge(self, task: _Task, state: State, outcome: Outcome, why: str | None) -> None:
        judge = self._environment.judge
        seen = await in_thread(self._threads, judge, task.directory, state, outcome, why)
        await self._take_in(task, seen)

    async def _forget(self, task: _Task) -> None:
        """Forget a task whose directory is gone."""
        self._tasks.pop(task.directory.task_id, None)
        await self._index.remove(task.directory.task_id)

    async def close(self) -> None:
        """Stop watching; the tasks go on."""
        await self._jobs.close()
        for threads in (self._threads, self._stops):
            threads.shutdown(cancel_futures=True)


def _changed(tasks: Iterable[_Task]) -> list[tuple[_Task, Observation]]:
    """Return the tasks whose status file is another than at the last time."""
    found = []
    for task in tasks:
        try:
            stamp = _stamp(task.directory.status)
            if stamp == task.stamp:
                continue
            task.stamp = stamp
            found.append((task, observe(task.directory)))
        except (ValueError, OSError) as problem:
            log.error("task %s cannot be read: %s", task.directory.task_id, problem)
    return found


def _stamp(path: str) -> Stamp:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _has_not_heard(task: _Task, sighting: Sighting) -> bool:
    active = sighting.place in (Place.WAITING, Place.RUNNING)
    return active and "stop" not in task.record and os.path.exists(task.directory.stop)


def _observe_anew(directory: TaskDir) -> Observation:
    """Look at a task past what a network file system remembers: listing a directory asks again."""
    os.listdir(directory.path)
    return observe(directory)


def _is_silent(directory: TaskDir) -> bool:
    """Say whether TaskRunner has not been heard of for so long that it must be gone."""
    try:
        return time.time() - os.stat(directory.status).st_mtime > STALLED_AFTER
    except FileNotFoundError:
        return True


def _verdict_on(task: _Task) -> tuple[State, Outcome, str | None]:
    says = task.sighting.says or "it is over there"
    if "started_at" in task.record:
        return State.LOST, Outcome.UNKNOWN, f"{says}; nobody saw how the task ended"
    if os.path.exists(task.directory.stop):
        return State.EXITED, Outcome.CANCELED, None
    outcome = Outcome.CANCELED if task.sighting.place is Place.CANCELED else Outcome.ERROR
    return State.EXITED, outcome, f"{says}, before the task began{_last_words(task.directory)}"


def _last_words(directory: TaskDir) -> str:
    try:
        with open(directory.runner_log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            words = file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    return words and f": {words}"


def _shown(sighting: Sighting) -> dict[str, Any]:
    return {"place": sighting.place, "says": sighting.says, **sighting.details}
