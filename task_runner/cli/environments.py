"""`task-runner environments`: where tasks can run."""

import click

from task_runner.cli.output import Column, output_option, show

COLUMNS = (
    Column("ENVIRONMENT", lambda one: str(one["name"])),
    Column("USABLE", lambda one: "yes" if one["usable"] else "no"),
    Column("WHY NOT", lambda one: one["why"] or "-", is_long=True),
    Column("MENDED BY", lambda one: one["install"] or "-", is_long=True),
)


@click.command()
@output_option()
def environments(*, output: str) -> None:
    """List where tasks can run, and what is missing where they cannot; `-o json` has more."""
    from task_runner.cli.node import connected

    with connected() as client:
        show(client.environments(), COLUMNS, output, "name")
