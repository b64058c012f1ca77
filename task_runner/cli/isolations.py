"""`task-runner isolations`: what can stand around tasks."""

import click

from task_runner.cli.columns import usable
from task_runner.cli.output import output_option, show


@click.command()
@output_option()
def isolations(*, output: str) -> None:
    """List what can stand around tasks, and what is missing where it cannot."""
    from task_runner.cli.node import connected

    with connected() as client:
        show(client.isolations(), usable("ISOLATION"), output, "name")
