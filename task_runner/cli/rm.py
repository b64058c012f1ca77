"""`task-runner rm`: remove tasks with their files."""

import click


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Stop those first that are not over.")
def rm(*, ids: tuple[str, ...], force: bool) -> None:
    """Remove tasks that are over, with their logs and files."""
    from task_runner.cli.node import connected, task_id_of
    from task_runner.client import ConflictError

    with connected() as client:
        for task_id in [task_id_of(client, word) for word in ids]:
            if force:
                client.stop(task_id)
                client.wait(task_id)
            try:
                client.delete(task_id)
            except ConflictError as error:
                raise _active(task_id, error) from error
            print(task_id, flush=True)


def _active(task_id: str, error: Exception) -> click.ClickException:
    from task_runner.cli.failure import Failure

    return Failure(str(error), f"task-runner rm --force {task_id}")
