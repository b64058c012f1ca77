"""The CPU time of a set of processes, those included that have come and gone meanwhile.

A sum over /proc/PID/stat would not do: a TaskRunner is nobody's to wait for (the fork server
ignores SIGCHLD), so its time is added to no parent's when it ends. A cgroup counts the time of
all that ever ran in it. It needs no CPU controller: in version 1 the hierarchy is cpuacct, in
version 2 every group has a cpu.stat. The client stays outside of the group.

Where no cgroup can be made (not root, no delegation), the busy time of the whole machine minus
the client's own is taken: then nothing else may run.
"""

import os
import resource
import signal
import time
from contextlib import suppress

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_FIELDS = (3, 4, 7)
"""In the first line of /proc/stat, see proc_stat(5): idle, iowait, steal."""


class Group:
    """A cgroup for whatever is started with `command`, as exact as this machine allows."""

    def __init__(self, name: str) -> None:
        self.path = _make(f"task-runner-bench-{os.getpid()}-{name}")

    @property
    def is_exact(self) -> bool:
        """Whether it counts these processes alone."""
        return self.path is not None

    def command(self, argv: list[str]) -> list[str]:
        """Return a command that executes `argv` inside of the group."""
        if self.path is None:
            return argv
        return ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.path, *argv]

    def seconds(self) -> float:
        """Return the CPU time spent so far; only differences mean something."""
        if self.path is None:
            own = resource.getrusage(resource.RUSAGE_SELF)
            return _machine_seconds() - own.ru_utime - own.ru_stime
        with suppress(FileNotFoundError), open(f"{self.path}/cpuacct.usage") as file:
            return int(file.read()) / 1e9
        with open(f"{self.path}/cpu.stat") as file:
            return int(dict(line.split() for line in file)["usage_usec"]) / 1e6

    def settle(self, patience: float = 10.0) -> float:
        """Wait until (nearly) nothing happens any more, and return the time spent."""
        until = time.monotonic() + patience
        before = self.seconds()
        while time.monotonic() < until:
            time.sleep(0.25)
            now = self.seconds()
            # An idle node wakes up now and then; that is less than 2 percent of a core.
            if now - before < 0.005:
                return now
            before = now
        return before

    def pids(self) -> list[int]:
        """Return the processes that live in the group; none where there is no group."""
        if self.path is None:
            return []
        with open(f"{self.path}/cgroup.procs") as file:
            return [int(line) for line in file]

    def close(self) -> None:
        """Kill what is left in the group, and remove it."""
        if self.path is None:
            return
        until = time.monotonic() + 10
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                raise TimeoutError(f"processes of {self.path} do not end: {pids}")
            time.sleep(0.01)
        os.rmdir(self.path)


def _make(name: str) -> str | None:
    for path in _candidates():
        with suppress(OSError):
            os.mkdir(f"{path}/{name}")
            if os.access(f"{path}/{name}/cgroup.procs", os.W_OK):
                return f"{path}/{name}"
            os.rmdir(f"{path}/{name}")
    return None


def _candidates() -> list[str]:
    """Return where this process is in the hierarchies that count CPU time, version 1 first."""
    mounts = {}
    with open("/proc/mounts") as file:
        for line in file:
            _, place, kind, options = line.split()[:4]
            if kind == "cgroup" and "cpuacct" in options.split(","):
                mounts["cpuacct"] = place
            elif kind == "cgroup2":
                mounts[""] = place
    found = []
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            name = "cpuacct" if "cpuacct" in controllers.split(",") else controllers
            if name in mounts:
                found.append(mounts[name] + path.rstrip("/"))
    return found


def _machine_seconds() -> float:
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return sum(time for i, time in enumerate(fields) if i not in IDLE_FIELDS) / TICKS
