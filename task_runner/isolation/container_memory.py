"""Whom the kernel has killed in a container for its memory, asked from inside.

From outside it may be too late: the control group goes with the container, which may be over before
anybody has looked at it. It is asked by the init, so nothing but `os` is imported.
"""

from __future__ import annotations

import os

COUNTERS = {"/sys/fs/cgroup/memory": "memory.oom_control", "/sys/fs/cgroup": "memory.events"}
"""Where a container finds its control group, of version 1 or 2, and the file of it that counts."""


def kills(root: str = "") -> int:
    """Return how many processes of this container were killed; 0 also where it cannot be seen.

    The kernel counts before it kills: of a process that has been waited for, it is known.
    """
    for group, counter in COUNTERS.items():
        try:
            # Another group, such as that of the host, would tell of the processes of others.
            if b"%d" % os.getpid() in _read(f"{root}{group}/cgroup.procs").split():
                return _killed(_read(f"{root}{group}/{counter}"))
        except OSError:
            continue
    return 0


def _killed(counts: bytes) -> int:
    for line in counts.splitlines():
        name, _, number = line.partition(b" ")
        if name == b"oom_kill":
            return int(number)
    return 0


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
