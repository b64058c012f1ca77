"""The example of an environment in the documentation, installed and used."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.node import Node, running_node
from tests.plug_ins import install
from tests.waiting import wait_until

EXAMPLE = ROOT / "task_runner" / "doc" / "example_environment" / "shell_environment.py"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    reach = ["env", "-i", f"PATH={os.environ['PATH']}", "sh", "-c"]
    config = {"shell": {"reach": reach, "python": sys.executable}}
    site = install("example_environment", tmp_path)
    settings = {"TASK_RUNNER_ENVIRONMENTS": json.dumps(config), "PYTHONPATH": str(site)}
    with running_node(tmp_path / "work", **settings) as node:
        yield node


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60


def test_it_is_listed(node: Node) -> None:
    listed = node.http.get("/v1/environments").json()["environments"]
    (shell,) = [one for one in listed if one["name"] == "shell"]
    assert (shell["usable"], shell["why"], shell["capabilities"]["elsewhere"]) == (True, None, True)


def test_it_runs_tasks(node: Node) -> None:
    task = node.sh("echo hello; exit 3", environment="shell")
    result = node.result(task)
    assert (result["outcome"], result["exitCode"]) == ("failed", 3)
    assert node.output(task) == "hello\n"


def test_a_task_goes_on_over_a_restart_and_can_be_stopped(node: Node) -> None:
    loop = "trap 'echo clean; exit' TERM; echo up; while :; do sleep 0.05; done"
    task = node.sh(loop, environment="shell")
    log = node.directory(task) / "output.log"
    wait_until(lambda: log.exists() and "up" in log.read_text())
    node.kill()
    node.start()
    assert node.view(task)["state"] == "running"
    node.http.post(f"/v1/tasks/{task}/stop")
    assert node.result(task)["outcome"] == "canceled"
    assert node.output(task).endswith("clean\n")


def test_without_the_package_it_is_unknown(node_for_all: Node) -> None:
    task = {"machine": "echo", "parameters": [], "environment": "shell"}
    answer = node_for_all.http.post("/v1/tasks", json=task)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "environment"


ODD = """
from task_runner.environments.base import Capabilities

class Odd:
    capabilities = Capabilities(elsewhere=True)
    def __init__(self, *args): pass
    def validate(task): pass
"""


def test_what_is_no_environment_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    entry_point = "[task_runner.environments]\nodd = odd:Odd\n"
    package = tmp_path / "odd-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (package / "entry_points.txt").write_text(entry_point)
    (tmp_path / "odd.py").write_text(ODD)
    with running_node(tmp_path / "work", PYTHONPATH=str(tmp_path)) as node:
        task = {"machine": "echo", "parameters": [], "environment": "odd"}
        answer = node.http.post("/v1/tasks", json=task)
        assert answer.status_code == 400
        assert "Odd is no RemoteEnvironment" in answer.json()["errors"][0]["detail"]
        assert node.states() == {}
        listed = node.http.get("/v1/environments").json()["environments"]
        (odd,) = [one for one in listed if one["name"] == "odd"]
        assert not odd["usable"]
        assert "Odd is no RemoteEnvironment" in odd["why"]
