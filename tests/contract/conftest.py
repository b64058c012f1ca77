"""One suite over every combination of environment and isolation that makes sense.

A combination is what a task says of where and how it runs; everything else about a task is the
same in all of them, and so are its states, log, exit codes and files.
"""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.node import Node, running_node
from tests.podman import PYTHON, PodmanHere
from tests.task_processes import kill_all_of, processes_of
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.slurm_cluster import Cluster

COMBINATIONS: dict[str, dict[str, Any]] = {
    "multiprocess-none": {},
    "multiprocess-sandbox": {"isolation": "sandbox"},
    "multiprocess-container": {"isolation": "container", "isolationOptions": {"image": PYTHON}},
    "slurm-none": {"environment": "slurm"},
    "slurm-sandbox": {"environment": "slurm", "isolation": "sandbox"},
    "slurm-container": {
        "environment": "slurm",
        "isolation": "container",
        "isolationOptions": {"image": PYTHON},
    },
}
SLURM = {"settle": 0.5, "pause": [0.3, 2]}


def marked(names: Iterable[str]) -> list[Any]:
    """Return parameters for `combination`: with Slurm all in one process, as it has one cluster."""
    group = pytest.mark.xdist_group("slurm")
    return [pytest.param(name, marks=[group] if "slurm" in name else []) for name in names]


class Combination:
    """A node, and the fields that make a task of it one of this combination."""

    def __init__(self, node: Node, fields: dict[str, Any]) -> None:
        self.node = node
        self.fields = fields

    def submit(self, machine: str, parameters: Any, **fields: Any) -> str:
        return self.node.submit(machine, parameters, **{**self.fields, **fields})

    def program(self, *argv: str, **fields: Any) -> str:
        return self.submit("command", {"argv": [*argv]}, **fields)

    def script(self, text: str, **fields: Any) -> str:
        return self.submit("command", {"script": text}, **fields)

    def echo(self, *lines: str, **fields: Any) -> str:
        return self.submit("echo", [*lines], **fields)

    def has_said(self, task: str, words: bytes) -> None:
        """Return when the task has printed `words`."""
        wait_until(lambda: words in self.log(task), 60)

    def log(self, task: str) -> bytes:
        return self.node.log_of(task)

    def stop(self, task: str) -> None:
        assert self.node.http.post(f"/v1/tasks/{task}/stop").status_code == 200

    def ending(self, task: str) -> tuple[str, int | None]:
        """Return outcome and exit code, once nothing of the task runs any more."""
        result = self.node.result(task)
        directory = self.node.directory(task)
        wait_until(lambda: not processes_of(directory))
        return result["outcome"], result["exitCode"]


@pytest.fixture(scope="module", params=marked(COMBINATIONS))
def combination(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Combination]:
    """Give a node and a combination; the tests of a module leave it as it was."""
    work_dir = tmp_path_factory.mktemp("contract") / "work"
    fields = COMBINATIONS[request.param]
    env = {}
    if fields.get("isolation") == "container":
        podman: PodmanHere = request.getfixturevalue("podman")
        env["TASK_RUNNER_CONTAINER_COMMAND"] = json.dumps(podman.command)
    if fields.get("environment") == "slurm":
        cluster: Cluster = request.getfixturevalue("cluster")
        env |= {**cluster.env, "TASK_RUNNER_ENVIRONMENTS": json.dumps({"slurm": SLURM})}
    with running_node(work_dir, **env) as node:
        yield Combination(node, fields)
    kill_all_of(work_dir)
