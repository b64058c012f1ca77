"""The init of a sandbox: the first process inside, which ends with everything else in there.

It starts the program, passes SIGTERM on to it, reaps what loses its parent, and reports the wait
status of the program, which bwrap would only tell as an exit code. When the program is over, what
it left running has the grace period to end. It ends at once when bwrap does: the kernel then kills
all that is inside, see pid_namespaces(7).

Every sandbox waits for it, so it imports next to nothing: `signal` alone would double its start.
"""

from __future__ import annotations

import marshal
import os
import select
import time

from task_runner.lib.execute import execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    Order = Mapping[str, Any]
    """What sandbox.py hands over."""
else:
    import _signal as signal

ENTERED = b'{"entered":true}\n'
HEARD = b'{"heard":true}\n'
"""As in machine_process.py, which is too large to import here."""
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

FOREVER = float("inf")


def main(order_fd: int) -> NoReturn:
    """Be the init, by the order that can be read from the descriptor. SIGTERM is blocked."""
    with open(order_fd, "rb") as file:
        order = marshal.load(file)  # noqa: S302  - from this very Python, just before it became bwrap
    for name, number in (("stderr", 2), ("stdin", 0)):
        os.dup2(order[name], number)
        os.close(order[name])
    begin(order)


def begin(order: Order, last_words: Callable[[], bytes] = bytes) -> NoReturn:
    """Start the program, and be its init; the streams are in their places.

    `last_words` gives what is reported when nothing is left inside.
    """
    os.set_inheritable(order["lifeline"], False)
    os.set_inheritable(order["report"], False)
    _say(order["report"], ENTERED)
    program = os.fork()
    if program == 0:
        _become_program(order)
    Init(program, order).run()
    _say(order["report"], last_words())
    os._exit(0)


def _become_program(order: Order) -> NoReturn:
    os.setsid()
    os.set_inheritable(order["report"], order["is_python"])
    for number in (*IGNORED_BY_PYTHON, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, order["blocked"])
    execute(order["argv"], order["env"], order["report"])


class Init:
    """Waits until nothing is left inside, or nothing may be left any more."""

    def __init__(self, program: int, order: Order) -> None:
        """Stand ready for signals, which are only recorded, and wake up the loop."""
        self._program = program
        self._report: int = order["report"]
        self._lifeline: int = order["lifeline"]
        self._is_python: bool = order["is_python"]
        self._grace_period: float = order["grace_period"]
        self._is_stopped = False
        self._end_at = FOREVER
        self._wakeup, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def run(self) -> None:
        """Return when it is time to end."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.register(self._lifeline, 0)
        while self._reap() and time.monotonic() < self._end_at:
            ready = [fd for fd, _ in poll.poll(self._patience())]
            if self._lifeline in ready:
                return
            if self._wakeup in ready and signal.SIGTERM in os.read(self._wakeup, 4096):
                self._pass_on()

    def _patience(self) -> float | None:
        """Return the milliseconds until the end of the grace period."""
        if self._end_at == FOREVER:
            return None
        return max(0.0, self._end_at - time.monotonic()) * 1000 + 1

    def _reap(self) -> bool:
        """Take notice of what has ended; say whether anything is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._program:
                _say(self._report, b'{"status":%d}\n' % status)
                self._end_at = time.monotonic() + self._grace_period
                self._ask_leftovers()

    def _pass_on(self) -> None:
        """Pass SIGTERM on: to the group of the program, and again to a machine that is deaf."""
        if self._end_at < FOREVER:
            return
        if not self._is_stopped:
            self._is_stopped = True
            _ask(-self._program)
        elif self._is_python:
            _ask(self._program)
        if not self._is_python:  # a machine says so itself
            _say(self._report, HEARD)

    def _ask_leftovers(self) -> None:
        """Ask everything to end, but for the group that was asked already."""
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                try:
                    if not self._is_stopped or os.getpgid(int(name)) != self._program:
                        _ask(int(name))
                except ProcessLookupError:
                    continue


def _say(report: int, words: bytes) -> None:
    try:  # noqa: SIM105  - contextlib is one of the expensive ones
        os.write(report, words)
    except BrokenPipeError:  # TaskRunner was killed; another one goes on without the report
        pass


def _ask(process: int) -> None:
    """Ask a process, or a group by its negative number, to end."""
    for number in (signal.SIGTERM, signal.SIGCONT):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            if process < 0:  # the program has yet to make its group
                _ask(-process)
            return
