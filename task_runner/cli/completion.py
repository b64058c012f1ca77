"""`task-runner completion`: what makes a shell complete commands and options."""

from typing import cast

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands; for bash: `. <(task-runner completion bash)`."""
    from click.shell_completion import ShellComplete, get_completion_class

    kind = cast("type[ShellComplete]", get_completion_class(shell))  # click has all of SHELLS
    print(kind(ctx.find_root().command, {}, "task-runner", "_TASK_RUNNER_COMPLETE").source())
