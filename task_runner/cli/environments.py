"""`task-runner environments`: where tasks can run."""

import click

from task_runner.cli.columns import usable
from task_runner.cli.output import output_option, show


@click.command()
@output_option()
def environments(*, output: str) -> None:
    """List where tasks can run, and what is missing where they cannot; `-o json` has more."""
    from task_runner.cli.node import connected

    with connected() as client:
        show(client.environments(), usable("ENVIRONMENT"), output, "name")
