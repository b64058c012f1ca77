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

MARK = struct.Struct("<QQ")
"""An entry of the index: from this offset on, output came at this time (microseconds, epoch)."""

CHUNK = 1 << 20
NEW_PIPE_SIZE = 1 << 16
MARK_INTERVAL = 0.010


def make_fifo(path: str) -> int:
    """Open a FIFO read-write and non-blocking, after making it when it is not there."""
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


class MirrorBusyError(Exception):
    """Whoever looks on is slower than the machine."""


class Output:
    """Moves what is in the FIFO to the end of the log."""

    def __init__(self, fifo: str, log: str, index: str, mirror: int | None = None) -> None:
        """Open all; `mirror` is a descriptor to which everything is written a second time."""
        self.fd = make_fifo(fifo)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._index_path = index
        self._index: int | None = None
        self._mirror = mirror
        self._index_size = 0
        self._marked_at = 0.0
        self._enlarged = False
        self._unwritten = b""
        self._unshown = b""
        self.size = os.lseek(self._log, 0, os.SEEK_END)

    def pump(self) -> bool:
        """Move what is there now, say whether there was something.

        Raises OSError when the log cannot be written (a full disk), MirrorBusyError when the
        mirror cannot; what was not moved stays in the FIFO, and the machine waits when that is
        full.
        """
        if self._mirror is not None:
            self._show(self._mirror)
        if not self._unwritten and not self._is_waiting():
            return False
        # Before the bytes: whoever sees them finds their time.
        self._mark(self.size)
        reach(Step.MOVE, self._index_path)
        moved = self._splice() if self._mirror is None else self._copy()
        self.size += moved
        if self._mirror is not None:
            self._show(self._mirror)
        if moved >= NEW_PIPE_SIZE and not self._enlarged:
            self._enlarge()
        return moved > 0

    def _is_waiting(self) -> bool:
        answer = fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder) > 0

    def _splice(self) -> int:
        return os.splice(
            self.fd, self._log, CHUNK, offset_dst=self.size, flags=os.SPLICE_F_NONBLOCK
        )

    def _copy(self) -> int:
        data = self._unwritten or os.read(self.fd, CHUNK)
        self._unwritten = data  # until it is written: nobody else has it any more
        written = os.pwrite(self._log, data, self.size)
        self._unwritten = data[written:]
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

    def _mark(self, offset: int) -> None:
        now = time.time()
        # Backwards too: after the clock was set, the marks follow it.
        if abs(now - self._marked_at) < MARK_INTERVAL:
            return
        reach(Step.MARK, self._index_path)
        if self._index is None:
            if not os.path.exists(os.path.dirname(self._index_path)):
                return  # the task has removed all of it
            self._index = os.open(self._index_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
