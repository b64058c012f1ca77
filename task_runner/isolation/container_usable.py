"""Whether containers can be run on this host, by which tool, and if not, what helps."""

import functools
import shutil
import tempfile

from task_runner.isolation import host_python
from task_runner.isolation.container_client import ToolError, ask
from task_runner.isolation.container_tools import (
    Docker,
    Mount,
    Podman,
    Setup,
    setup_of,
    tool_of,
)
from task_runner.lib.isolation import Obstacle
from task_runner.lib.process import short_environment

TOOLS = ("podman", "docker")
SAID = "yes"


def tool(command: tuple[str, ...]) -> Podman:
    """Return the tool of a command line; the first that is installed when that is empty.

    Raises ToolError when there is none.
    """
    if command:
        return tool_of(command)
    for name in TOOLS:
        if shutil.which(name, path=short_environment()["PATH"]):
            return tool_of((name,))
    raise ToolError("there is neither podman nor docker")


def obstacle(command: tuple[str, ...]) -> Obstacle | None:
    """Say what is in the way, see `Isolation.obstacle`."""
    try:
        found = tool(command)
    except ToolError as problem:
        return Obstacle(str(problem), "Install the package podman")
    try:
        _setup(found.command)
        if not isinstance(found, Docker):  # which has no containers without an image
            _probe(found.command)
    except ToolError as problem:
        return Obstacle(
            f"{found.kind} cannot run a container: {problem}",
            "See task_runner/doc/isolation.md; `container_command` in the settings can name "
            "another runtime or configuration",
        )
    return None


def not_held(limit: str, command: tuple[str, ...]) -> str | None:
    """Say why a limit cannot be held here; None when it can, or when nothing is known."""
    try:
        found = tool(command)
        setup = _setup(found.command)
    except ToolError:  # `obstacle` tells
        return None
    if limit == "openFiles" or limit in setup.controllers:
        return None
    return (
        f"{found.kind} cannot hold it here: there is no {limit} controller of control groups for it"
    )


@functools.cache
def _setup(command: tuple[str, ...]) -> Setup:
    """Return how the tool is set up. Raises ToolError."""
    found = tool_of(command)
    answer = ask(found.info())
    if answer.code != 0:
        raise ToolError(answer.complaint)
    try:
        return setup_of(answer.output)
    except ValueError as problem:
        raise ToolError(str(problem)) from problem


@functools.cache
def _probe(command: tuple[str, ...]) -> None:
    """Run a container of an empty root. Raises ToolError."""
    found = tool_of(command)
    root = tempfile.mkdtemp(prefix="task_runner-")
    try:
        mounts = tuple(Mount(source, target) for source, target in host_python.mounts())
        answer = ask(found.probe(root, host_python.argv(f"print('{SAID}')"), mounts))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if answer.output.strip() != SAID:
        raise ToolError(answer.complaint or f"exit code {answer.code}")
