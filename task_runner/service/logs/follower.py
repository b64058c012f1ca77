"""Who follows a file hears that it has changed: one look every 20 ms, whoever follows it.

No inotify: 128 instances is a common limit, and watching slows a chatty writer by half.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

INTERVAL = 0.020
"""Seconds between two looks at every file that is followed."""
KEPT_JOBS = 8
"""Results of jobs that are kept for each followed file, and for one interval only."""


class Extent(NamedTuple):
    """Which file it is, and its bytes."""

    inode: int
    size: int


ABSENT = Extent(0, 0)


def extent_of(path: str) -> Extent:
    """Return the extent of a file, ABSENT when there is no file. Raises OSError otherwise."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    return Extent(found.st_ino, found.st_size) if stat.S_ISREG(found.st_mode) else ABSENT


class _File:
    """A followed file: its extent when last looked at, and who follows it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.extent = extent_of(path)
        self.growths: set[Growth] = set()
        self.jobs: dict[tuple[Any, ...], asyncio.Future[Any]] = {}

    def look(self) -> None:
        try:
            extent = extent_of(self.path)
        except OSError:  # whoever reads the file will meet the trouble too, and can tell
            return
        if extent != self.extent:
            self.extent = extent
            for growth in self.growths:
                growth.has_news.set()


class Growth:
    """What one follower hears of a file."""

    def __init__(self, file: _File, threads: ThreadPoolExecutor) -> None:
        self.has_news = asyncio.Event()
        self._file = file
        self._threads = threads
        self._woken = False

    @property
    def extent(self) -> Extent:
        """The extent of the file, at most one interval old; the same for all its followers."""
        return self._file.extent

    def look(self) -> Extent:
        """Look at the file right now, and return its extent."""
        self._file.look()
        return self._file.extent

    def wake(self) -> None:
        """Let this follower go on although the file has not changed."""
        self._woken = True
        self.has_news.set()

    async def wait(self) -> bool:
        """Return when the extent has changed since the last call; True when it was woken."""
        await self.has_news.wait()
        self.has_news.clear()
        woken, self._woken = self._woken, False
        return woken

    async def once(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call in a thread, once for all followers of the file who ask for the same.

        Followers in step read the same part of the file at the same time, and share it.
        """
        jobs, key = self._file.jobs, (function, *arguments)
        job = jobs.get(key)
        if job is None:
            loop = asyncio.get_running_loop()
            job = jobs[key] = loop.run_in_executor(self._threads, function, *arguments)
            while len(jobs) > KEPT_JOBS:
                del jobs[next(iter(jobs))]
        try:
            # Shielded: one follower that leaves must not take the result from the others.
            result: T = await asyncio.shield(job)
        except Exception:
            jobs.pop(key, None)
            raise
        return result


class Followers:
    """All files that are followed in this process, looked at by one timer of the event loop."""

    def __init__(self, threads: ThreadPoolExecutor, closing: asyncio.Event) -> None:
        """Follow nothing yet. `closing` wakes all; a signal handler may set it."""
        self.threads = threads
        self.closing = closing
        self._files: dict[str, _File] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def follow(self, path: str) -> Iterator[Growth]:
        """Hear of a file's growth; it need not exist yet. Call it in the event loop."""
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = _File(path)
        else:
            file.look()  # it may be another file since the last look
        growth = Growth(file, self.threads)
        file.growths.add(growth)
        if self._timer is None:
            self._start()
        try:
            yield growth
        finally:
            self._leave(file, growth)

    def _leave(self, file: _File, growth: Growth) -> None:
        file.growths.discard(growth)
        if not file.growths:
            del self._files[file.path]
        if not self._files and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def _tick(self) -> None:
        self._start()
        for file in self._files.values():
            file.jobs.clear()  # what is kept longer costs memory, and nobody is in step with it
            file.look()
            if self.closing.is_set():
                for growth in file.growths:
                    growth.has_news.set()
