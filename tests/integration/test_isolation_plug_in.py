"""The isolation of the documentation, installed and used."""

from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.node import Node, running_node
from tests.plug_ins import install
from tests.task_processes import kill_all_of

EXAMPLE = ROOT / "task_runner" / "doc" / "example_isolation" / "background.py"
BACKGROUND = {"isolation": "background", "isolationOptions": {"nice": 7}}
NICE = "cut -d' ' -f19 /proc/self/stat; ionice"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Give a node that has the example installed."""
    scratch = tmp_path_factory.mktemp("plug_in")
    with running_node(
        scratch / "work", PYTHONPATH=str(install("example_isolation", scratch))
    ) as it:
        yield it
    kill_all_of(scratch / "work")


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60


def test_a_command_runs_in_it(node: Node) -> None:
    task = node.sh(NICE, **BACKGROUND)
    assert node.result(task)["outcome"] == "succeeded"
    assert node.output(task) == "7\nidle\n"
    assert node.view(task)["isolationOptions"] == {"nice": 7}


def test_its_exit_codes_and_signals_come_out_true(node: Node) -> None:
    code, killed = node.sh("exit 137", **BACKGROUND), node.sh("kill -9 $$", **BACKGROUND)
    assert (node.result(code)["outcome"], node.result(code)["exitCode"]) == ("failed", 137)
    assert node.result(killed)["signal"] == "SIGKILL"


def test_a_python_machine_runs_in_it_and_cleans_up(node: Node) -> None:
    lines = ["ECHO ready", "SLEEP 1000", "CLEANUP", "ECHO clean-up"]
    task = node.submit("echo", lines, **BACKGROUND, timeout=2)
    assert node.result(task)["outcome"] == "timeout"
    assert node.output(task) == "ready\nclean-up\n"


@pytest.mark.parametrize(
    ("options", "field"),
    [({"nice": 20}, "nice"), ({"nice": True}, "nice"), ({"image": 1}, "image")],
)
def test_its_options_are_checked(node: Node, options: dict[str, object], field: str) -> None:
    task = {"machine": "echo", "isolation": "background", "isolationOptions": options}
    answer = node.http.post("/v1/tasks", json={**task, "parameters": []})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [f"isolationOptions.{field}"]


def test_its_task_is_deleted_after_the_package_is_gone(node: Node) -> None:
    task = node.sh("true", **BACKGROUND)
    assert node.result(task)["outcome"] == "succeeded"
    node.terminate()
    node.env.pop("PYTHONPATH")
    node.start()
    assert node.http.delete(f"/v1/tasks/{task}").status_code == 200
    again = {"machine": "echo", "parameters": [], "isolation": "background"}
    answer = node.http.post("/v1/tasks", json=again)
    assert [error["field"] for error in answer.json()["errors"]] == ["isolation"]
