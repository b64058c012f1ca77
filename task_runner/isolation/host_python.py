"""The Python of the host, to be executed where it is not installed: in a container.

The program and its libraries are mounted there and started through their own dynamic loader, see
ld.so(8): the image may have another C library, or none.
"""

import functools
import os
import sys

from task_runner.lib.inside import PACKAGE_PARENT
from task_runner.lib.process import read_file

PLACE = "/run/task-runner"
"""Where everything is inside."""


@functools.cache
def mounts() -> tuple[tuple[str, str], ...]:
    """Return what to mount, read-only: the path here, and the path inside."""
    modules = os.path.dirname(os.__file__)
    version = os.path.basename(modules)
    return (
        (os.path.realpath(f"/proc/{os.getpid()}/exe"), f"{PLACE}/python"),
        (modules, f"{PLACE}/{sys.platlibdir}/{version}"),
        (f"{PACKAGE_PARENT}/task_runner", f"{PLACE}/package/task_runner"),
        *((path, f"{PLACE}/loader") for path in _loaded() if _is_loader(path)),
        *((path, f"{PLACE}/libraries{n}") for n, path in enumerate(_library_directories())),
    )


def argv(boot: str, *arguments: str) -> tuple[str, ...]:
    """Return what executes some Python code inside; PYTHONHOME has to be PLACE."""
    libraries = ":".join(f"{PLACE}/libraries{n}" for n, _ in enumerate(_library_directories()))
    loader = (f"{PLACE}/loader", "--library-path", libraries)
    return (*loader, f"{PLACE}/python", "-S", "-s", "-B", "-c", boot, *arguments)


def _library_directories() -> list[str]:
    """Return where the libraries of this process are; modules of Python are mounted apart."""
    modules = os.path.dirname(os.__file__)
    paths = [path for path in _loaded() if not _is_loader(path) and not path.startswith(modules)]
    return sorted({os.path.dirname(path) for path in paths})


def _is_loader(path: str) -> bool:
    return os.path.basename(path).startswith("ld-")


@functools.cache
def _loaded() -> tuple[str, ...]:
    """Return the shared libraries that this process has loaded."""
    lines = read_file("/proc/self/maps").decode(errors="surrogateescape").splitlines()
    paths = {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    return tuple(sorted(path for path in paths if path.startswith("/") and ".so" in path))
