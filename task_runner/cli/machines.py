"""`task-runner machines`: what can be run."""

import click

from task_runner.cli.output import output_option


@click.command()
@output_option()
def machines(*, output: str) -> None:
    """List what can be run; `-o json` has the JSON Schema of the parameters."""
    from task_runner.cli.columns import text
    from task_runner.cli.node import connected
    from task_runner.cli.output import Column, show

    columns = [
        Column("MACHINE", lambda machine: machine["name"]),
        Column("DESCRIPTION", lambda machine: text(machine["description"]), is_long=True),
        Column("PROBLEM", lambda machine: text(machine["error"]), is_wide=True, is_long=True),
    ]
    with connected() as client:
        show(client.machines(), columns, output, "name")
