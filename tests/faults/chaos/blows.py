"""The blows: finds a victim among the processes of a node, and strikes."""

import errno
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from task_runner.lib.task_dir import PREFIX, TaskDir
from tests.faults.chaos.plan import Blow, Strike
from tests.faults.chaos.service import Service

CHUNK = 1 << 20

T = TypeVar("T")


class Blows:
    """Strikes as planned, and keeps a record of whom it has struck."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._work_dir = service.work_dir
        self._ballast = self._work_dir.with_name("ballast")
        self._timers: list[threading.Timer] = []
        self.struck: Counter[Blow] = Counter()
        self.orphaned: Counter[str] = Counter()
        """Tasks whose TaskRunner was killed, and how often."""
        self._do: dict[Blow, Callable[[Strike], bool]] = {
            Blow.KILL_SERVICE: lambda _: self._service.kill(),
            Blow.KILL_MASTER: lambda _: self._kill(self._service.masters(), 0),
            Blow.KILL_WORKER: lambda strike: self._kill(self._service.workers(), strike.place),
            Blow.KILL_FORK_SERVER: lambda strike: self._kill(
                self._service.fork_servers(), strike.place
            ),
            Blow.KILL_TASK_RUNNER: self._kill_task_runner,
            Blow.SUSPEND_WORKER: lambda strike: self._suspend(self._service.workers(), strike),
            Blow.SUSPEND_FORK_SERVER: lambda strike: self._suspend(
                self._service.fork_servers(), strike
            ),
            Blow.SUSPEND_TASK_RUNNER: self._suspend_task_runner,
            Blow.FILL_DISK: self._fill_disk,
        }

    def strike(self, strike: Strike) -> None:
        """Strike when there is a victim."""
        if self._do[strike.blow](strike):
            self.struck[strike.blow] += 1

    def _kill(self, pids: list[int], place: float) -> bool:
        if not pids:
            return False
        with suppress(ProcessLookupError):
            os.kill(_choose(pids, place), signal.SIGKILL)
        return True

    def _suspend(self, pids: list[int], strike: Strike) -> bool:
        if not pids:
            return False
        try:
            pidfd = os.pidfd_open(_choose(pids, strike.place))
        except ProcessLookupError:
            return False
        self._suspend_for(pidfd, strike.duration)
        return True

    def _suspend_for(self, pidfd: int, seconds: float) -> None:
        def go_on() -> None:
            _send(pidfd, signal.SIGCONT)
            os.close(pidfd)

        _send(pidfd, signal.SIGSTOP)
        self._later(seconds, go_on)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.start()
        self._timers.append(timer)

    def _task_runners(self) -> Iterator[tuple[str, int]]:
        """Yield the tasks whose TaskRunner lives, with a pidfd of it; the caller closes that."""
        for path in sorted(self._work_dir.glob(f"{PREFIX}*")):
            task_id = path.name.removeprefix(PREFIX)
            pidfd = TaskDir.of(str(self._work_dir), task_id).open_holder()
            if pidfd is not None:
                yield task_id, pidfd

    def _on_task_runner(self, place: float, act: Callable[[str, int], None]) -> bool:
        found = list(self._task_runners())
        if not found:
            return False
        chosen = _choose(found, place)
        for one in found:
            if one is not chosen:
                os.close(one[1])
        act(*chosen)
        return True

    def _kill_task_runner(self, strike: Strike) -> bool:
        def act(task_id: str, pidfd: int) -> None:
            self.orphaned[task_id] += 1
            _send(pidfd, signal.SIGKILL)
            os.close(pidfd)

        return self._on_task_runner(strike.place, act)

    def _suspend_task_runner(self, strike: Strike) -> bool:
        return self._on_task_runner(
            strike.place, lambda _task_id, pidfd: self._suspend_for(pidfd, strike.duration)
        )

    def _fill_disk(self, strike: Strike) -> bool:
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(CHUNK))
            except OSError as problem:
                if problem.errno != errno.ENOSPC:
                    raise
        self._later(strike.duration, lambda: self._ballast.unlink(missing_ok=True))
        return True

    def close(self) -> None:
        """Let everything that is suspended go on, and give the disk its room back."""
        for timer in self._timers:
            timer.join()


def _choose(some: list[T], place: float) -> T:
    return some[int(place * len(some))]


def _send(pidfd: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)
