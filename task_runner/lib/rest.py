"""The output beyond the limit of a log: counted, and its end kept."""

import os
from contextlib import suppress
from typing import NamedTuple

from task_runner.lib.fault_points import Step, reach

KEPT = 64 << 10
"""Bytes of the end that are kept."""
SEGMENT = 256 << 10
"""Bytes of a segment; it has to hold KEPT."""


class Place(NamedTuple):
    """Where output goes next: a descriptor, the offset there, and how much fits."""

    fd: int
    offset: int
    room: int


class Rest:
    """Written to segments: files named by their place in the rest, the newest two of which remain.

    Names and sizes tell how much there was, exactly, and nothing of it is in memory: a TaskRunner
    that follows a killed one goes on at the right byte.
    """

    def __init__(self, prefix: str) -> None:
        """Go on with what is there. Raises OSError."""
        self._prefix = prefix
        begins = begins_of(prefix)
        self._segments = [(begin, self._open(begin)) for begin in begins[-2:]]
        self._remove(begins[:-2])
        self.size = 0
        if self._segments:
            begin, fd = self._segments[-1]
            self.size = begin + os.lseek(fd, 0, os.SEEK_END)

    def _open(self, begin: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(f"{self._prefix}{begin}", flags, 0o600)

    @property
    def dropped(self) -> int:
        """Bytes that are not kept."""
        return max(0, self.size - KEPT)

    def place(self) -> Place:
        """Return where the rest goes on; add what was written there to `size`. Raises OSError."""
        if not self._segments or self.size - self._segments[-1][0] >= SEGMENT:
            self._begin_segment()
        begin, fd = self._segments[-1]
        return Place(fd, self.size - begin, begin + SEGMENT - self.size)

    def _begin_segment(self) -> None:
        reach(Step.SEGMENT, self._prefix)
        while len(self._segments) > 1:  # first: where the disk is full, this makes the room
            begin, fd = self._segments.pop(0)
            self._remove([begin])
            os.close(fd)
        self._segments.append((self.size, self._open(self.size)))

    def end(self) -> bytes:
        """Return the last bytes, at most KEPT; fewer when the task has done away with some."""
        data = b"".join(os.pread(fd, SEGMENT, 0) for _, fd in self._segments)
        return data[-KEPT:]

    def touched(self) -> float:
        """Return when (seconds since the epoch) the last byte came."""
        return os.fstat(self._segments[-1][1]).st_mtime

    def _remove(self, begins: list[int]) -> None:
        for begin in begins:
            with suppress(FileNotFoundError):  # the task may have removed it itself
                os.unlink(f"{self._prefix}{begin}")


def remove_rest(prefix: str) -> None:
    """Remove the segments, once the log has what is kept of them."""
    for begin in begins_of(prefix):
        with suppress(OSError):  # the task may have put something else in its place
            os.unlink(f"{prefix}{begin}")


def begins_of(prefix: str) -> list[int]:
    """Return where the segments that are there begin, in order."""
    directory, name = os.path.split(prefix)
    found = [entry.removeprefix(name) for entry in os.listdir(directory) if entry.startswith(name)]
    return sorted(int(number) for number in found if number.isdecimal() and number.isascii())
