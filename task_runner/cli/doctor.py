"""`task-runner doctor`: what is wrong, and the command that mends it."""

import click

from task_runner.cli.output import Column, output_option

COLUMNS = (
    Column("CHECK", lambda row: row["check"]),
    Column("STATE", lambda row: row["result"]),
    Column("FOUND", lambda row: row["found"], is_long=True),
    Column("MENDED BY", lambda row: row["mend"] or "", is_long=True),
)


@click.command()
@output_option()
def doctor(*, output: str) -> int:
    """Find out what is wrong here, and which command mends it; exit with 1 when something is.

    What is `absent` is not needed unless you want to use it.
    """
    from task_runner.cli.checks import all_findings
    from task_runner.cli.output import show

    findings = [finding._asdict() for finding in all_findings()]
    show(findings, COLUMNS, output, "check")
    return 1 if any(one["result"] == "wrong" for one in findings) else 0
