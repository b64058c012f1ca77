"""The log of one task, for one reader: its bytes or its entries, as far as it goes or live."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from typing import Any, NamedTuple, TypeVar

from task_runner.lib.task_dir import LogFiles
from task_runner.service.logs.follower import ABSENT, Extent, Followers, Growth, extent_of
from task_runner.service.logs.lines import LEVELS
from task_runner.service.logs.log_file import (
    BLOCK,
    Wanted,
    find_since,
    find_tail,
    read_bytes,
    read_entries,
)
from task_runner.service.logs.search import Budget, Search
from task_runner.service.threads import in_thread

T = TypeVar("T")
Result = Mapping[str, Any]


class Sight(NamedTuple):
    """What there is to read now, and the result when nothing more will come."""

    extent: Extent
    result: Result | None
    growth: Growth | None

    def before(self, stop: int | None) -> "Sight":
        """Return what of it is before an offset; where that is not all, there is no result yet."""
        if stop is None or stop >= self.extent.size:
            return self
        return Sight(self.extent._replace(size=stop), None, self.growth)


class LogStream:
    """Reads the log of a task. One object for each request.

    The task may truncate its log, or it may be deleted with its directory: what is no longer there
    cannot be read. A follower waits at its offset then, for TaskRunner writes on at its own.
    """

    def __init__(
        self,
        files: LogFiles,
        followers: Followers,
        result: Callable[[], Awaitable[Result | None]],
        changed: asyncio.Event | None = None,
        searchers: ThreadPoolExecutor | None = None,
        *,
        hold: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Read nothing yet; search in threads of their own when there are some.

        `result` gives the final result as it goes over the wire, or None while the task is under
        way; it is called at the start and when `changed` was set, which is cleared here. It may
        say that the task is over only when the log has its final size. `hold` is entered while
        it is read.
        """
        self._log = files.log
        self._index = files.marks
        self._followers = followers
        self._result = result
        self._hold = hold
        self._changed = changed or asyncio.Event()
        self._searchers = searchers or followers.threads

    async def extent(self) -> Extent:
        """Return which file the log is and its bytes; ABSENT when there is none."""
        return await in_thread(self._followers.threads, extent_of, self._log)

    async def tail_offset(self, lines: int) -> int:
        """Return where the last lines begin; one that has no end yet is a line too."""
        return await in_thread(self._followers.threads, find_tail, self._log, lines)

    async def since_offset(self, time: float) -> int:
        """Return where the output since then (seconds since the epoch) begins.

        It is the start of a line, up to MARK_INTERVAL early and never late; the size of the log
        when nothing came since; 0 when nobody knows.
        """
        return await in_thread(self._followers.threads, find_since, self._log, self._index, time)

    async def text(
        self, start: int = 0, stop: int | None = None, *, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """Give the bytes from `start` on, before `stop`, in blocks.

        With `follow`, until the task is over and all was given, or the service closes. Raises
        OSError when the log cannot be read.
        """
        position = start
        async with aclosing(self._sights(follow=follow)) as sights:
            async for sight in sights:
                end = sight.extent.size if stop is None else min(stop, sight.extent.size)
                while position < end and not self._closes(sight):
                    limit = min(BLOCK, end - position)
                    data = await self._read(sight, read_bytes, self._log, position, limit)
                    if not data:
                        break
                    position += len(data)
                    yield data
                if stop is not None and position >= stop:
                    return

    async def entries(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        follow: bool = False,
        min_level: str | None = None,
        search: Search | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Give the log as NDJSON, many lines at once; `start` may be in the middle of a line.

        With `stop`, only entries that end there or before; when there is more, a last line
        `{"next": OFFSET}` says where to go on.
        When the task is over, a last line with its result follows the last entry; there is none
        when the stream ends for another reason: the service closes, or nobody follows a task that
        is under way. Entries below `min_level` (a key of LEVELS) are left out; what has no level
        is the output of a program and always shown.

        With `search` only what matches, see `find`. When it has found `limit` entries or taken too
        long, a last line `{"more": true, "offset": ...}` says where to go on; a text is broken off
        by a TimeoutError instead of the latter.

        Raises KeyError for an unknown level, ValidationError for a bad pattern, OSError when the
        log cannot be read.
        """
        lowest = LEVELS[min_level] if min_level else 0
        files = (self._log, self._index)
        read = self._search if search else self._read
        as_text = search is not None and search.as_text
        position, head, budget = start, None, Budget(limit)
        async with aclosing(self._sights(follow=follow)) as sights:
            async for now in sights:
                sight = now.before(stop)
                final = sight.result is not None
                while position < sight.extent.size and not self._closes(sight):
                    wanted = Wanted(*files, position, head, lowest, final, search, budget.most)
                    with budget.timed():
                        batch = await read(sight, read_entries, wanted)
                    unmoved = batch.position == position
                    _, position, head, count = batch
                    if batch.json:
                        yield batch.json
                    if search and (last := budget.last_words(search, count, position)) is not None:
                        yield last
                        return
                    if unmoved:
                        break
                if sight.result is not None and not as_text and not self._closes(sight):
                    yield json.dumps({"end": True, **sight.result}).encode() + b"\n"
                elif stop is not None and (not follow or stop <= now.extent.size):
                    yield json.dumps({"next": position}).encode() + b"\n"
                    return

    def _closes(self, sight: Sight) -> bool:
        """Say whether the service closes. Who does not follow still gets all: it has an end."""
        return sight.growth is not None and self._followers.closing.is_set()

    def _sights(self, *, follow: bool) -> AsyncGenerator[Sight, None]:
        """Say what can be read by now; with `follow`, again whenever that may have changed."""
        return self._live() if follow else self._once()

    async def _once(self) -> AsyncGenerator[Sight, None]:
        with self._hold():
            result = await self._result()
            extent = await in_thread(self._followers.threads, extent_of, self._log)
            yield Sight(extent, result, None)

    async def _live(self) -> AsyncGenerator[Sight, None]:
        inode = 0
        with self._hold(), self._woken() as growth:
            self._changed.clear()
            result = await self._result()
            while True:
                # The size is final once there is a result: look after that, not before.
                extent = growth.extent if result is None else growth.look()
                inode = inode or extent.inode
                yield Sight(extent if extent.inode == inode else ABSENT, result, growth)
                if result is not None or self._followers.closing.is_set():
                    return
                if await growth.wait():
                    result = await self._result()

    @contextmanager
    def _woken(self) -> Iterator[Growth]:
        with self._followers.follow(self._log) as growth:
            waker = asyncio.create_task(self._wake(growth))
            try:
                yield growth
            finally:
                waker.cancel()

    async def _wake(self, growth: Growth) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            growth.wake()

    async def _read(self, sight: Sight, function: Callable[..., T], *arguments: Any) -> T:
        if sight.growth is not None:
            return await sight.growth.once(function, sight.extent, *arguments)
        return await in_thread(self._followers.threads, function, sight.extent, *arguments)

    async def _search(self, sight: Sight, function: Callable[..., T], *arguments: Any) -> T:
        """Like `_read`, but a crowd of searchers does not keep those waiting who only read."""
        return await in_thread(self._searchers, function, sight.extent, *arguments)
