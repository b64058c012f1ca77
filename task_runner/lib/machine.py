"""What a machine is: the contract between TaskRunner and the work it runs."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from task_runner.lib.task import Task


class TaskCanceled(BaseException):
    """Raised once in the main thread of a Python machine that is to end now.

    It derives from BaseException so that `except Exception` in a machine does not swallow it.
    A machine may catch it to tidy up, and need not raise it again.
    """


class Command(NamedTuple):
    """A program to execute in place of a Python process.

    `argv` is handed to the kernel as it is; `env` is added to the task's environment; `stdin` is
    what the program reads on its standard input (nothing: an empty input).
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    stdin: bytes = b""
    files: tuple[str, ...] = ()
    """What the program needs of the files that were written to the task's own directory."""
    blocked: tuple[int, ...] = ()
    """Signals that are blocked when it is executed."""


@runtime_checkable
class Machine(Protocol):
    """What every machine can do; in addition it is a `PythonMachine` or a `CommandMachine`.

    The first line of its docstring is shown to users as its description. Optional are `schema()`,
    see `DescribedMachine`, and `resources(task)`, which names what the task wants to use.
    """

    def validate(self, task: Task) -> None:
        """Check the task before it is accepted, without touching anything outside.

        Raises ValidationError, with the field and, in a text, the line and column.
        """


@runtime_checkable
class DescribedMachine(Machine, Protocol):
    """A machine that tells people and forms what its parameters look like."""

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema (2020-12) of `parameters`: it accepts all that `validate` does.

        It need not know every rule: `validate` has the last word. Called by the service only, so
        that a task does not pay for it.
        """


@runtime_checkable
class PythonMachine(Machine, Protocol):
    """Work done by Python code, in a forked process of its own.

    An optional method `cleanup(task)` is called at the end whatever happened (success, failure,
    cancel, time-out), within the grace period when the task was stopped.
    """

    def run(self, task: Task) -> int | None:
        """Do the work in the current directory and return the exit code; None means 0.

        What is printed is the output; records of `logging` become lines of it. When the task is
        stopped, TaskCanceled is raised in the main thread. Any other exception ends the task with
        the outcome `exception`.
        """


@runtime_checkable
class CommandMachine(Machine, Protocol):
    """Work done by a program that is executed without a Python process in between."""

    def command(self, task: Task, directory: str) -> Command:
        """Say what to execute; called once, in the process that then becomes the program.

        `directory` is the task's own directory, for files the program needs: TaskRunner's, not
        the `files/` in which the program runs.
        """
