"""The page about the command line: its examples print what is there, its tables are complete."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from task_runner.cli.commands import COMMANDS
from task_runner.cli.main import task_runner
from task_runner.cli.run import run
from tests.integration.test_documentation import DOC, blocks, code, table
from tests.node import Node
from tests.terminal import data, environment

PAGE = DOC / "cli.md"


def same(text: str) -> str:
    """Make alike what differs each time: identifiers, times, ages, the width of columns."""
    text = re.sub(r"\b[0-9a-f]{12}\b", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", "TIME", text)
    return re.sub(r" +", " ", re.sub(r"\b\d+s\b", "Ns", text))


def test_the_examples_print_what_is_documented(node: Node, tmp_path: Path) -> None:
    sessions = blocks(PAGE, "console")
    assert len(sessions) >= 4
    for session in sessions:
        commands = re.findall(r"^\$ (.*)$", session, re.MULTILINE)
        expected = re.split(r"^\$ .*\n", session, flags=re.MULTILINE)[1:]
        script = "".join(f"{command}\necho ---$?\n" for command in commands)
        script = script.replace(
            "echo ---$?\necho $?", "code=$?; echo ---$code; (exit $code)\necho $?"
        )
        done = subprocess.run(
            ["bash", "-c", f"exec 2>&1\n{script}"],
            cwd=tmp_path,
            env=environment(node),
            capture_output=True,
            text=True,
            check=True,
        )
        printed = re.split(r"---\d+\n", done.stdout)[:-1]
        assert [*map(same, printed)] == [*map(same, expected)]


def test_every_command_is_documented() -> None:
    context = click.Context(task_runner)
    documented = [code(cell)[0].split()[0] for cell, _ in table(PAGE, "command")]
    assert documented == [*COMMANDS]
    for name, known in COMMANDS.items():
        command = task_runner.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
        assert known.help.endswith(".")


def test_every_option_of_run_is_documented() -> None:
    words = {
        word
        for cell, _ in table(PAGE, "option of `run`")
        for span in code(cell)
        for word in span.split()
        if word.startswith("-")
    }
    options = {
        opt for option in run.params if isinstance(option, click.Option) for opt in option.opts
    }
    assert words == options


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_that_are_documented_exist(name: str) -> None:
    command = task_runner.get_command(click.Context(task_runner), name)
    assert command is not None
    [text] = [text for cell, text in table(PAGE, "command") if code(cell)[0].split()[0] == name]
    options = {opt for option in command.params for opt in option.opts}
    for span in code(text):
        if span.startswith("-") and len(span) > 1:
            assert span.split()[0] in options, span


def test_help_imports_neither_the_client_nor_tables() -> None:
    script = """
import json, sys
from task_runner.cli import main
try:
    main.main()
finally:
    heavy = {"httpx2", "rich", "pydantic", "asyncio", "fastapi", "ssl"} & sys.modules.keys()
    print("heavy:", *heavy)
"""
    for words in (["--help"], ["run", "--help"], ["logs", "--help"], ["config", "--help"]):
        done = subprocess.run(
            ["python", "-c", script, *words],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("Usage: task-runner")
        assert done.stdout.endswith("heavy:\n"), words


def test_the_version() -> None:
    from task_runner import __version__

    assert data(None, "--version") == f"task-runner {__version__}\n"
