"""`task-runner config`: the settings."""

import json
import os

import click

from task_runner.cli.output import Column, output_option, show

SECRETS = ("request_authorization",)
COLUMNS = (
    Column("SETTING", lambda row: str(row["setting"])),
    Column("VALUE", lambda row: _text(row["value"]), is_long=True),
    Column("FROM", lambda row: str(row["from"])),
)


@click.group()
def config() -> None:
    """Show the settings."""


@config.command("show")
@output_option()
def show_settings(*, output: str) -> None:
    """Show the settings of a node that is started here, and those of the command line.

    Of what is secret, only that it is there.
    """
    from task_runner.cli.local import settings_here

    settings = settings_here()
    rows = [
        {
            "setting": name,
            "value": "(set)" if value is not None and name in SECRETS else value,
            "from": _source(name, given=settings.model_fields_set),
        }
        for name, value in settings.model_dump().items()
    ]
    show(rows, COLUMNS, output, "setting")


def _source(name: str, given: set[str]) -> str:
    variable = f"TASK_RUNNER_{name.upper()}"
    if variable in os.environ:
        return variable
    return "TASK_RUNNER_CONF" if name in given else "default"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
