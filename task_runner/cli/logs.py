"""`task-runner logs`: what tasks have written."""

from datetime import datetime

import click

from task_runner.cli.values import MOMENT

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("-f", "--follow", is_flag=True, help="Go on until they are over.")
@click.option("-n", "--tail", type=click.IntRange(0), help="Begin so many lines before the end.")
@click.option("--since", type=MOMENT, help="Begin with what was written since: 10m, or a time.")
@click.option("-t", "--timestamps", is_flag=True, help="Put the time before each line.")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="Nothing lower.")
@click.option("--grep", help="Only lines that match this regular expression (RE2).")
@click.option("-i", "--ignore-case", is_flag=True, help="Of --grep: capitals are the same.")
@click.option(
    "--stderr", is_flag=True, help="The log of standard error, where a task keeps it apart."
)
def logs(
    *,
    ids: tuple[str, ...],
    follow: bool,
    tail: int | None,
    since: datetime | None,
    timestamps: bool,
    level: str | None,
    grep: str | None,
    ignore_case: bool,
    stderr: bool,
) -> int:
    """Show what tasks have written; several at once have their identifiers before each line.

    Of a single task, without -t, --level and --grep, these are the bytes that it wrote.
    """
    from task_runner.cli.show_logs import Wanted, show_logs

    if tail is not None and since is not None:
        raise click.UsageError("--tail and --since exclude each other")
    if ignore_case and grep is None:
        raise click.UsageError("--ignore-case needs --grep")
    where = {"tail": tail, "since": since, "stream": "stderr" if stderr else None}
    only = {"level": level and level.upper(), "grep": grep, "ignore_case": ignore_case}
    return show_logs(ids, Wanted(follow, timestamps, where, only))
