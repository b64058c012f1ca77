"""`task-runner wait`: until tasks are over."""

import click

from task_runner.cli.output import output_option
from task_runner.cli.values import DURATION

STATES = ("created", "running", "stalled", "stopping", "exited", "lost")


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--for",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Until it is in this state; may be repeated.",
)
@click.option("--timeout", type=DURATION, help="At most 90s, 15m, 1h30m ...; then exit with 124.")
@output_option()
def wait(
    *, ids: tuple[str, ...], states: tuple[str, ...], timeout: float | None, output: str
) -> int:
    """Wait until tasks are over, and show them; exit with the first exit code that is not 0.

    With --for, until they are in this state; it is a failure when one is over instead.
    """
    from task_runner.cli.columns import TASKS
    from task_runner.cli.output import show
    from task_runner.cli.wait_for import exit_code_for, wait_for

    tasks = wait_for(ids, states, timeout)
    show([task.data for task in tasks], TASKS, output, "taskId")
    return exit_code_for(tasks, states)
