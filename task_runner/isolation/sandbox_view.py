"""What can be seen from inside of a sandbox: the arguments of bwrap(1) that make it so."""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NAMESPACES = (
    "--unshare-user",
    "--disable-userns",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
PRIVATE = ("/tmp", "/run")  # noqa: S108  - not used, but replaced
"""Empty inside, and the task's own. In /run are the sockets of everybody's services."""
KERNEL = ("acpi", "asound", "bus", "driver", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger")
"""What in /proc changes the whole computer: root may write to it without privileges."""
RESOLVER = "/etc/resolv.conf"


class View(NamedTuple):
    """All paths are absolute; each stands for everything below it."""

    files: str
    """The current directory, at the same path, writable."""
    hidden: tuple[str, ...]
    """Directories that are empty inside."""
    shown: tuple[str, ...]
    """What is visible, but not writable, although something around it is hidden or private."""
    read_only: tuple[str, ...]
    writable: tuple[str, ...]
    network: bool


def arguments_of(view: View) -> Iterator[str]:
    """Yield the arguments; later ones lie on top of earlier ones."""
    private = tuple(map(os.path.realpath, PRIVATE))
    hidden = _outermost(view.hidden)
    covered = (*private, *hidden)
    yield from NAMESPACES
    if not view.network:
        yield "--unshare-net"
    yield from ("--cap-drop", "ALL", "--as-pid-1")
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    for name in KERNEL:
        yield from ("--ro-bind-try", f"/proc/{name}", f"/proc/{name}")
    for path in private:
        yield from ("--tmpfs", path)
    if view.network:
        yield from _binds("--ro-bind-try", (RESOLVER,), covered, only_covered=True)
    yield from _binds("--bind", view.writable, covered)
    yield from _binds("--ro-bind", view.read_only, covered)
    for path in hidden:
        yield from ("--tmpfs", path)
    shown = [path for path in view.shown if not _holds_any(path, hidden)]
    yield from _binds("--ro-bind-try", shown, covered, only_covered=True)
    if view.files != "/":
        yield from _binds("--bind", (view.files,), covered)
    for path in hidden:
        yield from ("--remount-ro", path)
    yield from ("--chdir", view.files)


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the directories, by their real paths, without those that lie in another one."""
    real = {path for path in map(os.path.realpath, paths) if os.path.isdir(path)}
    return tuple(path for path in sorted(real) if not _is_in_any(path, real - {path}))


def _binds(
    option: str, paths: Iterable[str], covered: tuple[str, ...], *, only_covered: bool = False
) -> Iterator[str]:
    """Mount each where its links lead, and by its own name where that is covered."""
    for path in dict.fromkeys(paths):
        real = os.path.realpath(path)
        if not only_covered or _is_in_any(real, covered):
            yield from (option, real, real)
        if path != real and _is_in_any(path, covered):
            yield from (option, real, path)


def _is_in_any(path: str, places: Iterable[str]) -> bool:
    return any(os.path.commonpath((place, path)) == place for place in places)


def _holds_any(path: str, places: Iterable[str]) -> bool:
    return any(_is_in_any(place, (os.path.realpath(path),)) for place in places)
