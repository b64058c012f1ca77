import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

from task_runner.lib.guarded import Child
from tests.waiting import wait_until

if TYPE_CHECKING:
    from task_runner.lib.machine_process import MachineProcess


class Forked(NamedTuple):
    """A child that has not made its session yet, and does so when it is told."""

    pid: int
    go_on: int

    def guard(self) -> Child:
        return Child(cast("MachineProcess", self))  # of which it only takes the pid


@pytest.fixture
def forked() -> Iterator[Forked]:
    told, go_on = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
            os.close(go_on)
            os.read(told, 1)
            os.setsid()
            signal.pause()
        finally:
            os._exit(0)
    os.close(told)
    wait_until(lambda: catches(pid, signal.SIGTERM))
    yield Forked(pid, go_on)
    os.close(go_on)


def catches(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        (line,) = [line for line in file if line.startswith("SigCgt")]
    return bool(int(line.split()[1], 16) & 1 << (number - 1))


def test_a_machine_without_a_group_yet_is_asked_all_the_same(forked: Forked) -> None:
    forked.guard().terminate()
    assert os.waitstatus_to_exitcode(os.waitpid(forked.pid, 0)[1]) == 7


def test_a_machine_without_a_group_yet_is_killed_all_the_same(forked: Forked) -> None:
    guarded = forked.guard()
    assert not guarded.has_ended()
    guarded._signal_group(signal.SIGKILL)
    wait_until(guarded.has_ended)
    assert os.waitstatus_to_exitcode(os.waitpid(forked.pid, 0)[1]) == -signal.SIGKILL


def test_a_machine_with_its_group_is_asked_once(forked: Forked) -> None:
    os.write(forked.go_on, b"!")
    wait_until(lambda: os.getsid(forked.pid) == forked.pid)
    guarded = forked.guard()
    guarded.terminate()
    wait_until(guarded.has_ended)
    assert guarded.has_ended()  # it stays unreaped
    assert os.waitstatus_to_exitcode(os.waitpid(forked.pid, 0)[1]) == 7
