"""The settings of a node on this machine: all that the command line has of the service."""

from task_runner.cli.failure import Failure
from task_runner.service.settings import Settings, load


def settings_here() -> Settings:
    """Return the settings that a node would have that is started here. Raises Failure."""
    try:
        return load()
    except (ValueError, OSError) as problem:
        message = f"the settings cannot be used: {problem}"
        raise Failure(
            message, "unset the variable, or mend the file that TASK_RUNNER_CONF names"
        ) from problem
