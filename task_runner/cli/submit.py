"""`task-runner submit`: a task from a file."""

import sys
from typing import IO

import click

from task_runner.cli.output import output_option


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("-q", "--quiet", is_flag=True, help="Print the identifier alone, and say nothing.")
@click.option("--check", is_flag=True, help="Only check it; nothing is stored.")
@output_option("name")
def submit(*, file: IO[bytes], quiet: bool, check: bool, output: str) -> None:
    """Submit the task in a JSON FILE (`-`: standard input); print its identifier."""
    import json

    from task_runner.cli.columns import TASKS
    from task_runner.cli.failure import say
    from task_runner.cli.node import connected
    from task_runner.cli.output import show

    try:
        task = json.load(file)
    except (ValueError, RecursionError) as problem:
        raise click.BadParameter(f"it is not JSON: {problem}", param_hint="FILE") from problem
    if not isinstance(task, dict):
        raise click.BadParameter("it does not hold a JSON object", param_hint="FILE")
    with connected() as client:
        if check:
            client.check(task)
            say("the task would be accepted")
            return
        accepted = client.submit(task)
    show([accepted.data], TASKS, "name" if quiet else output, "taskId")
    if not quiet and sys.stderr.isatty():
        say(f"submitted; follow it with: task-runner logs -f {accepted.task_id}")
