"""An example of an isolation: the task gets what processor time nobody else wants."""

import os
import shutil

from task_runner.lib.errors import ValidationError
from task_runner.lib.isolation import Isolation, Obstacle, Work
from task_runner.lib.machine import Command
from task_runner.lib.policy import Policy
from task_runner.lib.task import Task, no_such_field

PROGRAM = "ionice"


class Background(Isolation):
    """Run at a low priority for processor and disk; `nice` in the options is from 1 to 19."""

    def validate(self, task: Task, policy: Policy) -> None:  # noqa: ARG002
        """Check the options; called before the task is accepted. Raises ValidationError."""
        for name in task.isolation_options.keys() - {"nice"}:
            raise no_such_field(name, "isolationOptions.")
        nice = task.isolation_options.get("nice", 19)
        if type(nice) is not int or not 1 <= nice <= 19:
            raise ValidationError("it must be from 1 to 19", "isolationOptions.nice")

    def obstacle(self, policy: Policy) -> Obstacle | None:  # noqa: ARG002
        """Say why it cannot be used here: the task is refused with it."""
        if shutil.which(PROGRAM):
            return None
        return Obstacle(f"there is no program {PROGRAM}", "Install the package util-linux")

    def wrap(self, work: Work) -> Command:
        """Put another program before that of the task; called in the process that becomes it."""
        os.nice(work.task.isolation_options.get("nice", 19))
        return work.command._replace(argv=(PROGRAM, "-c", "3", *work.command.argv))
