"""`task-runner rerun`: a task once more."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from task_runner.cli.output import output_option

NEW = ("taskId", "rerunOf")
"""Fields that are never those of the original."""


@click.command()
@click.argument("task", metavar="ID")
@click.option("--edit", is_flag=True, help="Change its fields in an editor first.")
@output_option("name")
def rerun(*, task: str, edit: bool, output: str) -> None:
    """Run a task once more, as a new one; print the identifier of that.

    The values of its environment variables are kept, though they are never shown.
    """
    from task_runner.cli.columns import TASKS
    from task_runner.cli.node import connected, task_id_of
    from task_runner.cli.output import show

    with connected() as client:
        task_id = task_id_of(client, task)
        changes = _edited(client.get(task_id).data) if edit else {}
        show([client.rerun(task_id, changes).data], TASKS, output, "taskId")


def _edited(view: Mapping[str, Any]) -> dict[str, Any]:
    """Let the fields of a task be edited; return those that were changed."""
    from task_runner.lib.task import FIELDS

    if not (sys.stdin.isatty() or os.environ.get("EDITOR") or os.environ.get("VISUAL")):
        raise click.UsageError("without a terminal, --edit needs the variable EDITOR")
    before = {name: view[name] for name in FIELDS if name in view and name not in NEW}
    text = click.edit(json.dumps(before, indent=2, ensure_ascii=False) + "\n", extension=".json")
    try:
        after = before if text is None else json.loads(text)
    except ValueError as problem:
        raise _unusable(f"what was edited is not JSON: {problem}") from problem
    if not isinstance(after, dict):
        raise _unusable("what was edited is no object")
    return {name: after.get(name) for name in after | before if after.get(name) != before.get(name)}


def _unusable(problem: str) -> click.ClickException:
    from task_runner.cli.failure import Failure

    return Failure(f"{problem}; nothing was submitted", "task-runner rerun --edit ID")
