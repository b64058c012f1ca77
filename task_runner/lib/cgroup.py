"""Control groups of Linux, version 2: see the kernel's admin-guide/cgroup-v2.

A task gets a group of its own beside that of the node, or below it: where the node may make groups,
and where the kernel lets it hand out controllers. That is so in a unit of systemd with `Delegate=`
and `DelegateSubgroup=`, and nowhere by accident.
"""

import os
from collections.abc import Mapping
from contextlib import suppress

from task_runner.lib.process import read_file

ROOT = "/sys/fs/cgroup"
PREFIX = "task-"
CONTROLLERS = {"memory": "memory", "cpu": "cpu", "pids": "pids"}
"""What each limit needs."""
CPU_PERIOD = 100_000
"""Microseconds over which the share of processor time is counted."""


def own() -> str | None:
    """Return the directory of the group of this process; None without such groups."""
    lines = read_file("/proc/self/cgroup").decode().splitlines()
    names = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    mounts = [line.split() for line in read_file("/proc/self/mounts").decode().splitlines()]
    places = [place for _, place, kind, *_ in mounts if kind == "cgroup2"]
    return os.path.normpath(places[0] + names[0]) if names and places else None


def base_of(own: str | None) -> tuple[str, frozenset[str]] | None:
    """Return where groups for tasks can be made, and the limits they can hold; None: nowhere.

    `own` is the group of the node. Its processes are in the way of handing out controllers below
    it (except at the root), so the group above is taken where it is the node's alone.
    """
    for base in (own, os.path.dirname(own)) if own else ():
        if not _is_ours(base, own) or not os.access(f"{base}/cgroup.procs", os.W_OK):
            continue
        handed_out = _hand_out(base)
        limits = frozenset(limit for limit, need in CONTROLLERS.items() if need in handed_out)
        if limits and os.access(base, os.W_OK):
            return base, limits
    return None


def _is_ours(base: str, own: str | None) -> bool:
    if base == own:
        return True
    try:
        with os.scandir(base) as entries:
            groups = [entry.path for entry in entries if entry.is_dir()]
    except OSError:
        return False
    return all(path == own or os.path.basename(path).startswith(PREFIX) for path in groups)


def _hand_out(base: str) -> set[str]:
    """Hand out the controllers that are needed to groups below; return those that are."""
    try:
        there = set(read_file(f"{base}/cgroup.controllers").decode().split())
        handed_out = set(read_file(f"{base}/cgroup.subtree_control").decode().split())
        for controller in (there & set(CONTROLLERS.values())) - handed_out:
            with suppress(OSError):  # EBUSY: there are processes in it
                _write(base, "cgroup.subtree_control", f"+{controller}")
        return set(read_file(f"{base}/cgroup.subtree_control").decode().split())
    except OSError:
        return set()


def make(base: str, name: str, limits: Mapping[str, float]) -> str:
    """Make a group that holds what is in it to the limits; return its directory. Raises OSError."""
    path = f"{base}/{PREFIX}{name}"
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
    return path


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
    """Remove a group that has no processes any more. Raises OSError."""
    with suppress(FileNotFoundError):
        os.rmdir(path)


def _write(directory: str, name: str, value: str) -> None:
    fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
