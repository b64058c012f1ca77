"""`task-runner ps`: which tasks there are."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import click

from task_runner.cli.output import output_option
from task_runner.cli.values import MOMENT

RECENT = 20
ACTIVE = ("created", "running", "stalled", "stopping")


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="All tasks.")
@click.option("-n", "--last", type=click.IntRange(0), help="The newest N, in whatever state.")
@click.option("-s", "--state", "states", multiple=True, help="Only in this state; may be repeated.")
@click.option("-l", "--label", "labels", multiple=True, help="Only with the label NAME[=VALUE].")
@click.option("-m", "--machine", help="Only of this machine.")
@click.option("--since", type=MOMENT, help="Only submitted since: 10m, 2h, 7d, or a time.")
@output_option()
def ps(
    *,
    everything: bool,
    last: int | None,
    states: tuple[str, ...],
    labels: tuple[str, ...],
    machine: str | None,
    since: datetime | None,
    output: str,
) -> None:
    """List tasks, in the order of submission: those under way, and the 20 newest."""
    from task_runner.cli.columns import TASKS
    from task_runner.cli.node import connected
    from task_runner.cli.output import show
    from task_runner.client import Client, Task

    def found(client: Client, states: tuple[str, ...], *, newest_first: bool) -> Iterator[Task]:
        page = {"page_size": min(last or RECENT, 1000)} if newest_first else {}
        return client.list(
            states=states,
            labels=labels,
            machine=machine,
            since=since,
            newest_first=newest_first,
            **page,
        )

    with connected() as client:
        if everything or (states and last is None):
            tasks: Iterator[Task] = found(client, states, newest_first=False)
        else:
            newest = islice(
                found(client, states, newest_first=True), RECENT if last is None else last
            )
            chosen = {task.task_id: task for task in newest}
            if last is None:
                chosen |= {task.task_id: task for task in found(client, ACTIVE, newest_first=False)}
            tasks = iter(sorted(chosen.values(), key=lambda task: str(task.created_at)))
        show((task.data for task in tasks), TASKS, output, "taskId")
