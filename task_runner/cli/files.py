"""`task-runner files`: what a task has left."""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from task_runner.cli.output import Column, output_option

if TYPE_CHECKING:
    from task_runner.client import Client

COLUMNS = (
    Column("PATH", lambda file: str(file["path"]), is_long=True),
    Column("TYPE", lambda file: str(file["type"])),
    Column("SIZE", lambda file: "-" if file["size"] is None else str(file["size"])),
    Column("MODIFIED", lambda file: str(file["modifiedAt"])),
)


@click.command()
@click.argument("task", metavar="ID")
@click.argument("action", metavar="[get", type=click.Choice(["get"]), required=False)
@click.argument("path", metavar="[PATH]]", required=False)
@click.option("-O", "--to", type=click.Path(dir_okay=False), help="Write it to this file.")
@output_option()
def files(*, task: str, action: str | None, path: str | None, to: str | None, output: str) -> None:
    """List what a task has left in its directory, or get one of the files.

    `get` without a PATH gets all of them, as a tar.gz. Without -O, on standard output.
    """
    from task_runner.cli.node import connected, task_id_of
    from task_runner.cli.output import show

    if action is None and to is not None:
        raise click.UsageError("--to needs `get`")
    if action and not (path or to) and sys.stdout.isatty():
        raise click.UsageError("an archive does not belong on a terminal; give --to FILE")
    with connected() as client:
        task_id = task_id_of(client, task)
        if action is None:
            show((file.data for file in client.files(task_id)), COLUMNS, output, "path")
        elif path is None:
            _write(client.archive(task_id), to)
        else:
            _write(_file(client, task_id, path), to)


def _file(client: "Client", task_id: str, path: str) -> Iterator[bytes]:
    from task_runner.cli.failure import Failure
    from task_runner.client import NotFoundError

    try:
        yield from client.file(task_id, path)
    except NotFoundError as error:
        raise Failure(str(error), f"task-runner files {task_id}") from error


def _write(blocks: Iterable[bytes], to: str | None) -> None:
    if to is None:
        sys.stdout.buffer.writelines(blocks)
        return
    first = next(iter(blocks), b"")  # what does not exist leaves no file behind
    with open(to, "wb") as file:
        file.write(first)
        file.writelines(blocks)
