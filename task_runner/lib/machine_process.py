"""The process of a machine as TaskRunner sees it: forked, released, and what it reports."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from task_runner.lib import process
from task_runner.lib.execute import NOT_STARTED_EXIT_CODE
from task_runner.lib.report import HEARD, REPORT_FD, REPORT_SIZE, describe, say, words_of_report

PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python raises exceptions instead; programs it starts get the default, see subprocess."""
Work = Callable[[], int]
"""What the process does when it is released, with its report at REPORT_FD; gives its exit code."""


class MachineProcess:
    """A machine that was forked and waits; it does nothing before `release`.

    It waits on a pipe and with SIGTERM blocked: when TaskRunner dies, the pipe ends and the
    machine exits without having done anything; a SIGTERM that comes early stays pending until
    somebody can handle it.
    """

    def __init__(self, work: Work) -> None:
        """Fork a process for the work. The caller has SIGTERM blocked."""
        released, self._release = os.pipe()
        self._report, report = os.pipe()
        self._reported = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._release)
            _child(work, released, report)
        os.close(released)
        os.close(report)

    def release(self) -> None:
        """Let the machine begin."""
        with suppress(BrokenPipeError):  # it was killed while it waited; its end will be seen
            os.write(self._release, b"!")
        os.close(self._release)

    def abandon(self) -> None:
        """End the machine, which was not released and has done nothing."""
        os.close(self._release)
        with suppress(ChildProcessError):  # reaped by the kernel, where SIGCHLD is ignored
            os.waitpid(self.pid, 0)

    def has_heard(self) -> bool:
        """Say whether the machine has noticed a SIGTERM, or is a program, which does so anyway.

        The end of the report stays open, and without that word, in one that has not.
        """
        return self._is_report_closed() or HEARD in self._reported

    def _is_report_closed(self) -> bool:
        os.set_blocking(self._report, False)  # a daemon it left behind may hold the other end
        data = b"?"
        with suppress(BlockingIOError):
            while data and len(self._reported) < REPORT_SIZE:
                data = os.read(self._report, REPORT_SIZE)
                self._reported += data
        return not data

    def report(self) -> dict[str, Any]:
        """Return its last words, of those in WORDS. Call it when the machine is over.

        Lines that are no JSON are returned as "said": the last words of other programs.
        """
        self._is_report_closed()
        return words_of_report(self._reported)


def _child(work: Work, released: int, report: int) -> NoReturn:
    code = NOT_STARTED_EXIT_CODE
    try:
        os.setsid()
        _default_signals()
        if os.read(released, 1):
            report = os.dup2(report, REPORT_FD)
            os.set_inheritable(report, False)
            code = work()
    except BaseException as problem:  # nothing may climb up into TaskRunner's code
        say(report, not_started=describe(problem))
    finally:
        os._exit(code)


def _default_signals() -> None:
    """Forget TaskRunner's handlers; SIGTERM stays blocked, whatever else was."""
    signal.set_wakeup_fd(-1)
    process.restore_signals(keep=PYTHON_IGNORES, block=(signal.SIGTERM,))
