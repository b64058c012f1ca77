"""The page about the Python client: its examples run, its tables are complete."""

import inspect
import json
import subprocess
import sys

import pytest

from task_runner import client
from task_runner.client import AsyncClient, Client
from tests.integration.test_documentation import DOC, blocks, code, table
from tests.node import Node

PAGE = DOC / "client.md"
OUTPUTS = ["succeeded 0\n", "WARNING careful\n"]


@pytest.mark.parametrize(
    ("example", "output"), [*zip(blocks(PAGE, "python"), OUTPUTS, strict=True)]
)
def test_the_examples_run(example: str, output: str, node_for_all: Node) -> None:
    text = example.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{node_for_all.port}")
    assert text != example
    command = [sys.executable, "-W", "error", "-c", text]
    assert subprocess.check_output(command, text=True, timeout=60).endswith(output)


def verbs_of(face: type) -> dict[str, inspect.Signature]:
    plumbing = {"close", "aclose"}
    return {
        name: inspect.signature(value)
        for name, value in vars(face).items()
        if inspect.isfunction(value) and name[0] != "_" and name not in plumbing
    }


def test_both_faces_have_the_verbs_that_are_documented() -> None:
    assert verbs_of(Client) == verbs_of(AsyncClient)
    documented = [text for cell, _ in table(PAGE, "verb") for text in code(cell)]
    assert [text.partition("(")[0] for text in documented] == [*verbs_of(Client)]
    for text in documented:
        name, _, rest = text.partition("(")
        arguments = {word.strip(" )=") for word in rest.split(",")} - {"…", ""}
        assert arguments <= verbs_of(Client)[name].parameters.keys(), text


def test_every_error_is_documented() -> None:
    errors = {
        name
        for name, value in vars(client).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert errors == {code(cell)[0] for cell, _ in table(PAGE, "error")}
    assert errors <= {*client.__all__}


def test_a_client_costs_nothing_of_the_service() -> None:
    """What uses the client needs neither FastAPI nor pydantic."""
    report = "import json, sys, task_runner.client; print(json.dumps([*sys.modules]))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", report]))
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(
        {"fastapi", "pydantic", "uvicorn"}
    )
