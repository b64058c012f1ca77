"""Access to what a task left, with no way out: each step down starts at an open directory.

A task owns its files while we look at them, and can put a symlink, a FIFO or a device in place of
anything at any moment. So no path is ever resolved: every name is opened relative to the directory
that was opened before, without following symlinks (openat(2), O_NOFOLLOW), and a file is looked at
before it is opened for reading (O_PATH): to open a FIFO would wake up who writes into it.
"""

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from task_runner.lib.errors import NoSuchFileError

Parts = tuple[bytes, ...]
"""A path, name by name; the names are bytes, as on disk."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
BLOCK = 256 << 10
"""Bytes that are read at once."""
MAX_DEPTH = 100
"""Directories within each other; what is deeper is neither listed nor packed."""
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class Entry(NamedTuple):
    """Something in a directory: which kind it is, its bytes and when it was modified."""

    path: Parts
    kind: str
    size: int
    modified: float
    mode: int


class OpenFile:
    """A regular file; it stays what it is when the task replaces or removes it."""

    def __init__(self, fd: int) -> None:
        """Take over a descriptor."""
        self._fd = fd
        found = os.fstat(fd)
        self.size = found.st_size
        self.modified = found.st_mtime
        self.version = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
        """Another one whenever the content is."""

    def blocks(self, start: int, stop: int) -> Generator[bytes, None, None]:
        """Give the bytes from `start` on, before `stop`, then close the file.

        They are fewer when it has become shorter. Raises OSError.
        """
        try:
            while data := os.pread(self._fd, min(BLOCK, stop - start), start):
                start += len(data)
                yield data
        finally:
            self.close()

    def close(self) -> None:
        """Close it; without any effect the second time."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        """Close what nobody has wanted to read."""
        self.close()


class Tree:
    """The directory `name` of `parent`, and what is beneath it."""

    def __init__(self, parent: str, *name: str) -> None:
        """Open nothing yet. Only `parent` is trusted: neither `name` nor anything in it is."""
        self._parent = parent
        self._name = tuple(map(os.fsencode, name))

    @contextmanager
    def directory(self, path: Parts) -> Iterator[int]:
        """Give a descriptor of a directory. Raises OSError, also for a symlink on the way."""
        fd = os.open(self._parent, DIRECTORY)
        try:
            for name in (*self._name, *path):
                inner = os.open(name, DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def open(self, path: Parts) -> OpenFile:
        """Open a regular file. Raises NoSuchFileError, which says why it cannot be given.

        The names are to be real ones: neither empty nor `.` or `..`, without a slash or NUL.
        """
        try:
            with self.directory(path[:-1]) as parent:
                return _open_regular(path[-1], parent)
        except OSError as problem:
            raise NoSuchFileError(f"{shown(path)!r}: {problem.strerror}") from problem

    def target(self, path: Parts) -> bytes:
        """Return where a symlink leads. Raises OSError."""
        with self.directory(path[:-1]) as parent:
            return os.readlink(path[-1], dir_fd=parent)


def _open_regular(name: bytes, parent: int) -> OpenFile:
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        kind = kind_of(os.fstat(handle).st_mode)
        if kind != "file":
            raise NoSuchFileError(f"{shown((name,))!r} is no file, but a {kind}")
        # The very inode that was looked at, see proc_pid_fd(5).
        return OpenFile(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC))
    finally:
        os.close(handle)


def shown(path: Parts) -> str:
    """Return a path as text; what is no UTF-8 in it is replaced."""
    return b"/".join(path).decode(errors="replace")


def kind_of(mode: int) -> str:
    """Return a word for what has this `st_mode`."""
    return KINDS.get(stat.S_IFMT(mode), "device")


def entry_at(name: bytes, parent: int, parents: Parts) -> Entry:
    """Look at a name in an open directory, whose own path is `parents`. Raises OSError."""
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    path = (*parents, name)
    return Entry(path, kind_of(found.st_mode), found.st_size, found.st_mtime, found.st_mode)
