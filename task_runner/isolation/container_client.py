"""The one place that runs podman or docker, and asks for or tells something of one container."""

import subprocess
from typing import NamedTuple

from task_runner.isolation.container_tools import Podman, Sight, is_missing, sight
from task_runner.lib.errors import TaskRunnerError
from task_runner.lib.process import short_environment

PATIENCE = 60.0
"""Seconds until an answer: a busy host is slow, and the tool waits for its own locks."""
COMPLAINT_LIMIT = 2000


class ToolError(TaskRunnerError):
    """Podman or docker did not do what it was asked to."""


class Answer(NamedTuple):
    """What a run of the tool has come to."""

    code: int
    output: str
    complaint: str


def ask(argv: tuple[str, ...], patience: float = PATIENCE) -> Answer:
    """Execute the tool and return its answer. Raises ToolError when there is none."""
    try:
        done = subprocess.run(
            argv,
            env=short_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
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

    def remove(self) -> None:
        """Remove the container, running or not; it need not exist. Raises ToolError."""
        if self.look() is not None:
            self._tell(self.tool.remove(self.name))

    def _tell(self, argv: tuple[str, ...]) -> None:
        answer = ask(argv)
        if answer.code != 0 and not is_missing(answer.complaint):
            raise ToolError(f"{self.tool.kind}: {answer.complaint or answer.code}")
