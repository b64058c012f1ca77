"""The node itself: what it is made of, how much it can take, how full it is."""

import os
import platform
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from task_runner import __version__
from task_runner.lib.process import host, read_file
from task_runner.lib.state import State
from task_runner.service.settings import Settings

LIBRARIES = ("fastapi", "gunicorn", "pydantic", "starlette", "uvicorn", "uvloop")
UNDER_WAY = (State.RUNNING, State.STALLED, State.STOPPING)
MEMORY_AVAILABLE = re.compile(rb"^MemAvailable: +([0-9]+) kB$", re.MULTILINE)


def system_view(settings: Settings, counts: Mapping[str, int], uptime: float) -> dict[str, Any]:
    """Return what a node is and how it does, with the names of the API.

    `counts` are the tasks by state, `uptime` the seconds that this worker has been there. Sizes are
    bytes. Raises OSError when the work directory is gone.
    """
    path = os.path.abspath(settings.work_dir)
    disk = shutil.disk_usage(path)
    return {
        "versions": _versions(),
        "host": host(),
        "architecture": platform.machine(),
        "uptime": uptime,
        "tasks": {state: counts.get(state, 0) for state in State},
        "capacity": {
            "maxRunning": settings.max_running,
            "running": sum(counts.get(state, 0) for state in UNDER_WAY),
            "waiting": counts.get(State.CREATED, 0),
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg(),
            "memoryTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "memoryAvailable": _memory_available(),
        },
        "disk": {
            "path": os.path.abspath(settings.work_dir),
            "total": disk.total,
            "free": disk.free,
        },
        "limits": {"maxBodyBytes": settings.max_body_bytes, "maxRunning": settings.max_running},
    }


def _versions() -> dict[str, Any]:
    return {
        "taskRunner": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _memory_available() -> int | None:
    """See MemAvailable in proc_meminfo(5)."""
    found = MEMORY_AVAILABLE.search(read_file("/proc/meminfo"))
    return int(found[1]) * 1024 if found else None
