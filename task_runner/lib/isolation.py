"""What an isolation is: the contract between TaskRunner and what it puts around a machine.

An isolation turns the program of a task into another one that runs it inside: `wrap`. That other
program is the leader of the machine: TaskRunner forks it, guards it and sees its end. Whoever needs
no more (another priority, another root) is done with `wrap`; the other methods are for isolations
whose leader is only an agent of the program, as a client of containers is. Each has a default that
fits a leader which *is* the program, or becomes it.

One object is made for each question, in whatever process asks it: keep no state in it.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from task_runner.lib.guarded import Adopted, Child, Guarded
from task_runner.lib.machine import Command
from task_runner.lib.machine_process import MachineProcess
from task_runner.lib.policy import Policy
from task_runner.lib.process import Identity
from task_runner.lib.task import Task, no_such_field
from task_runner.lib.task_dir import TaskDir, read_json


class Obstacle(NamedTuple):
    """Why an isolation cannot be used on this host, and what helps: each a sentence."""

    reason: str
    remedy: str


class Work(NamedTuple):
    """What is to happen inside."""

    task: Task
    directory: TaskDir
    command: Command
    """What to execute in `directory.files`; `env` is all of its environment. It belongs to the
    task, secrets included: it must reach the program, not the leader, and is never in an argv.
    Its descriptors are 0 to 2 and `STATUS_FD`, by these numbers."""
    is_python: bool
    """The command runs a Python machine (see lib/inside.py): it needs this very Python, and the
    descriptor `REPORT_FD` in addition."""


class Isolation(ABC):
    """An isolation; `task.isolation` names it, `task.isolation_options` is its own."""

    own_limits: frozenset[str] | None = None
    """The names in `limits` that it enforces by its own means. None: what TaskRunner does to the
    leader (control group, rlimits) holds for all that is inside."""

    def validate(self, task: Task, policy: Policy) -> None:
        """Check `isolationOptions` before the task is accepted; none are known by default.

        Called in the service, where it touches nothing. Raises ValidationError with the field,
        such as `isolationOptions.network`.
        """
        del policy
        for name in task.isolation_options:
            raise no_such_field(name, "isolationOptions.")

    def obstacle(self, policy: Policy) -> Obstacle | None:
        """Say what is in the way of using it on this host; None when it can be used.

        Asked before each acceptance, so a good answer is to be remembered. It may take a second.
        """
        del policy
        return None

    @abstractmethod
    def wrap(self, work: Work) -> Command:
        """Return what to execute in place of `work.command`, in the same place.

        Called once, in the process that then becomes it. Raises OSError when it cannot be done:
        the outcome of the task is `error`.
        """

    def guard(self, machine: MachineProcess, task: Task, directory: TaskDir) -> Guarded:
        """Return how TaskRunner guards a leader that it has forked and not yet released.

        What `collect` returns in the end is the program's own: its wait status as wait(2) gives
        it, or last words (see lib/outcome.py) such as `{"not_started": text}` where it never ran.
        """
        del task, directory
        return Child(machine)

    def adopt(self, leader: Identity, task: Task, directory: TaskDir) -> Guarded:
        """Return how another TaskRunner goes on with a leader whose own was killed.

        The leader may be over as well, and the program not.
        """
        del task
        return Adopted(leader, directory.path)

    def remove(self, task: Task, directory: TaskDir) -> None:  # noqa: B027  - nothing, by default
        """Remove what is left of a task outside of its directory, which is removed next.

        Called when the task is deleted; safe to repeat. Raises UnreachableError when
        something would be forgotten: then the task stays.
        """


def policy_of(directory: TaskDir) -> Policy:
    """Return what was allowed when the task was accepted."""
    record = read_json(directory.task) or {}
    return Policy(**{name: tuple(paths) for name, paths in record["policy"].items()})
