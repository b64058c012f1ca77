"""What a task left as one `.tar.gz`, made while it is sent: nothing of it is ever whole in memory.

The format is that of GNU tar, in which names are bytes (tar(5)). What cannot be packed, or changes
meanwhile, does not stop the rest; it is told in a last member, beside the directory.
"""

import os
import stat
import tarfile
import time
import zlib
from collections.abc import Generator, Iterator
from contextlib import suppress

from task_runner.lib.errors import NoSuchFileError
from task_runner.service.files.beneath import (
    BLOCK,
    MAX_DEPTH,
    Entry,
    OpenFile,
    Parts,
    Tree,
    entry_at,
    shown,
)

LEVEL = 1
"""Of the compression: what goes over a loopback should not wait for it."""
GZIP = 31
"""What zlib calls the format: a window of 15 bits, and 16 for the header of gzip."""
AS_BYTES = "surrogateescape"
MAX_NOTES = 1000
NOTES = "incomplete.txt"


def pack(tree: Tree, name: str) -> Generator[bytes, None, None]:
    """Give a tree as a compressed archive in which all is below `name`, block by block.

    No step does more than to read BLOCK bytes, so that each can run in a thread of a pool, and a
    slow client keeps none of them. A step may give no bytes.
    """
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    taken, packed = 0, b""
    for data in _Packer(tree, name).members():
        packed += compressor.compress(data)
        taken += len(data)
        if taken >= BLOCK:
            yield packed
            taken, packed = 0, b""
    yield packed + compressor.flush()


class _Packer:
    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self._name = name
        self._notes: list[str] = []

    def members(self) -> Iterator[bytes]:
        pending: list[Parts] = [()]
        yield _head(self._name.encode(), tarfile.DIRTYPE, 0o700, time.time())
        while pending:
            path = pending.pop()
            for entry in self._entries(path):
                yield from self._member(entry)
                if entry.kind == "directory" and len(entry.path) < MAX_DEPTH:
                    pending.append(entry.path)
        yield from self._told()
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _entries(self, path: Parts) -> Iterator[Entry]:
        """Give what is in a directory, in no order, so that its names need not be kept."""
        try:
            with self._tree.directory(path) as fd, os.scandir(fd) as there:
                for one in there:
                    with suppress(FileNotFoundError):  # removed meanwhile
                        yield entry_at(os.fsencode(one.name), fd, path)
        except OSError as problem:
            self._note(path, str(problem.strerror))

    def _member(self, entry: Entry) -> Iterator[bytes]:
        try:
            match entry.kind:
                case "file":
                    yield from self._file(entry, self._tree.open(entry.path))
                case "directory":
                    yield self._head(entry, tarfile.DIRTYPE)
                    if len(entry.path) == MAX_DEPTH:
                        self._note(entry.path, "what is in it is too deep")
                case "symlink":
                    yield self._head(entry, tarfile.SYMTYPE, target=self._tree.target(entry.path))
                case kind:
                    self._note(entry.path, f"a {kind} is not packed")
        except (NoSuchFileError, OSError) as problem:
            self._note(entry.path, str(problem))

    def _file(self, entry: Entry, file: OpenFile) -> Iterator[bytes]:
        """Give as many bytes as the file had when it was opened: that is what its header says."""
        yield self._head(entry, tarfile.REGTYPE, size=file.size)
        position = 0
        try:
            for data in file.blocks(0, file.size):
                position += len(data)
                yield data
        except OSError as problem:
            self._note(entry.path, f"after {position} bytes: {problem.strerror}")
        if position < file.size:
            self._note(entry.path, f"became shorter: after {position} bytes there are only zeros")
        while position < file.size:
            zeros = bytes(min(BLOCK, file.size - position))
            position += len(zeros)
            yield zeros
        yield bytes(-file.size % tarfile.BLOCKSIZE)

    def _head(self, entry: Entry, kind: bytes, *, size: int = 0, target: bytes = b"") -> bytes:
        name = b"/".join((self._name.encode(), *entry.path))
        return _head(name, kind, entry.mode, entry.modified, size=size, target=target)

    def _note(self, path: Parts, what: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes.append(f"{shown(path) or '.'}: {what}\n")
        elif len(self._notes) == MAX_NOTES:
            self._notes.append("and more\n")

    def _told(self) -> Iterator[bytes]:
        if self._notes:
            text = "".join(self._notes).encode()
            name = f"{self._name}.{NOTES}".encode()
            yield _head(name, tarfile.REGTYPE, 0o600, time.time(), size=len(text))
            yield text + bytes(-len(text) % tarfile.BLOCKSIZE)


def _head(
    name: bytes, kind: bytes, mode: int, modified: float, *, size: int = 0, target: bytes = b""
) -> bytes:
    info = tarfile.TarInfo(name.decode(errors=AS_BYTES))
    info.type = kind
    info.size = size
    info.mode = stat.S_IMODE(mode)
    info.mtime = int(modified)
    info.linkname = target.decode(errors=AS_BYTES)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", AS_BYTES)
