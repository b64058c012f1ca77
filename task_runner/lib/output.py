"""The output of a task: from a FIFO that cannot break into a file, with marks of the time.

The machine and TaskRunner both hold the FIFO open for reading and writing, as one does a terminal:
the machine never gets SIGPIPE, and what it wrote while no TaskRunner lived is still there for the
next one. See fifo(7) and splice(2).
"""

import fcntl
import os
import select
import struct
import sys
import termios
import time
from contextlib import suppress

from task_runner.lib.fault_points import Step, reach
from task_runner.lib.rest import Rest, begins_of
from task_runner.lib.task_dir import LogFiles

MARK = struct.Struct("<QQ")
"""An entry of the index: from this offset on, output came at this time (microseconds, epoch)."""

CHUNK = 1 << 20
NEW_PIPE_SIZE = 1 << 16
MARK_INTERVAL = 0.010
NO_LIMIT = 1 << 62
MISSING = b"[task-runner: %d bytes of output are missing here]\n"
"""The line of a log between its beginning and its end, where it has reached its limit."""


def make_fifo(path: str) -> int:
    """Open a FIFO read-write and non-blocking, after making it when it is not there."""
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def hold_fifo(path: str) -> int | None:
    """Keep what is in a FIFO from vanishing with the last process that has it open.

    Returns a descriptor to close; None when nobody reads the FIFO, so that nothing can be kept.
    Who holds it in this way is no reader himself.
    """
    with suppress(OSError):
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    return None


class MirrorBusyError(Exception):
    """Whoever looks on is slower than the machine."""


class Output:
    """Moves what is in the FIFO to the end of the log.

    What is beyond the limit goes to a `Rest`, so that the machine is never held up, and `complete`
    adds the end of it to the log. Whatever was in the log stays as it is, at its offset.
    """

    def __init__(
        self, files: LogFiles, mirror: int | None = None, limit: int | None = None
    ) -> None:
        """Open all; `mirror` is a descriptor to which everything is written a second time.

        `limit` is how many bytes the log keeps of the beginning.
        """
        self.files = files
        self.fd = make_fifo(files.fifo)
        self._log = os.open(files.log, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._index: int | None = None
        self._mirror = mirror
        self._limit = NO_LIMIT if limit is None else limit
        self._index_size = 0
        self._marked_at = 0.0
        self._enlarged = False
        self._unwritten = b""
        self._unshown = b""
        self.size = os.lseek(self._log, 0, os.SEEK_END)
        self._rest: Rest | None = None
        if limit is not None and begins_of(files.rest):
            self._rest = Rest(files.rest)
            self.size = max(self.size, limit)  # the task may have truncated it

    @property
    def dropped(self) -> int:
        """Bytes that are not in the log, and will not be."""
        return self._rest.dropped if self._rest else 0

    def pump(self) -> bool:
        """Move what is there now, say whether there was something.

        Raises OSError when the log cannot be written (a full disk), MirrorBusyError when the
        mirror cannot; what was not moved stays in the FIFO, and the machine waits when that is
        full.
        """
        if self._mirror is not None:
            self._show(self._mirror)
        if self._is_complete() or not (self._unwritten or self._is_waiting()):
            return False
        moved = self._move_on() if self.size == self._limit else self._move_to_log()
        if self._mirror is not None:
            self._show(self._mirror)
        if moved >= NEW_PIPE_SIZE and not self._enlarged:
            self._enlarge()
        return moved > 0

    def _is_complete(self) -> bool:
        """Say whether a TaskRunner, perhaps one that was killed, has begun with the end."""
        return self.size > self._limit

    def _move_to_log(self) -> int:
        # Before the bytes: whoever sees them finds their time.
        self._mark(self.size, time.time())
        moved = self._move(self._log, self.size, self._limit - self.size)
        self.size += moved
        return moved

    def _move_on(self) -> int:
        self._rest = self._rest or Rest(self.files.rest)
        moved = self._move(*self._rest.place())
        self._rest.size += moved
        return moved

    def _move(self, fd: int, offset: int, room: int) -> int:
        reach(Step.MOVE, self.files.marks)
        count = min(CHUNK, room)
        if self._mirror is None and not self._unwritten:
            flags = os.SPLICE_F_NONBLOCK
            return os.splice(self.fd, fd, count, offset_dst=offset, flags=flags)
        return self._copy(fd, offset, count)

    def _is_waiting(self) -> bool:
        answer = fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder) > 0

    def _copy(self, fd: int, offset: int, count: int) -> int:
        data = self._unwritten or os.read(self.fd, count)
        self._unwritten = data  # until it is written: nobody else has it any more
        written = os.pwrite(fd, data[:count], offset)
        self._unwritten = data[written:]
        if self._mirror is not None:
            self._unshown = data[:written]
        return written

    def _show(self, mirror: int) -> None:
        """Write to the mirror as long as that does not block."""
        ready = select.poll()
        ready.register(mirror, select.POLLOUT)
        while self._unshown:
            if not ready.poll(0):
                raise MirrorBusyError
            try:
                shown = os.write(mirror, self._unshown[: select.PIPE_BUF])
            except OSError:  # whoever looked on has gone; the log is what counts
                self.close_mirror()
                return
            self._unshown = self._unshown[shown:]

    def close_mirror(self) -> None:
        """Show no more."""
        self._mirror = None
        self._unshown = b""

    def complete(self) -> None:
        """Write the end of the rest to the log, after a line that tells what is missing.

        Call it when the machine is over and all was pumped, and again after an OSError: a second
        time, also by another TaskRunner, it writes the same.
        """
        if self._rest is None or not self._rest.size:
            return
        self._mark(self._limit, self._rest.touched())
        reach(Step.COMPLETE, self.files.marks)
        end = self._rest.end()
        data = self._line_of(self._rest.size - len(end)) + end
        done = 0
        while done < len(data):
            done += os.pwrite(self._log, data[done:], self._limit + done)
        self.size = self._limit + len(data)

    def _line_of(self, missing: int) -> bytes:
        if not missing:
            return b""
        begun = self._limit and os.pread(self._log, 1, self._limit - 1) != b"\n"
        return (b"\n" if begun else b"") + MISSING % missing

    def _mark(self, offset: int, now: float) -> None:
        # Backwards too: after the clock was set, the marks follow it.
        if abs(now - self._marked_at) < MARK_INTERVAL:
            return
        reach(Step.MARK, self.files.marks)
        if self._index is None:
            if not os.path.exists(os.path.dirname(self.files.marks)):
                return  # the task has removed all of it
            self._index = os.open(self.files.marks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # Where the last whole mark ends: a TaskRunner may have been killed in the next one.
            self._index_size = os.lseek(self._index, 0, os.SEEK_END) // MARK.size * MARK.size
        mark = MARK.pack(offset, int(now * 1_000_000))
        if os.pwrite(self._index, mark, self._index_size) == MARK.size:
            self._index_size += MARK.size
        self._marked_at = now

    def _enlarge(self) -> None:
        # Fewer switches between a chatty machine and this process. The kernel may refuse: there
        # is a limit for all pipes of a user, see pipe(7).
        self._enlarged = True
        with suppress(OSError):
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, CHUNK)

    def close(self) -> None:
        """Close everything."""
        for fd in (self.fd, self._log, self._index):
            if fd is not None:
                os.close(fd)
