"""What a node tells of itself."""

import os
import shutil
from pathlib import Path

from task_runner import __version__
from task_runner.api.models import SystemView
from task_runner.lib.state import State
from tests.node import Node, running_node
from tests.waiting import wait_until


def test_a_node_tells_what_it_is(node_for_all: Node) -> None:
    system = node_for_all.http.get("/v1/system").json()
    SystemView.model_validate(system)
    assert system.keys() == SystemView.model_fields.keys()
    assert system["versions"]["taskRunner"] == __version__
    assert system["versions"]["libraries"]["fastapi"]
    assert system["host"] == os.uname().nodename
    assert system["disk"]["path"] == str(node_for_all.work_dir)
    assert system["disk"]["total"] == shutil.disk_usage(node_for_all.work_dir).total
    assert 0 < system["capacity"]["memoryAvailable"] <= system["capacity"]["memoryTotal"]
    assert 1 <= system["capacity"]["cores"] <= (os.cpu_count() or 1)
    assert len(system["capacity"]["load"]) == 3
    assert node_for_all.http.get("/v1/system").json()["uptime"] > system["uptime"] > 0


def test_it_counts_its_tasks(tmp_path: Path) -> None:
    settings = {"TASK_RUNNER_MAX_RUNNING": "2", "TASK_RUNNER_MAX_BODY_BYTES": "2048"}
    with running_node(tmp_path / "work", **settings) as node:
        tasks = [node.submit(parameters=["SLEEP 60"]) for _ in range(5)]
        capacity = node.http.get("/v1/system").json()["capacity"]
        assert (capacity["maxRunning"], capacity["running"], capacity["waiting"]) == (2, 2, 3)
        for task in reversed(tasks):
            node.http.post(f"/v1/tasks/{task}/stop")
        wait_until(lambda: node.http.get("/v1/system").json()["tasks"]["exited"] == 5)
        system = node.http.get("/v1/system").json()
    assert system["tasks"] == {state: 5 if state is State.EXITED else 0 for state in State}
    assert system["limits"] == {"maxBodyBytes": 2048, "maxRunning": 2}
