"""The exit code of a command that stands for a task: the task's own, wherever it has one."""

from task_runner.cli.failure import OURS
from task_runner.cli.output import printable
from task_runner.client import Task
from task_runner.lib.command_line import EXIT_CODES
from task_runner.lib.outcome import Outcome

TIMED_OUT = 124
"""As of timeout(1): a task that had its time, or a wait."""
HOW = {
    Outcome.CANCELED: "was stopped",
    Outcome.TIMEOUT: "has had its time and was stopped",
    Outcome.ERROR: "could not be started",
    Outcome.UNKNOWN: "is over, and nobody saw how",
}


def exit_code_of(task: Task) -> int:
    """Return what a shell is to see of a task that is over."""
    code = task.exit_code if task.outcome is None else EXIT_CODES.get(task.outcome, task.exit_code)
    return code if code is not None and 0 <= code <= 255 else OURS


def told_end(task: Task) -> str:
    """Return a sentence about how a task ended."""
    why = f": {printable(task.error)}" if task.error else ""
    if task.outcome in HOW:
        return f"{task.task_id} {HOW[task.outcome]}{why}"
    if task.outcome is Outcome.CRASHED:
        return f"{task.task_id} was killed by {task.data.get('signal')}{why}"
    return f"{task.task_id} {task.outcome or task.state} with exit code {task.exit_code}{why}"
