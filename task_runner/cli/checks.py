"""The checks of `task-runner doctor`. None of them changes anything."""

import getpass
import os
import platform
import resource
import shlex
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from task_runner import __version__
from task_runner.cli.failure import Failure
from task_runner.cli.local import settings_here
from task_runner.cli.node import connected, url
from task_runner.client import ClientError, NodeUnreachableError

FEWEST_FILES = 1024
LEAST_DISK = 100 << 20
MOST_NAMED = 5
TOOLS = {
    "bwrap": ("the isolation `sandbox`", "bubblewrap"),
    "podman": ("the isolation `container`", "podman"),
    "sbatch": ("the environment `slurm`", "slurm-client"),
}


class Finding(NamedTuple):
    """What was looked at, how it is (`ok`, `absent`, `wrong`), and the command that mends it."""

    check: str
    result: str
    found: str
    mend: str | None = None


def all_findings() -> Iterator[Finding]:
    """Look at everything."""
    yield _python()
    yield _pidfd()
    yield _open_files()
    try:
        path = os.path.abspath(settings_here().work_dir)
    except Failure as failure:
        yield Finding("settings", "wrong", failure.message, failure.next_command)
    else:
        yield Finding("settings", "ok", os.environ.get("TASK_RUNNER_CONF", "from the environment"))
        yield work_dir(path)
        yield _disk(path)
    yield node()
    for tool, (use, package) in TOOLS.items():
        yield _tool(tool, use, package)
    yield from on_the_node()


def _python() -> Finding:
    is_ok = sys.version_info >= (3, 11)
    found = f"Python {platform.python_version()}, task-runner {__version__}"
    return Finding(
        "versions",
        "ok" if is_ok else "wrong",
        found,
        None if is_ok else "sudo apt-get install python3.11",
    )


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as problem:
        return Finding("kernel", "wrong", f"no pidfds: {problem}", "use Linux 5.3 or later")
    return Finding("kernel", "ok", f"{platform.system()} {platform.release()}")


def _open_files() -> Finding:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_ok = most == resource.RLIM_INFINITY or most >= FEWEST_FILES
    mend = None if is_ok else f"ulimit -Hn {FEWEST_FILES}  (as root)"
    return Finding("open files", "ok" if is_ok else "wrong", f"at most {most}", mend)


def work_dir(path: str) -> Finding:
    """Look at a work directory: whether it is there, ours, usable, and closed to others."""
    quoted, me = shlex.quote(path), getpass.getuser()
    make = f"sudo install -d -m 0700 -o {me} {quoted}"
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if os.access(_nearest(path), os.W_OK):
            return Finding("work directory", "ok", f"{path} will be made")
        return Finding("work directory", "wrong", f"{path} is not there", make)
    except OSError as problem:
        return Finding("work directory", "wrong", f"{path}: {problem.strerror}", make)
    if not stat.S_ISDIR(found.st_mode):
        return Finding("work directory", "wrong", f"{path} is no directory", f"rm {quoted}; {make}")
    if found.st_uid != os.geteuid() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        mend = f"sudo chown -R {me} {quoted} && chmod u+rwx {quoted}"
        return Finding("work directory", "wrong", f"{path} is not ours to use", mend)
    if found.st_mode & 0o077:
        mode = stat.filemode(found.st_mode)
        return Finding(
            "work directory", "wrong", f"{path} is open to others ({mode})", f"chmod 0700 {quoted}"
        )
    return Finding("work directory", "ok", path)


def _nearest(path: str) -> str:
    """Return the nearest directory above a path that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _disk(path: str) -> Finding:
    free = shutil.disk_usage(_nearest(path)).free
    found = f"{free >> 20} MiB are free"
    if free < LEAST_DISK:
        return Finding("disk", "wrong", found, "task-runner prune --older-than 7d")
    return Finding("disk", "ok", found)


def node() -> Finding:
    """Look at the node: whether one answers, of which version it is, and what it cannot use."""
    address = url()
    try:
        with connected() as client:
            theirs = client.system()["versions"]["taskRunner"]
            aside = client.set_aside() if theirs == __version__ else []
    except Failure as failure:
        return _no_node(address, failure)
    if theirs != __version__:
        return Finding(
            "node",
            "wrong",
            f"{address} has version {theirs}, this is {__version__}",
            "restart the node: tasks go on",
        )
    if aside:
        found = "; ".join(f"{one['path']}: {one['reason']}" for one in aside[:MOST_NAMED])
        more = f"; {len(aside) - MOST_NAMED} more" if len(aside) > MOST_NAMED else ""
        mend = "mend, move or remove it: it is in the work directory of the node"
        return Finding("node", "wrong", f"what it cannot use: {found}{more}", mend)
    return Finding("node", "ok", f"{address}, version {theirs}")


def on_the_node() -> Iterator[Finding]:
    """Tell which isolations and environments the node can use; nothing when none answers."""
    try:
        with connected() as client:
            offers = {"isolation": client.isolations(), "environment": client.environments()}
    except Failure:  # `node` tells of it
        return
    for kind, some in offers.items():
        for one in some:
            name = f"{kind} {one['name']}"
            if one["usable"]:
                yield Finding(name, "ok", "usable on the node")
            else:
                yield Finding(name, "absent", one["why"] or "not usable", one["install"])


def _no_node(address: str, failure: Failure) -> Finding:
    cause: BaseException | None = failure.__cause__
    if isinstance(cause, ClientError) and not isinstance(cause, NodeUnreachableError):
        return Finding("node", "wrong", failure.message, failure.next_command)
    if _is_taken(address):
        port = (urlsplit(address).port or 8000) + 1
        mend = f"task-runner serve --port {port}; export TASK_RUNNER_URL=http://127.0.0.1:{port}"
        return Finding("node", "wrong", f"another program answers at {address}", mend)
    return Finding("node", "wrong", failure.message, "task-runner serve")


def _is_taken(address: str) -> bool:
    parts = urlsplit(address)
    if not parts.hostname:
        return False
    try:
        socket.create_connection((parts.hostname, parts.port or 80), timeout=2).close()
    except OSError:
        return False
    return True


def _tool(name: str, use: str, package: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, "absent", f"{use} needs it", f"sudo apt-get install {package}")
    return Finding(name, "ok", path)
