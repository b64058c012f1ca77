"""`task-runner inspect`: everything that is known of tasks."""

import json

import click

from task_runner.cli.output import Column, Item, output_option

COLUMNS = (
    Column("FIELD", lambda row: str(row["field"])),
    Column("VALUE", lambda row: str(row["value"]), is_long=True),
)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@output_option()
def inspect(*, ids: tuple[str, ...], output: str) -> None:
    """Show everything that is known of tasks, by the names of the API.

    As JSON, one task is an object and several are a list.
    """
    from task_runner.cli.node import connected, task_id_of
    from task_runner.cli.output import show

    with connected() as client:
        tasks = [client.get(task_id_of(client, word)).data for word in ids]
    if output == "json" and len(tasks) == 1:
        print(json.dumps(tasks[0], indent=2, ensure_ascii=False))
    elif output in ("json", "ndjson", "name"):
        show(tasks, (), output, "taskId")
    else:
        for task in tasks:
            show(_rows(task, everything=output == "wide"), COLUMNS, "table", "field")


def _rows(task: Item, *, everything: bool) -> list[dict[str, str]]:
    return [
        {"field": name, "value": value if isinstance(value, str) else json.dumps(value)}
        for name, value in task.items()
        if everything or value not in (None, {}, [])
    ]
