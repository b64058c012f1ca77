"""`task-runner run`: submit a command and follow it."""

import os
from typing import Any

import click

from task_runner.cli.values import DURATION, json_pairs, pairs

FIELDS = {
    "grace_period": "gracePeriod",
    "environment_options": "environmentOptions",
    "isolation_options": "isolationOptions",
    "labels": "labels",
    "env": "env",
}
"""How options are called in a task; the others have the same name there."""


def _mine(name: str) -> str:
    """Return a variable of this process: `--env NAME` passes it on."""
    if name not in os.environ:
        raise click.BadParameter(f"{name} is not set here; give it as {name}=VALUE")
    return os.environ[name]


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-m", "--machine", default="command", show_default=True, help="What does the work.")
@click.option("-e", "--environment", help="Where it runs: multiprocess, slurm ...")
@click.option("-i", "--isolation", help="What stands around it: none, sandbox, container ...")
@click.option(
    "-l", "--label", "labels", multiple=True, callback=pairs("NAME=VALUE"), help="NAME=VALUE."
)
@click.option("-n", "--name", help="A title for people.")
@click.option("--id", "task_id", help="An identifier of your own.")
@click.option(
    "--env",
    multiple=True,
    callback=pairs("NAME=VALUE", _mine),
    help="A variable, NAME=VALUE; NAME alone passes yours on.",
)
@click.option("--timeout", type=DURATION, help="Stop it after 90s, 15m, 1h30m ...")
@click.option("--grace-period", type=DURATION, help="For cleaning up when it is stopped.")
@click.option("--priority", type=int, help="Of those that wait, the highest starts first.")
@click.option(
    "--environment-option",
    "environment_options",
    multiple=True,
    callback=json_pairs,
    help="NAME=VALUE for the environment, such as partition=long.",
)
@click.option(
    "--isolation-option",
    "isolation_options",
    multiple=True,
    callback=json_pairs,
    help="NAME=VALUE for the isolation, such as image=debian.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    callback=json_pairs,
    help="NAME=VALUE of what it may use, such as memory=1000000000.",
)
@click.option(
    "--stderr",
    type=click.Choice(["merged", "separate"]),
    help="Whether standard error has a log of its own; it is then on yours.",
)
@click.option("-p", "--parameters", help="Parameters as JSON, in place of a command.")
@click.option("-d", "--detach", is_flag=True, help="Do not follow it; print its identifier.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(*, detach: bool, **given: Any) -> int:
    """Run a command on the node and follow its output; exit with its exit code.

    Ctrl-C ends the following; the task goes on. For the machine `echo` each argument is a line of
    its script; a machine of your own needs --parameters.
    """
    from task_runner.cli.follow import run_and_follow
    from task_runner.cli.node import connected

    task = _task(**given)
    if not detach:
        return run_and_follow(task)
    with connected() as client:
        print(client.submit(task).task_id)
    return 0


def _task(
    *,
    machine: str,
    parameters: str | None,
    command: tuple[str, ...],
    task_id: str | None,
    **options: Any,
) -> dict[str, Any]:
    """Return the task as the API takes it; what was not given is left out."""
    given = {FIELDS.get(name, name): value for name, value in options.items()}
    task = {
        "taskId": task_id,
        "machine": machine,
        "parameters": _parameters(machine, parameters, command),
        **given,
    }
    return {name: value for name, value in task.items() if value not in (None, {})}


def _parameters(machine: str, parameters: str | None, command: tuple[str, ...]) -> Any:
    import json

    if parameters is not None:
        if command:
            raise click.UsageError("give either --parameters or a command")
        try:
            return json.loads(parameters)
        except ValueError as problem:
            raise click.BadParameter(f"not JSON: {problem}", param_hint="--parameters") from problem
    if not command:
        raise click.UsageError("what is to be run? for example: task-runner run -- echo hello")
    match machine:
        case "command":
            return {"argv": [*command]}
        case "echo":
            return [*command]
        case _:
            raise click.UsageError(f"the machine {machine!r} takes no command; give --parameters")
