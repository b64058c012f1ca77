"""What an environment is: the contract between the service and the places where tasks run.

An environment brings a `lib.runner.TaskRunner` onto the directory of a task, somewhere. It never
runs the task itself. That makes launching safe to repeat: under the lock of the task, TaskRunner
decides what is to be done.

How the service hears of the state and the end of a task depends on where it runs. What runs on
this machine (`multiprocess` alone) has a pidfd in the event loop: an end is seen at once. For what
runs elsewhere (`RemoteEnvironment`) the service looks at the status files, which the shared file
system brings, and now and then asks the environment about all tasks at once, with `look`.
"""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from task_runner.environments.work_dir import WorkDir
from task_runner.lib import registry
from task_runner.lib.clock import timestamp
from task_runner.lib.errors import TaskActiveError, ValidationError
from task_runner.lib.handle import claim
from task_runner.lib.observe import Observation, observe
from task_runner.lib.outcome import STOP_EXIT_CODES, Outcome
from task_runner.lib.process import host
from task_runner.lib.state import State
from task_runner.lib.task import Task, task_from_record
from task_runner.lib.task_dir import TaskDir, create_exclusive, read_json

log = logging.getLogger(__name__)

PACKAGE_PARENT = os.path.abspath(f"{__file__}/../../..")
"""What PYTHONPATH needs to find this package."""


class Usability(NamedTuple):
    """Whether an environment can be used on this node."""

    usable: bool
    why: str | None = None
    """Why it cannot; None when it can."""
    install: str | None = None
    """What to install or to do, for a person to read."""
    found: Mapping[str, Any] = {}
    """What was found: versions and the like."""


class Capabilities(NamedTuple):
    """What an environment can do, the same on every node."""

    elsewhere: bool
    """Tasks may run on another machine than the service."""
    limits: Collection[str] | None = ()
    """The members of `limits` that can be held there whatever the machine; None: those that
    TaskRunner can hold a process to on this one."""
    options: Mapping[str, str] = {}
    """What may stand in `environmentOptions`, and what it means."""


class Environment(Protocol):
    """What every environment can do. Methods may block; any thread may call them."""

    capabilities: Capabilities

    @staticmethod
    def validate(task: Task) -> None:
        """Check `task.environment_options` without touching anything outside.

        Raises ValidationError, with the field.
        """

    def admit(self, task: Task) -> None:
        """Check a valid task against what this node allows. Quick. Raises ValidationError."""

    def usability(self) -> Usability:
        """Find out whether it can be used here; may run programs, for some seconds at most."""

    def judge(
        self, directory: TaskDir, state: State, outcome: Outcome, error: str | None
    ) -> Observation:
        """Pass a verdict on a task that has no result and cannot get one; return how it is now."""

    def remove(self, directory: TaskDir) -> None:
        """Remove a task that is over, or was never started.

        Raises TaskActiveError, UnreachableError when something of it cannot be removed now.
        """

    def close(self) -> None:
        """Let go; every task goes on."""


class Place(StrEnum):
    """How far a task is on its way through a system that runs it elsewhere."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELED = "canceled"
    """It is over there, as somebody canceled it; the task itself may have left a result or not."""
    ENDED = "ended"
    """It is over there, for another reason or for none."""
    MISSING = "missing"
    """That system answers, and does not know it any more."""
    UNKNOWN = "unknown"
    """Nothing can be said now. It is never taken for an end."""


class Sighting(NamedTuple):
    """What an environment knows of a task at one moment."""

    place: Place
    says: str | None = None
    """In a sentence for people: why it waits, or what became of it."""
    details: Mapping[str, Any] = {}
    """For the view of the task, in the words of that system: job, state, reason, node."""


class RemoteEnvironment(ABC):
    """An environment that runs tasks elsewhere, over a shared file system.

    What it starts there is `python -S -m task_runner.lib.own DIR JOB`; see there.
    """

    capabilities = Capabilities(elsewhere=True)
    pause: tuple[float, float] = (1.0, 30.0)
    """Seconds between two calls of `look`: when something has just changed, and when nothing has
    for long."""
    settle: float = 60.0
    """Seconds that a result may take to be seen here after the end; NFS remembers for up to 60
    that a file is not there (acdirmax in nfs(5))."""

    def __init__(self, work_dir: WorkDir, config: Mapping[str, Any]) -> None:
        """Use a work directory; `config` is what the setting `environments` has under its name.

        Raises ValueError when the configuration is wrong.
        """
        self.work_dir = work_dir
        self.config = config

    @staticmethod
    def validate(task: Task) -> None:
        """See Environment. Without rules of its own, an environment has no options."""
        refuse_options(task)

    def admit(self, task: Task) -> None:
        """See Environment."""
        del task

    @abstractmethod
    def usability(self) -> Usability:
        """See Environment."""

    @abstractmethod
    def launch(self, directory: TaskDir) -> bool:
        """Hand a task over, once: `lib.handle.claim` says whether it was, and to which job.

        False: it was stopped before, and nothing is going to happen there. Safe to repeat, also
        after the service was killed in the middle. Raises StartError when the task is refused for
        good, UnreachableError when it is to be tried again.
        """

    @abstractmethod
    def look(self, directories: Sequence[TaskDir]) -> Mapping[str, Sighting]:
        """Say how these tasks are, by identifier; one question for all of them.

        Who is left out counts as UNKNOWN. Raises UnreachableError: then all of them do.
        """

    @abstractmethod
    def cancel(self, directory: TaskDir, job: str) -> None:
        """Have SIGTERM sent to the TaskRunner of a job, or the job taken out of the queue.

        The stop is noted already. Raises UnreachableError when it is to be tried again.
        """

    def note_stop(self, directory: TaskDir) -> None:
        """Note that a stop is wanted, for all who look after the task; `cancel` sees to it. Quick.

        A task that is over stays as it is; one that was not handed over never will be.
        """
        if not observe(directory).state.is_over:
            note = {"at": timestamp(), "host": host()}
            create_exclusive(directory.stop, note, self.work_dir.aside(directory))
            claim(directory, None, self.work_dir.aside(directory))

    def judge(
        self, directory: TaskDir, state: State, outcome: Outcome, error: str | None
    ) -> Observation:
        """See Environment. That it has ended there was made sure of by `look`."""
        if observe(directory).state is not State.EXITED:
            judged = verdict(state, outcome, error)
            create_exclusive(directory.verdict, judged, self.work_dir.aside(directory))
        return observe(directory)

    def remove(self, directory: TaskDir) -> None:
        """See Environment. Who holds the lock is not signalled: it may be on another machine."""
        seen = observe(directory).state
        if not seen.is_over and (seen is not State.CREATED or os.path.exists(directory.handle)):
            raise TaskActiveError(f"{directory.task_id} is {seen}; stop it first")
        remove_isolation(directory)
        self.work_dir.remove(directory)

    def close(self) -> None:  # noqa: B027  - most have nothing to let go of
        """See Environment."""


def refuse_options(task: Task) -> None:
    """Refuse options, for an environment that has none. Raises ValidationError."""
    for name in task.environment_options:
        raise ValidationError(
            f"the environment {task.environment!r} has no such option", f"environmentOptions.{name}"
        )


def remove_isolation(directory: TaskDir) -> None:
    """Remove what a task's isolation has left outside of its directory. Raises UnreachableError."""
    try:
        task = task_from_record(read_json(directory.task) or {})
        if task.isolation != "none":
            registry.isolation_of(task.isolation).remove(task, directory)
    except (ValueError, LookupError) as problem:  # damaged, or its plug-in is not there any more
        log.warning("the isolation of %s cannot be asked to tidy up: %s", directory.path, problem)


def verdict(state: State, outcome: Outcome, error: str | None) -> dict[str, object]:
    """Return the content of a `verdict.json`. A code is given where nothing has run."""
    return {
        "state": state,
        "outcome": outcome,
        "exit_code": STOP_EXIT_CODES.get(outcome),
        "error": error,
        "finished_at": timestamp() if state is State.EXITED else None,
        "judged_at": timestamp(),
    }
