"""What is read from the files of a log: blocks, entries, places in it, and the marks of the time.

Nothing here holds a file open, so that whoever waits for a thread may go away at any moment. A file
that is not there reads like an empty one.
"""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from task_runner.lib.clock import timestamp
from task_runner.lib.output import MARK, MARK_INTERVAL
from task_runner.service.logs.follower import ABSENT, Extent, extent_of
from task_runner.service.logs.lines import MAX_ENTRIES, MAX_LINE, Batch, Head, encode, parse_line
from task_runner.service.logs.search import Part, Search, find

BLOCK = 256 << 10
"""Bytes that are read at once; more than MAX_LINE."""
SEARCH_BLOCK = 1 << 20
MARKS_AT_ONCE = 256
_NEVER = (1 << 64, 0)


@contextmanager
def open_or_empty(path: str) -> Iterator[int]:
    """Give a descriptor for reading; what is not there, or no file, reads like an empty one.

    A task can put anything in the place of its files: a FIFO would block, a link lead elsewhere.
    """
    if extent_of(path) is ABSENT:
        path = os.devnull
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def read_bytes(extent: Extent, path: str, position: int, limit: int) -> bytes:
    """Read at most `limit` bytes; none when it is another file by now. Raises OSError."""
    with open_or_empty(path) as fd:
        if os.fstat(fd).st_ino != extent.inode:
            return b""
        return os.pread(fd, limit, position)


class Wanted(NamedTuple):
    """Entries that are asked for: of which log, from where on, and how; see `encode`."""

    log: str
    marks: str
    position: int
    head: Head | None
    lowest: int
    final: bool
    search: Search | None = None
    most: int = MAX_ENTRIES


def read_entries(extent: Extent, wanted: Wanted) -> Batch:
    """Read what a block has of entries; none when it is another file by now. Raises OSError.

    `final` says that what is before the end of `extent` is all that will ever come.
    """
    position, head, lowest = wanted.position, wanted.head, wanted.lowest
    # A search wants to see whether a line begins at its position.
    before = 1 if wanted.search and position else 0
    block = SEARCH_BLOCK if wanted.search else BLOCK
    size = min(block, extent.size - position) + before
    data = read_bytes(extent, wanted.log, position - before, size)
    final = wanted.final and position - before + len(data) == extent.size
    with open_or_empty(wanted.marks) as marks_fd:
        marks = Marks(marks_fd)
        head = head or _find_head(wanted.log, marks, position)
        times = marks.times_from(position)
        if wanted.search is None:
            return encode(data, position, head, times, lowest=lowest, final=final)
        part = Part(data, position - before, times, final)
        return find(part, before, head, wanted.search, lowest=lowest, most=wanted.most)


def _find_head(log: str, marks: "Marks", position: int) -> Head | None:
    """Return the head of the line that `position` is in the middle of, None when in none."""
    if position == 0:
        return None
    with open_or_empty(log) as fd:
        if os.pread(fd, 1, position - 1) == b"\n":
            return None
        start = _line_start(fd, position)
        line = os.pread(fd, MAX_LINE, start)
    line = line[: line.find(b"\n") + 1] or line
    return Head(*parse_line(line, 0, marks.times_from(start)(start))[1:4])


def _line_start(fd: int, position: int) -> int:
    """Return where the line begins that the byte before `position` belongs to."""
    for start, block in _backwards(fd, position):
        if (end := block.rfind(b"\n")) >= 0:
            return start + end + 1
    return 0


def find_since(log: str, index: str, time: float) -> int:
    """See LogStream.since_offset."""
    with open_or_empty(log) as fd, open_or_empty(index) as marks_fd:
        size = os.fstat(fd).st_size  # before the marks: what comes meanwhile must not be missed
        marks = Marks(marks_fd)
        # A mark stands for everything that came within the interval after it.
        offset = marks.offset_at(time - MARK_INTERVAL)
        if offset is None:
            return size if marks else 0
        return _line_start(fd, offset)


def find_tail(log: str, lines: int) -> int:
    """See LogStream.tail_offset."""
    with open_or_empty(log) as fd:
        size = os.fstat(fd).st_size
        if lines <= 0:
            return size
        # The end of the last line is not the beginning of another one.
        end = size - (os.pread(fd, 1, max(size - 1, 0)) == b"\n")
        for start, block in _backwards(fd, end):
            ends = block.count(b"\n")
            if ends >= lines:
                return start + _nth_last(block, lines) + 1
            lines -= ends
    return 0


def _nth_last(block: bytes, number: int) -> int:
    found = len(block)
    for _ in range(number):
        found = block.rfind(b"\n", 0, found)
    return found


def _backwards(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Give the blocks before `end` with their offsets, the last one first."""
    while end > 0:
        start = max(end - BLOCK, 0)
        yield start, os.pread(fd, end - start, start)
        end = start


class Marks:
    """The index of a log: at which time (microseconds since the epoch) which offset was reached.

    When the clock was set back, times do not ascend, and a search by time finds one of the places
    it could mean.
    """

    def __init__(self, fd: int) -> None:
        """Look at the marks that are there now. The descriptor remains the caller's."""
        self._fd = fd
        self._count = os.fstat(fd).st_size // MARK.size  # the last one may be half there

    def __len__(self) -> int:
        return self._count

    def time_at(self, offset: int) -> float | None:
        """Return when (seconds since the epoch) the byte at an offset came; None: nobody knows."""
        number = self._number_at(offset)
        return None if number < 0 else self._mark(number)[1] / 1_000_000

    def offset_at(self, time: float) -> int | None:
        """Return the first offset marked with a time (seconds since the epoch) or a later one.

        It need not be the beginning of a line. None: all marks are older.
        """
        wanted = round(time * 1_000_000)
        numbers = range(self._count)
        number = bisect_left(numbers, wanted, key=lambda number: self._mark(number)[1])
        return self._mark(number)[0] if number < self._count else None

    def times_from(self, offset: int) -> Callable[[int], str | None]:
        """Return a function that gives the time (RFC 3339) of ascending offsets from this one."""
        marks = self._from(max(self._number_at(offset), 0))
        text: str | None = None
        upcoming = next(marks, _NEVER)

        def time_at(offset: int) -> str | None:
            nonlocal text, upcoming
            if offset >= upcoming[0]:
                while offset >= upcoming[0]:
                    current, upcoming = upcoming, next(marks, _NEVER)
                text = timestamp(current[1] / 1_000_000)
            return text

        return time_at

    def _number_at(self, offset: int) -> int:
        numbers = range(self._count)
        return bisect_right(numbers, offset, key=lambda number: self._mark(number)[0]) - 1

    def _mark(self, number: int) -> tuple[int, int]:
        data = os.pread(self._fd, MARK.size, number * MARK.size)
        return MARK.unpack(data) if len(data) == MARK.size else _NEVER

    def _from(self, number: int) -> Iterator[tuple[int, int]]:
        for first in range(number, self._count, MARKS_AT_ONCE):
            data = os.pread(self._fd, MARKS_AT_ONCE * MARK.size, first * MARK.size)
            yield from MARK.iter_unpack(data[: len(data) // MARK.size * MARK.size])
