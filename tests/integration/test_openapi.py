"""A real node keeps what its OpenAPI document promises: schemathesis tries every operation."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.node import Node

# What exists is asked for too, not only names that were made up. Followed events never end; and a
# document cannot say all that a machine demands of its parameters, so that not all it allows is.
CONFIG = """
[[operations]]
include-method = "GET"
parameters = { "path.task_id" = "known", "path.path" = "left.txt" }
"""
OPTIONS = (
    "--phases=examples,coverage,fuzzing",
    "--max-examples=8",
    "--seed=1",
    "--request-timeout=30",
    "--exclude-path=/v1/events",
    "--exclude-checks=positive_data_acceptance",
    "--continue-on-failure",
    "--no-color",
)


@pytest.mark.timeout(600)
def test_the_node_is_what_its_document_says(node: Node, tmp_path: Path) -> None:
    node.result(node.sh("echo hi; echo left > left.txt; mkdir d", taskId="known"))
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{node.port}/openapi.json", *OPTIONS],
        cwd=tmp_path,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    paths = node.http.get("/openapi.json").json()["paths"]
    tried = sum(len(operations) for path, operations in paths.items() if path != "/v1/events")
    assert f"Tested: {tried}\n" in done.stdout
    assert "Traceback" not in node.log.read_text()


def test_every_error_is_described_as_a_problem(node_for_all: Node) -> None:
    paths = node_for_all.http.get("/openapi.json").json()["paths"]
    errors = [
        response
        for operations in paths.values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if status[0] in "45"
    ]
    assert len(errors) > 20
    assert {kind for error in errors for kind in error["content"]} == {"application/problem+json"}
