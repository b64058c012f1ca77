"""Control groups of Linux, version 2: see the kernel's admin-guide/cgroup-v2.

A task gets a group of its own beside that of the node, where the node may make groups and hand out
controllers: in a unit of systemd with `Delegate=` and `DelegateSubgroup=`, and nowhere by accident.
The node never moves itself into a group below its own: systemd could not start it again where
controllers are handed out to the groups of tasks that go on.
"""

import errno
import os
import select
from collections.abc import Mapping
from contextlib import suppress

from task_runner.lib.process import read_file

ROOT = "/sys/fs/cgroup"
PREFIX = "task-"
RELOADS = ".control"
"""Where systemd puts the commands of ExecReload=; the group stays."""
WRITTEN = ("", "/cgroup.procs", "/cgroup.subtree_control")
"""What a group must let us write to: into it, who is in it, what its groups can hold."""
CONTROLLERS = {"memory": "memory", "cpu": "cpu", "pids": "pids"}
"""What each limit needs."""
CPU_PERIOD = 100_000
"""Microseconds over which the share of processor time is counted."""
PATIENCE = 5.0
"""Seconds that what was killed may take to be gone."""


def own() -> str | None:
    """Return the directory of the group of this process; None without such groups."""
    lines = read_file("/proc/self/cgroup").decode().splitlines()
    names = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    mounts = [line.split() for line in read_file("/proc/self/mounts").decode().splitlines()]
    places = [place for _, place, kind, *_ in mounts if kind == "cgroup2"]
    return os.path.normpath(places[0] + names[0]) if names and places else None


def base_of(own: str | None) -> tuple[str, frozenset[str]] | None:
    """Return where groups for tasks can be made, and the limits they can hold; None: nowhere.

    `own` is the group of the node. The kernel hands out nothing below a group that has processes
    itself, except below the root; so it is the group above, where that one is the node's alone.
    """
    if own is None:
        return None
    base = own if _is_root(own) else os.path.dirname(own)
    if not _is_ours(base, own) or not all(os.access(base + name, os.W_OK) for name in WRITTEN):
        return None
    handed_out = _hand_out(base)
    limits = frozenset(limit for limit, need in CONTROLLERS.items() if need in handed_out)
    return (base, limits) if limits else None


def _is_root(path: str) -> bool:
    """Say whether a group is the root of all, and not only that of a namespace."""
    return not os.path.exists(f"{path}/cgroup.type")


def _is_ours(base: str, own: str) -> bool:
    if base == own:
        return True
    if base.endswith(".slice"):  # of systemd, which delegates none of them
        return False
    try:
        with os.scandir(base) as entries:
            groups = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return False
    known = (os.path.basename(own), RELOADS)
    return all(name in known or name.startswith(PREFIX) for name in groups)


def _hand_out(base: str) -> set[str]:
    """Hand out the controllers that are needed to groups below; return those that are."""
    try:
        there = set(read_file(f"{base}/cgroup.controllers").decode().split())
        handed_out = set(read_file(f"{base}/cgroup.subtree_control").decode().split())
        if missing := (there & set(CONTROLLERS.values())) - handed_out:
            with suppress(OSError):  # EBUSY: there are processes in it
                words = " ".join(f"+{controller}" for controller in sorted(missing))
                _write(base, "cgroup.subtree_control", words)
        return set(read_file(f"{base}/cgroup.subtree_control").decode().split())
    except OSError:
        return set()


def path_of(base: str, name: str) -> str:
    """Return the directory of the group of a task."""
    return f"{base}/{PREFIX}{name}"


def make(path: str, limits: Mapping[str, float]) -> None:
    """Make a group that holds what is in it to the limits. Raises OSError."""
    with suppress(FileExistsError):  # of a start that was cut off
        os.mkdir(path)
    if "memory" in limits:
        _write(path, "memory.max", str(limits["memory"]))
        with suppress(FileNotFoundError):  # a kernel without swap
            _write(path, "memory.swap.max", "0")
    if "pids" in limits:
        _write(path, "pids.max", str(limits["pids"]))
    if "cpu" in limits:
        _write(path, "cpu.max", f"{round(limits['cpu'] * CPU_PERIOD)} {CPU_PERIOD}")


def enter(path: str, pid: int) -> None:
    """Move a process into a group; what it starts from then on is in it. Raises OSError."""
    _write(path, "cgroup.procs", str(pid))


def memory_group_of(pid: int) -> str | None:
    """Return the directory of the group that limits the memory of a process; None: there is none.

    In version 1 as well, where each controller has its groups.
    """
    with suppress(OSError):
        for line in read_file(f"/proc/{pid}/cgroup").decode().splitlines():
            number, controllers, name = line.split(":", 2)
            if number == "0" and os.path.exists(f"{ROOT}{name}/memory.events"):
                return ROOT + name
            if "memory" in controllers.split(","):
                return f"{ROOT}/memory{name}"
    return None


def oom_kills(path: str) -> int:
    """Return how many processes of a group the kernel has killed for its memory."""
    for file in ("memory.events", "memory.oom_control"):  # of version 2 and 1
        with suppress(OSError):
            for line in read_file(f"{path}/{file}").decode().splitlines():
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return 0


def remove(path: str) -> None:
    """Remove a group; what is still in it is killed. Raises OSError."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        _kill(path)
        os.rmdir(path)


def _kill(path: str) -> None:
    """Kill what is in a group and wait until it is gone, at most PATIENCE. Raises OSError."""
    events = os.open(f"{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        _write(path, "cgroup.kill", "1")  # Linux 5.14
        while b"populated 1" in os.pread(events, 4096, 0) and poll.poll(PATIENCE * 1000):
            pass
    finally:
        os.close(events)


def _write(directory: str, name: str, value: str) -> None:
    fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
