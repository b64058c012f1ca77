"""The one place that runs podman or docker, and asks for or tells something of one container."""

import os
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from task_runner.isolation.container_tools import (
    Podman,
    Sight,
    is_missing,
    is_monitor,
    runtime_delete,
    sight,
)
from task_runner.lib import process
from task_runner.lib.errors import UnreachableError
from task_runner.lib.process import Identity

PATIENCE = 60.0
"""Seconds until an answer: a busy host is slow, and the tool waits for its own locks."""
COMPLAINT_LIMIT = 2000


class ToolError(UnreachableError):
    """Podman or docker did not do what it was asked to."""


class Answer(NamedTuple):
    """What a run of the tool has come to."""

    code: int
    output: str
    complaint: str


def ask(argv: tuple[str, ...], env: Mapping[str, str] | None = None) -> Answer:
    """Execute the tool and return its answer. Raises ToolError when there is none."""
    try:
        done = subprocess.run(
            argv,
            env=env or process.short_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            process_group=0,  # a Ctrl-C at a terminal is not meant for it
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ToolError(f"{argv[0]}: {problem}") from problem
    complaint = done.stderr.decode(errors="replace").strip()[-COMPLAINT_LIMIT:]
    return Answer(done.returncode, done.stdout.decode(errors="replace"), complaint)


class Client:
    """Asks the tool about one container, and tells it what to do with it."""

    def __init__(self, tool: Podman, name: str, label: str) -> None:
        """Do nothing yet. A container of this name without the label is somebody else's."""
        self.tool = tool
        self.name = name
        self.label = label

    def look(self) -> Sight | None:
        """Return how the container is now; None when there is none. Raises ToolError."""
        answer = ask(self.tool.inspect(self.name))
        if answer.code == 0:
            try:
                seen = sight(answer.output)
            except ValueError as problem:
                raise ToolError(f"{self.tool.kind}: {problem}") from problem
            return seen if seen.label == self.label else None
        if is_missing(answer.complaint):
            return None
        raise ToolError(f"{self.tool.kind} inspect: {answer.complaint}")

    def send(self, signal: str) -> None:
        """Send a signal. Raises ToolError, also when nothing runs any more."""
        self._tell(self.tool.kill(self.name, signal))

    def remove(self) -> Sight | None:
        """Remove the container, running or not; return how it was, None when there was none.

        Raises ToolError.
        """
        seen = self.look()
        if seen is not None:
            self._tell(self.tool.remove(self.name))
        return seen

    def monitors(self) -> list[Identity]:
        """Return the conmon of the container, found by its arguments."""
        return [
            Identity(process.host(), process.boot_id(), entry.pid, entry.start_ticks)
            for entry in process.all_processes()
            if is_monitor(process.arguments_of(entry.pid), self.name)
        ]

    def _tell(self, argv: tuple[str, ...]) -> None:
        answer = ask(argv)
        if answer.code != 0 and not is_missing(answer.complaint):
            raise ToolError(f"{self.tool.kind}: {answer.complaint or answer.code}")


class Below(NamedTuple):
    """How to remove a container from the runtime below podman, where podman would not.

    That is so when podman's client was killed before it could take notice of what it had made, and
    when conmon was: podman believes that the container is running.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]

    @classmethod
    def of(cls, monitor: Identity) -> "Below":
        """Find it out from the conmon of the container. Raises ToolError when that has gone."""
        variables = map(os.fsdecode, process.environment_of(monitor.pid))
        env = dict(one.split("=", 1) for one in variables if "=" in one)
        try:
            return cls(runtime_delete(process.arguments_of(monitor.pid)), env)
        except KeyError:
            raise ToolError("conmon has gone") from None

    def remove(self) -> None:
        """Remove it; it need not exist. Raises ToolError."""
        answer = ask(self.argv, self.env)
        if answer.code != 0:
            raise ToolError(f"{self.argv[0]}: {answer.complaint}")
