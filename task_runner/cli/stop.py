"""`task-runner stop`: ask tasks to stop."""

import click

from task_runner.cli.output import output_option


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("-w", "--wait", "waits", is_flag=True, help="Wait until they are over.")
@output_option("name")
def stop(*, ids: tuple[str, ...], waits: bool, output: str) -> None:
    """Ask tasks to stop: SIGTERM, their grace period to clean up, then SIGKILL.

    What is over already stays as it is.
    """
    from task_runner.cli.columns import TASKS
    from task_runner.cli.node import connected, task_id_of
    from task_runner.cli.output import show

    with connected() as client:
        tasks = [client.stop(task_id_of(client, word)) for word in ids]
        if waits:
            tasks = [client.wait(task.task_id) for task in tasks]
    show([task.data for task in tasks], TASKS, output, "taskId")
