"""Whether this node can take more: open files, processes, memory and disk.

What is beyond them is refused before anything is stored, and taken again once there is some.
"""

import os
import resource
from concurrent.futures import ThreadPoolExecutor

from task_runner.lib.clock import since_boot
from task_runner.lib.errors import DiskFullError, StartLaterError
from task_runner.service.threads import in_thread

RESERVED_FILES = 256
"""Open files that are kept for the work that is under way; at most a quarter of all."""
LARGEST_FLOOR = 10
"""The floor of free space is at most one of so many parts of the disk."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at the disk."""
OPEN_FILES = "/proc/self/fd"
LEAST_THREADS, MOST_THREADS = 2, 16
FILES_PER_THREAD = 32


class Capacity:
    """What this worker knows of the limits of the system."""

    def __init__(self, path: str, min_free_bytes: int, threads: ThreadPoolExecutor) -> None:
        """Look after the disk of a directory, of which so much is to stay free."""
        self.refused: dict[str, int] = {"files": 0, "start": 0, "disk": 0}
        """How many submissions were refused, and for what."""
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._threads = threads
        self._looked_at = -LOOK_INTERVAL
        self._missing = 0

    async def check(self) -> None:
        """Raise StartLaterError or DiskFullError when no task can be taken now."""
        if files_are_short():
            self.refused["files"] += 1
            raise StartLaterError(files_message())
        now = since_boot()
        if now >= self._looked_at + LOOK_INTERVAL:
            self._looked_at = now
            self._missing = await in_thread(self._threads, self._look)
        if self._missing:
            self.refused["disk"] += 1
            raise DiskFullError(
                f"the disk of the work directory has {self._missing} bytes less than are to stay "
                "free (the setting min_free_bytes); remove finished tasks"
            )

    async def free_bytes(self) -> int:
        """Return how much of the disk is free for tasks. Raises OSError."""
        disk = await in_thread(self._threads, os.statvfs, self._path)
        return disk.f_bavail * disk.f_frsize

    def _look(self) -> int:
        """Return the bytes that are missing to the floor."""
        disk = os.statvfs(self._path)
        floor = min(self._min_free_bytes, disk.f_blocks * disk.f_frsize // LARGEST_FLOOR)
        return max(0, floor - disk.f_bavail * disk.f_frsize)


def raise_open_files() -> None:
    """Allow one pidfd for each of many running tasks; tasks get back what was there before."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def thread_count() -> int:
    """Return how many threads can work at a time, each of which opens some files."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(LEAST_THREADS, min(MOST_THREADS, most // FILES_PER_THREAD))


def files_are_short() -> bool:
    """Say whether what is left of open files is needed for what is under way."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most - open_files() < min(RESERVED_FILES, most // 4)


def files_message() -> str:
    """Say what is short, and what helps."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"too many open files: {open_files()} of {most} (see LimitNOFILE, ulimit -Hn)"


def open_files() -> int:
    """Return how many files this process has open; since Linux 6.2 without counting them."""
    return os.stat(OPEN_FILES).st_size or len(os.listdir(OPEN_FILES))
