"""What a task may use at most, and how TaskRunner holds it to that.

| limit     | with a control group     | without                                           |
| --------- | ------------------------ | ------------------------------------------------- |
| memory    | all processes together   | each process its own: RLIMIT_DATA, see setrlimit(2) |
| cpu       | all processes together   | cannot be held                                    |
| pids      | processes and threads    | cannot be held                                    |
| openFiles | each process its own: RLIMIT_NOFILE                                          |||

Isolations and environments may have means of their own.
"""

import functools
import os
import resource
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from task_runner.lib import cgroup
from task_runner.lib.errors import ValidationError
from task_runner.lib.task_dir import TaskDir

OTHER_NAMES = {"output": "maxOutput", "runTime": "timeout"}
"""Limits that are fields of a task by another name."""
RANGES: Mapping[str, tuple[float, float]] = {
    "memory": (32 << 20, 1 << 53),
    "cpu": (0.01, 4096),
    "pids": (1, 1 << 22),
    "openFiles": (32, 1 << 20),
}
"""Bytes, cores, processes and threads, descriptors of a process."""
HELD = frozenset({"memory", "openFiles"})
"""What can be held anywhere."""
NO_GROUP = (
    "it takes a control group (cgroup v2) in which the node may make others; see doc/isolation.md"
)


def normalized(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a task with its limits under one name each. Raises ValidationError."""
    limits = fields.get("limits", {})
    if not isinstance(limits, dict) or not limits.keys() & OTHER_NAMES.keys():
        return fields
    moved = {}
    for name in limits.keys() & OTHER_NAMES.keys():
        if fields.get(OTHER_NAMES[name]) is not None:
            raise ValidationError(f"it is given as {OTHER_NAMES[name]} too", f"limits.{name}")
        moved[OTHER_NAMES[name]] = limits[name]
    rest = {name: value for name, value in limits.items() if name not in OTHER_NAMES}
    return {**fields, **moved, "limits": rest}


def check(limits: object) -> None:
    """Check names and values. Raises ValidationError."""
    if not isinstance(limits, dict):
        raise ValidationError("it must be an object", "limits")
    for name, value in limits.items():
        if name not in RANGES:
            raise ValidationError("there is no such limit", f"limits.{name!s:.200}")
        low, high = RANGES[name]
        kinds = (int, float) if name == "cpu" else (int,)
        if type(value) not in kinds or not low <= value <= high:
            what = "a number" if name == "cpu" else "an integer"
            raise ValidationError(f"it must be {what} from {low} to {high}", f"limits.{name}")


def check_held(limits: Mapping[str, float], own_limits: Collection[str] | None, who: str) -> None:
    """Check that each limit can be held here; ValidationError with the reason when not.

    `own_limits` are those that `who`, which stands around the task, has means for; None: it has
    none, and what TaskRunner does to the task holds inside too.
    """
    for name in limits:
        if own_limits is not None:
            if name not in own_limits:
                raise ValidationError(f"{who!r} cannot hold a task to it", f"limits.{name}")
        elif name not in HELD | held_by_groups():
            raise ValidationError(f"it cannot be held here: {NO_GROUP}", f"limits.{name}")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if own_limits is None and limits.get("openFiles", 0) > most != resource.RLIM_INFINITY:
        raise ValidationError(f"the node itself may open {most} at most", "limits.openFiles")


def held_by_groups() -> frozenset[str]:
    """Return the limits that control groups can hold here."""
    base = _base()
    return base[1] if base else frozenset()


@functools.cache
def _base() -> tuple[str, frozenset[str]] | None:
    return cgroup.base_of(cgroup.own())


def hold(pid: int, limits: Mapping[str, float], directory: TaskDir) -> str | None:
    """Hold a process, and all it will start, to the limits. Raises OSError.

    Returns the control group that was made for the task, when one is needed; remove that in the
    end.
    """
    grouped = {limit: value for limit, value in limits.items() if limit in held_by_groups()}
    for limit, number in (("memory", resource.RLIMIT_DATA), ("openFiles", resource.RLIMIT_NOFILE)):
        if limit in limits and limit not in grouped:
            resource.prlimit(pid, number, (int(limits[limit]), int(limits[limit])))
    if missing := limits.keys() - grouped.keys() - HELD:
        raise OSError(f"the limits {', '.join(sorted(missing))} cannot be held: {NO_GROUP}")
    group = _group_of(directory)
    if not grouped or group is None:
        return None
    try:
        cgroup.make(group, grouped)
        cgroup.enter(group, pid)
    except OSError:
        with suppress(OSError):
            cgroup.remove(group)
        raise
    return group


def _group_of(directory: TaskDir) -> str | None:
    """Return the group that is, or would be, a task's: no two directories have the same one."""
    if (base := _base()) is None:
        return None
    stat = os.stat(directory.path)
    return cgroup.path_of(base[0], f"{directory.task_id}-{stat.st_dev:x}-{stat.st_ino:x}")


def forget(directory: TaskDir, note: Callable[[str], None]) -> None:
    """Remove the group of a task that has not begun: a start that was cut off may have made it."""
    if group := _group_of(directory):
        _remove(group, note)


def end(group: str, note: Callable[[str], None]) -> int:
    """Remove the group of a task that is over; return how many the kernel killed for memory."""
    killed = cgroup.oom_kills(group)
    _remove(group, note)
    return killed


def _remove(group: str, note: Callable[[str], None]) -> None:
    try:
        cgroup.remove(group)
    except OSError as problem:
        note(f"the control group {group} cannot be removed: {os.strerror(problem.errno or 0)}")


def out_of_memory(killed: int, limits: Mapping[str, float]) -> str:
    """Return the words for what the kernel did; the host, or a group above, can be short too."""
    limit = limits.get("memory")
    at = f" at the limit of {limit} bytes" if limit else "; the task has no limit of its own"
    return f"out of memory: the kernel killed {killed}{at}"
