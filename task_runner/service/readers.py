"""Who reads a task or waits for it keeps it from being removed for its age or size.

The mark is a shared lock on the task's directory, so that the retention of any worker sees it, on
whatever host, and it is gone with the process. One for all readers of a task in this worker.
"""

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from task_runner.lib.task_dir import TaskDir


class Readers:
    """The tasks that are read by clients of this worker."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._count: Counter[str] = Counter()
        self._locks: dict[str, int] = {}

    @contextmanager
    def hold(self, directory: TaskDir) -> Iterator[None]:
        """Keep the task; call it in the event loop. Raises OSError when files are short."""
        path = directory.path
        if path not in self._locks:
            self._lock(path)
        self._count[path] += 1
        try:
            yield
        finally:
            self._count[path] -= 1
            if not self._count[path]:
                del self._count[path]
                if (fd := self._locks.pop(path, None)) is not None:
                    os.close(fd)

    def _lock(self, path: str) -> None:
        try:
            self._locks[path] = lock_directory(path, fcntl.LOCK_SH)
        except OSError as problem:  # otherwise it is not there, or about to be removed
            if problem.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise


@contextmanager
def nobody_reads(directory: TaskDir) -> Iterator[bool]:
    """Say whether nobody reads a task, and keep it so. Raises FileNotFoundError."""
    try:
        fd = lock_directory(directory.path, fcntl.LOCK_EX)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(fd)


def lock_directory(path: str, kind: int) -> int:
    """Lock a directory as long as the descriptor is open. Raises BlockingIOError, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd
