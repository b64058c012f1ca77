"""A machine in a container, as TaskRunner guards it: started by a client, kept by conmon.

The leader is podman's client. It goes when the program has started, and what is guarded from then
on is the first process in the container. That one is not our child: its parent is conmon, which
comes to TaskRunner as a daemon does, and tells podman how it ended. So conmon is left alone, and
what is to be done to the container is asked of podman.
"""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from task_runner.isolation.container_client import Below, Client, ToolError
from task_runner.isolation.container_ending import (
    UNKNOWN,
    Evidence,
    Words,
    ending_of,
    is_out_of_memory,
)
from task_runner.isolation.container_tools import Sight
from task_runner.lib import cgroup, process
from task_runner.lib.clock import since_boot
from task_runner.lib.guarded import Adopted, Child
from task_runner.lib.limits import out_of_memory
from task_runner.lib.process import Identity
from task_runner.lib.report import words_of_report
from task_runner.lib.task_dir import TaskDir

INSIST = 1.0
"""Seconds between two kills, or two questions to a podman that did not answer."""
SHORT_OUTPUT = 8192
"""Bytes; what podman or the init say in place of the program fits."""


class _Inside(NamedTuple):
    """What runs in the container, as the host sees it."""

    first: Identity
    pidfd: int
    memory_group: str | None


class ContainerGuard:
    """See Guarded. `leader` is the client that was told to start the container."""

    ends_are_seen = False

    def __init__(
        self,
        leader: Child | Adopted,
        client: Client,
        directory: TaskDir,
        held_to: Mapping[str, float],
    ) -> None:
        """Guard a container that may not be there yet, or be over; `held_to` are its limits."""
        self._leader = leader
        self._client = client
        self._directory = directory
        self._limits = held_to
        self._inside: _Inside | None = None
        self._monitor: Identity | None = None
        self._below: Below | None = None
        self._over = self._never_ran = False
        self._asked = False
        self._ask_at = self._kill_at = 0.0
        self._kills_for_memory = 0

    @property
    def identity(self) -> Identity:
        """See Guarded: the client, and the first process in the container once there is one."""
        return self._inside.first if self._inside else self._leader.identity

    @property
    def pidfd(self) -> int | None:
        """See Guarded."""
        return self._inside.pidfd if self._inside else self._leader.pidfd

    def has_ended(self) -> bool:
        """See Guarded."""
        if not self._over and self._inside is None:
            self._find()
        if not self._over and self._inside is not None and process.has_ended(self._inside.pidfd, 0):
            self._over = True
            # At once: the control group goes with the container.
            group = self._inside.memory_group
            self._kills_for_memory = cgroup.oom_kills(group) if group else 0
        return self._over

    def _find(self) -> None:
        """Look for the container; an own client that still works would only be in the way."""
        gone = self._leader.has_ended()
        if since_boot() < self._ask_at or (isinstance(self._leader, Child) and not gone):
            return
        try:
            sight = self._client.look()
            if sight is not None and sight.is_running:
                self._enter(sight)
            elif gone:
                self._never_ran = sight is None or not sight.is_over
                if self._never_ran:
                    self._client.remove()
                self._over = True
        except ToolError:
            self._ask_at = since_boot() + INSIST

    def _enter(self, sight: Sight) -> None:
        """Take hold of what runs in the container, and catch up with a stop."""
        self._monitor = _identity_of(sight.monitor)
        with suppress(ToolError):
            self._below = Below.of(self._monitor) if self._monitor else None
        first = _identity_of(sight.pid)
        pidfd = first.open_pidfd() if first else None
        if first is None or pidfd is None:
            self._over = True
            return
        self._inside = _Inside(first, pidfd, cgroup.memory_group_of(first.pid))
        if self._asked:
            self.terminate()

    def is_alone(self) -> bool:
        """See Guarded. The kernel ends all that is in a container with its first process."""
        left = [pid for pid in self._others() if os.waitpid(pid, os.WNOHANG) == (0, 0)]
        if self._never_ran:
            return not left and not self._client.monitors()
        return not left and (self._monitor is None or self._monitor.is_alive() is False)

    def _others(self) -> list[int]:
        return [pid for pid in process.children() if pid != self._leader.identity.pid]

    def terminate(self) -> None:
        """See Guarded. The init passes it on to the group of the program."""
        self._asked = True
        if self._inside is None:
            process.send_signal(self._leader.identity, signal.SIGTERM)
        else:
            self._tell(signal.SIGTERM)
            self._tell(signal.SIGCONT)

    def _tell(self, number: signal.Signals) -> None:
        """Send a signal through podman; by ourselves only when podman cannot."""
        try:
            self._client.send(number.name.removeprefix("SIG"))
        except ToolError:
            process.send_signal(self.identity, number)

    def remind(self) -> bool:
        """See Guarded. The init may not have stood when the first one came."""
        if self._inside is None or "heard" in self._words():
            return self._inside is None
        self._tell(signal.SIGTERM)
        return True

    def terminate_leftovers(self, *, group: bool) -> None:
        """See Guarded. There is conmon, which will go.

        But when the client was killed at the wrong moment, conmon waits for ever for the start of a
        container of which podman has not taken notice: only the runtime can remove that.
        """
        del group
        if self._never_ran and since_boot() >= self._ask_at:
            self._ask_at = since_boot() + INSIST
            for monitor in self._client.monitors():
                with suppress(ToolError):  # the runtime has yet to hear of it
                    Below.of(monitor).remove()

    def kill(self) -> None:
        """See Guarded. It is called often, and podman is not asked that often."""
        if since_boot() < self._kill_at:
            return
        self._kill_at = since_boot() + INSIST
        if not self._over and self._inside is not None:
            self._tell(signal.SIGKILL)
        elif not self._over:
            process.send_signal(self._leader.identity, signal.SIGKILL)
        else:  # conmon hangs
            for monitor in self._client.monitors():
                process.send_signal(monitor, signal.SIGKILL)

    def collect(self) -> tuple[int | None, dict[str, Any] | None, dict[str, Any] | None]:
        """See Guarded. What the program has used is not known apart from what podman has."""
        status, words, _ = self._leader.collect()
        code = None if status is None else os.waitstatus_to_exitcode(status)
        evidence = self._evidence(code, words or {})
        end, last_words = ending_of(evidence)
        if is_out_of_memory(evidence):
            killed = max(1, evidence.kills_for_memory)
            last_words = {**last_words, "out_of_memory": out_of_memory(killed, self._limits)}
        return end, last_words, None

    @property
    def knows_end(self) -> bool:
        """See Guarded. The init has reported it, or the container was never started."""
        return ending_of(self._evidence(None, {})) != UNKNOWN

    def _evidence(self, client_code: int | None, words: Words) -> Evidence:
        words = {**words, **self._words()}
        return Evidence(
            kind=self._client.tool.kind,
            client_code=client_code,
            sight=self._last_look(),
            kills_for_memory=max(self._kills_for_memory, words.get("kills_for_memory", 0)),
            words=words,
            output=self._short_output(),
        )

    def _last_look(self) -> Sight | None:
        with suppress(ToolError):
            return self._client.look()
        return None

    def _words(self) -> Words:
        with suppress(FileNotFoundError):
            return words_of_report(process.read_file(report_of(self._directory)))
        return {}

    def _short_output(self) -> str:
        """Return the whole output, which is podman's when the program did not start."""
        output = b""
        for log in (self._directory.output.log, self._directory.stderr.log):
            with suppress(FileNotFoundError):
                if os.stat(log).st_size <= SHORT_OUTPUT:
                    output += process.read_file(log)
        return output.decode(errors="replace")

    def leave(self) -> None:
        """See Guarded. What cannot be removed now is removed with the task."""
        with suppress(ToolError):
            removed = self._client.remove()
            if self._below is not None and removed is not None and not removed.is_over:
                self._below.remove()  # conmon was killed
            for path in (order_of(self._directory), report_of(self._directory)):
                with suppress(FileNotFoundError):
                    os.unlink(path)


def _identity_of(pid: int) -> Identity | None:
    with suppress(ProcessLookupError):
        return process.identity_of(pid) if pid > 0 else None
    return None


def report_of(directory: TaskDir) -> str:
    """Return the file into which the init and a Python machine report."""
    return f"{directory.path}/container.report"


def order_of(directory: TaskDir) -> str:
    """Return the file with the order for the init, where it cannot be passed as a descriptor."""
    return f"{directory.path}/container.order"
