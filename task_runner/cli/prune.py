"""`task-runner prune`: remove many tasks that are over."""

import sys

import click

from task_runner.cli.output import output_option
from task_runner.cli.values import DURATION

OVER = ("exited", "lost")


@click.command()
@click.option("--older-than", type=DURATION, default="0", help="Over for so long: 12h, 7d ...")
@click.option("--success-only", is_flag=True, help="Only those that have succeeded.")
@click.option("-l", "--label", "labels", multiple=True, help="Only with the label NAME[=VALUE].")
@click.option("--dry-run", is_flag=True, help="Only show which ones.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option("name")
def prune(
    *,
    older_than: float,
    success_only: bool,
    labels: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Remove all tasks that are over, with their logs and files; print what was removed."""
    from datetime import UTC, datetime, timedelta

    from task_runner.cli.columns import TASKS
    from task_runner.cli.failure import say
    from task_runner.cli.node import connected
    from task_runner.cli.output import show
    from task_runner.client import NotFoundError, Task

    limit = datetime.now(UTC) - timedelta(seconds=older_than)

    def is_meant(task: Task) -> bool:
        ended = task.finished_at or task.created_at
        return (ended is None or ended <= limit) and (
            not success_only or task.outcome == "succeeded"
        )

    with connected() as client:
        tasks = [task for task in client.list(states=OVER, labels=labels) if is_meant(task)]
        if tasks and not (dry_run or yes):
            _ask(len(tasks))
        for task in tasks if not dry_run else ():
            try:
                client.delete(task.task_id)
            except NotFoundError:  # somebody else was faster
                say(f"{task.task_id} is gone already")
        show([task.data for task in tasks], TASKS, output, "taskId")
    say(f"{len(tasks)} {'would be' if dry_run else 'were'} removed")


def _ask(count: int) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("without a terminal to ask on, this needs --yes (or --dry-run)")
    click.confirm(f"Remove {count} tasks with their files?", abort=True, err=True)
