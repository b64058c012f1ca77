"""The machine as TaskRunner guards it: its own child, or one that an earlier TaskRunner left.

Both answer the same questions. A child is known for certain: until it is reaped, its pid and its
process group belong to nobody else. An adopted machine is found again by its identity, and each
signal goes through a pidfd.
"""

import os
import resource
import signal
from contextlib import suppress
from typing import Any, Protocol

from task_runner.lib import process
from task_runner.lib.machine_process import MachineProcess
from task_runner.lib.process import Identity


class Guarded(Protocol):
    """What TaskRunner needs of a machine, wherever it comes from."""

    ends_are_seen: bool
    """Whether SIGCHLD tells of the end of what the machine left running."""

    @property
    def identity(self) -> Identity:
        """The process that stands for the machine; another one once a client has started it."""

    @property
    def pidfd(self) -> int | None:
        """Readable when that process is over; None when SIGCHLD says so."""

    @property
    def knows_end(self) -> bool:
        """Whether it can be told how the machine ended, also when no TaskRunner was there."""

    def has_ended(self) -> bool:
        """Say whether the machine itself (the leader) is over."""

    def is_alone(self) -> bool:
        """Say whether nothing that descends from the machine is left."""

    def terminate(self) -> None:
        """Ask the machine and its process group to end."""

    def remind(self) -> bool:
        """Ask a Python machine again that has not noticed yet; say whether there is one."""

    def terminate_leftovers(self, *, group: bool) -> None:
        """Ask what it left running to end, once each; its group only when `group` says so."""

    def kill(self) -> None:
        """Kill everything that can be seen; call it again until `is_alone`."""

    def collect(self) -> tuple[int | None, dict[str, Any] | None, dict[str, Any] | None]:
        """Return wait status, last words and usage, each None when nobody can know it."""

    def leave(self) -> None:
        """Remove what is of no use any more; the result is written."""


class Child:
    """A machine that this TaskRunner has forked. It stays unreaped until `collect`."""

    pidfd: int | None = None
    ends_are_seen = True
    knows_end = True

    def __init__(self, machine: MachineProcess) -> None:
        """Guard a machine that was not released yet."""
        self._machine = machine
        self._pid = machine.pid
        self.identity = process.identity_of(machine.pid)
        self._ended = False
        self._asked: set[int] = set()

    def has_ended(self) -> bool:
        """See Guarded."""
        if not self._ended:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            self._ended = os.waitid(os.P_PID, self._pid, options) is not None
        return self._ended

    def is_alone(self) -> bool:
        """See Guarded. Daemons that have ended are reaped on the way."""
        return not [pid for pid in self._others() if not self._reap(pid)]

    def _others(self) -> list[int]:
        return [pid for pid in process.children() if pid != self._pid]

    def _reap(self, pid: int) -> bool:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is None:
            return False
        self._asked.discard(pid)
        return True

    def terminate(self) -> None:
        """See Guarded."""
        self._signal_group(signal.SIGTERM)
        self._signal_group(signal.SIGCONT)

    def _signal_group(self, number: int) -> None:
        with suppress(PermissionError):  # it became another user, as sudo does
            try:
                os.killpg(self._pid, number)
            except ProcessLookupError:  # it was too quick: the machine has yet to make its group
                os.kill(self._pid, number)

    def remind(self) -> bool:
        """See Guarded. Python notices no signal that comes just before a call that blocks."""
        if self._machine.has_heard():
            return False
        os.kill(self._pid, signal.SIGTERM)
        return True

    def terminate_leftovers(self, *, group: bool) -> None:
        """See Guarded. A child's pid is its own until this process reaps it: kill(2) is safe."""
        if group:
            self.terminate()
        for pid in self._others():
            if pid in self._asked or os.getpgid(pid) == self._pid:
                continue
            self._asked.add(pid)
            with suppress(PermissionError):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """See Guarded. What the killed ones had started becomes ours, for the next round."""
        self._signal_group(signal.SIGKILL)
        for pid in self._others():
            with suppress(PermissionError):
                os.kill(pid, signal.SIGKILL)

    def collect(self) -> tuple[int | None, dict[str, Any] | None, dict[str, Any] | None]:
        """See Guarded."""
        _, status = os.waitpid(self._pid, 0)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        usage = {
            "user_seconds": spent.ru_utime,
            "system_seconds": spent.ru_stime,
            "max_rss_bytes": spent.ru_maxrss * 1024,
        }
        return status, self._machine.report(), usage

    def leave(self) -> None:
        """See Guarded."""


class Adopted:
    """A machine whose TaskRunner was killed: only its parent could have seen how it ends."""

    ends_are_seen = False
    knows_end = False

    def __init__(self, leader: Identity, directory: str) -> None:
        """Guard the machine with this identity; it may be over already."""
        self.identity = leader
        self.pidfd = leader.open_pidfd()
        self._mark = f"TASK_RUNNER_DIR={directory}".encode()
        self._asked: set[Identity] = set()

    def has_ended(self) -> bool:
        """See Guarded."""
        return self.identity.is_alive() is False

    def is_alone(self) -> bool:
        """See Guarded."""
        return not self._members()

    def _members(self) -> list[Identity]:
        return process.members(self.identity, self._mark)

    def terminate(self) -> None:
        """See Guarded."""
        self.terminate_leftovers(group=True)

    def remind(self) -> bool:
        """See Guarded. Only its parent knows what it has noticed."""
        return False

    def terminate_leftovers(self, *, group: bool) -> None:
        """See Guarded."""
        for member in self._members():
            if member in self._asked or (not group and self._is_in_group(member)):
                continue
            self._asked.add(member)
            process.send_signal(member, signal.SIGTERM)
            process.send_signal(member, signal.SIGCONT)

    def _is_in_group(self, member: Identity) -> bool:
        entry = process.stat_of(member.pid)
        return entry is not None and entry.group == self.identity.pid

    def kill(self) -> None:
        """See Guarded."""
        for member in self._members():
            process.send_signal(member, signal.SIGKILL)

    def collect(self) -> tuple[int | None, dict[str, Any] | None, dict[str, Any] | None]:
        """See Guarded. Nobody here could wait for it: all of it is unknown."""
        return None, None, None

    def leave(self) -> None:
        """See Guarded."""
