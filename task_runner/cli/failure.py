"""How a command says that it has failed: what happened, and which command is the next."""

import sys
from typing import IO, Any

import click

OURS = 125
"""The exit code for a failure that is not the task's, as of podman and docker."""


INTERRUPTED = 130
"""As a shell says of a command that Ctrl-C ended."""


class Failure(click.ClickException):
    """Ends the command; `next_command` is what helps, or what shows more."""

    exit_code = OURS

    def __init__(self, message: str, next_command: str) -> None:
        super().__init__(message)
        self.next_command = next_command

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        say(self.message, file)
        print(f"  next: {self.next_command}", file=file or sys.stderr)


def say(message: str, file: IO[Any] | None = None) -> None:
    """Tell something that is not the data asked for: on standard error."""
    print(f"task-runner: {message}", file=file or sys.stderr, flush=True)
