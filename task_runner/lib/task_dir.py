"""The directory of a task: its files, and the lock that says that its TaskRunner lives."""

import errno
import fcntl
import json
import os
import stat
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from task_runner.lib.fault_points import Step, reach
from task_runner.lib.rest import remove_rest

PREFIX = "task-"
NO_FILE = (errno.EISDIR, errno.ELOOP, errno.EAGAIN, errno.ENXIO)
"""What reading says of a directory, an endless symlink, a FIFO or a socket in place of a file."""
JSON_LIMIT = 1 << 28
"""Bytes of a JSON file; no request is as large."""
encode_json = json.JSONEncoder(separators=(",", ":")).encode
FLOCK = "hhqqi4x"  # struct flock of fcntl(2): type, whence, start, length, pid

NO_PROCESS = -1
"""The holder, in the answer of F_GETLK, of a lock that belongs to an open file; see `keep_out`."""
MOMENT = 0.002


class LogFiles(NamedTuple):
    """The files of one stream of output."""

    log: str
    marks: str
    fifo: str
    rest: str
    """How the names begin of the segments of `lib/rest.py`."""


class TaskDir:
    """Names and primitive operations; who may write which file is told in doc/design.md."""

    def __init__(self, path: str, task_id: str, results: str | None = None) -> None:
        """Name the files of `path`; `results` is where output and status go (default: `path`)."""
        self.path = path
        self.task_id = task_id
        self.task = f"{path}/task.json"
        self.handle = f"{path}/handle.json"
        self.stop = f"{path}/stop.json"
        self.verdict = f"{path}/verdict.json"
        self.lock = f"{path}/lock"
        self.status_fifo = f"{path}/status.fifo"
        self.runner_log = f"{path}/runner.log"
        self.files = results or f"{path}/files"
        self.output = _log_files(path, results or path, "output")
        self.stderr = _log_files(path, results or path, "stderr")
        self.status = f"{results or path}/{task_id}.result"

    @classmethod
    def of(cls, work_dir: str, task_id: str) -> "TaskDir":
        """Return the directory of a task in a work directory; it need not exist."""
        return cls(f"{work_dir}/{PREFIX}{task_id}", task_id)

    def take_lock(self) -> bool:
        """Take the lock for as long as this process lives; False when another one holds it.

        It is a record lock: not inherited over fork, and gone with the process however it ends.
        The descriptor stays open on purpose: closing any descriptor of the file drops the lock.
        Whoever only keeps TaskRunners out is waited for. Raises FileNotFoundError when the task
        was removed.
        """
        reach(Step.LOCK, self.path)
        while True:
            fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                kept_out = _holder(fd) == NO_PROCESS
                os.close(fd)
                if not kept_out:
                    return False
                time.sleep(MOMENT)
                continue
            if self._is_lock(fd):
                return True
            os.close(fd)  # the task was removed meanwhile, and perhaps made anew

    def _is_lock(self, fd: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.stat(self.lock), os.fstat(fd))
        return False

    @contextmanager
    def keep_out(self) -> Iterator[bool]:
        """Hold the lock for a moment, so that no TaskRunner begins; gives False when one lives.

        Another kind of lock on the same file: it belongs to this open file, not to the process, so
        other threads that look at the lock meanwhile do not drop it. See F_OFD_SETLK in fcntl(2).
        """
        fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            yield False
        else:
            yield self._is_lock(fd)
        finally:
            os.close(fd)

    def lock_holder(self) -> int | None:
        """Return the pid of the process that holds the lock (0: it cannot be seen), or None."""
        try:
            fd = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            holder = _holder(fd)
        finally:
            os.close(fd)
        return None if holder is None else max(holder, 0)

    def open_holder(self) -> int | None:
        """Return a pidfd of the process that holds the lock, or None when there is none here."""
        pid = self.lock_holder()
        if not pid:
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        if self.lock_holder() == pid:  # it still is the one that the pidfd stands for
            return pidfd
        os.close(pidfd)
        return None

    def tidy(self) -> None:
        """Remove what nobody needs when all is written: FIFOs, rests, drafts of the status file."""
        for files in (self.output, self.stderr):
            remove_rest(files.rest)
        results, name = os.path.split(self.status)
        drafts = [one for one in os.listdir(results) if one.startswith(f".{name}.")]
        fifos = [self.output.fifo, self.stderr.fifo, self.status_fifo]
        for path in fifos + [f"{results}/{draft}" for draft in drafts]:
            with suppress(OSError):  # the task may have removed it itself, or put something there
                os.unlink(path)


def _log_files(path: str, results: str, name: str) -> LogFiles:
    head = f"{path}/{name}"
    return LogFiles(f"{results}/{name}.log", f"{head}.idx", f"{head}.fifo", f"{head}.rest-")


def _holder(fd: int) -> int | None:
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack(FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])


def read_json(path: str) -> dict[str, Any] | None:
    """Return the object in a file, None when there is no such file.

    Raises ValueError when it holds something else: it was damaged from outside, as everything
    here is written whole or not at all.
    """
    try:
        value = json.loads(_read_regular(path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path} is damaged: {problem}") from problem
    except OSError as problem:
        if problem.errno in NO_FILE:
            raise ValueError(f"{path} is damaged: {problem.strerror}") from problem
        raise
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it does not hold an object")
    return value


def _read_regular(path: str) -> bytes:
    """Read a file, and nothing that was put in its place: a device has no end, a FIFO nothing."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no file")
        if found.st_size > JSON_LIMIT:
            raise ValueError(f"it is larger than {JSON_LIMIT} bytes")
        return os.read(fd, found.st_size + 1)  # the limit would be allocated, and need not be
    finally:
        os.close(fd)


def write_atomic(path: str, value: Mapping[str, Any], *, sync: bool = False) -> None:
    """Replace a file whole: a reader sees the old content or the new, never a part."""
    temporary = _write_temporary(path, value, sync=sync)
    reach(Step.RENAME, path)
    os.rename(temporary, path)


def create_exclusive(path: str, value: Mapping[str, Any], draft: str | None = None) -> bool:
    """Create a file with its whole content; False, and nothing changed, when it exists.

    It is written to `draft` first, by default beside it; a process that is killed leaves that.
    """
    temporary = _write_temporary(path, value, sync=True, draft=draft)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def _write_temporary(
    path: str, value: Mapping[str, Any], *, sync: bool, draft: str | None = None
) -> str:
    head, name = os.path.split(path)
    temporary = draft or f"{head}/.{name}.{os.urandom(4).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        reach(Step.WRITE, path)
        data = encode_json(value).encode()
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if sync:
            os.fsync(fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    return temporary


def sync_file(path: str) -> None:
    """Make the content of a file, or the names in a directory, survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
