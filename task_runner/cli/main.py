"""The group of all commands, and how a process of it ends."""

import importlib
import os
import sys
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from task_runner import __version__
from task_runner.cli.commands import COMMANDS
from task_runner.cli.failure import INTERRUPTED, OURS, Failure

NAME = "task-runner"
CANNOT_WRITE = 141
"""As a shell says of a command that SIGPIPE ended."""


class Commands(click.Group):
    """Imports a command when it is used; its name and what it does are known before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order in which they are needed."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command. None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"task_runner.cli.{COMMANDS[cmd_name].module}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, known.help) for name, known in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and return its exit code. A reader that goes away ends it quietly."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # as with `... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return CANNOT_WRITE
        return code

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command without importing any, or an option of this group."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        return options + [
            CompletionItem(name, help=known.help)
            for name, known in COMMANDS.items()
            if name.startswith(incomplete)
        ]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url", help="Where the node is; otherwise TASK_RUNNER_URL, or `url` in the settings."
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def task_runner(ctx: click.Context, url: str | None) -> None:
    """Start and watch durable tasks on a node of the Task Runner."""
    ctx.obj = url


def main() -> NoReturn:
    """Run the command line; the exit code is what the command returns."""
    try:
        code = task_runner.main(prog_name=NAME, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except OSError as problem:  # of this machine, as a full disk: those of the node are told apart
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        Failure(str(problem), "task-runner doctor").show()
        code = OURS
    except Exception:
        import traceback

        traceback.print_exc()
        Failure("this is a defect of task-runner", "task-runner doctor").show()
        code = OURS
    sys.exit(code)
