"""The doctor: what is wrong is found, and the command that is named mends it."""

import json
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from task_runner import __version__
from tests.flaky import Say, flaky_proxy
from tests.node import Json, Node, running_node
from tests.terminal import environment, piped


def examined(node: Node | None, code: int, **variables: str) -> dict[str, Json]:
    done = piped(node, "doctor", "-o", "json", **variables)
    assert (done.returncode, done.stderr) == (code, ""), done
    return {one["check"]: one for one in json.loads(done.stdout)}


def test_nothing_is_wrong(node_for_all: Node) -> None:
    found = examined(node_for_all, 0, TASK_RUNNER_WORK_DIR=str(node_for_all.work_dir))
    assert {one["result"] for one in found.values()} <= {"ok", "absent"}
    assert f"version {__version__}" in found["node"]["found"]
    assert found["work directory"]["found"] == str(node_for_all.work_dir)


def test_the_work_directory(node_for_all: Node, tmp_path: Path) -> None:
    work = tmp_path / "a work directory"
    there = {"TASK_RUNNER_WORK_DIR": str(work)}
    assert "will be made" in examined(node_for_all, 0, **there)["work directory"]["found"]
    work.mkdir(mode=0o755)
    found = examined(node_for_all, 1, **there)["work directory"]
    assert "open to others (drwxr-xr-x)" in found["found"]
    subprocess.run(["sh", "-c", found["mend"]], check=True)
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert examined(node_for_all, 0, **there)["work directory"]["result"] == "ok"
    work.rmdir()
    work.touch()
    assert "is no directory" in examined(node_for_all, 1, **there)["work directory"]["found"]


@pytest.mark.parametrize("tool", ["bwrap", "podman", "sbatch"])
def test_a_tool_that_is_absent_is_no_fault(node_for_all: Node, tool: str, tmp_path: Path) -> None:
    python = Path(environment()["PATH"].split(":")[0])
    found = examined(node_for_all, 0, PATH=str(python), TASK_RUNNER_WORK_DIR=str(tmp_path))[tool]
    assert found["result"] == "absent"
    assert found["mend"].startswith("sudo apt-get install ")


def test_what_is_there_may_not_be_usable(tmp_path: Path) -> None:
    command = json.dumps(["/no/such/podman"])
    with running_node(tmp_path / "work", TASK_RUNNER_CONTAINER_COMMAND=command) as node:
        found = examined(node, 0, TASK_RUNNER_WORK_DIR=str(tmp_path))
    assert found["podman"]["result"] == "ok"
    assert found["isolation container"]["result"] == "absent"
    assert "/no/such/podman" in found["isolation container"]["found"]
    assert found["isolation sandbox"]["result"] == "ok"
    assert found["environment multiprocess"]["result"] == "ok"


def test_there_is_no_node(tmp_path: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    found = examined(None, 1, TASK_RUNNER_URL=url, TASK_RUNNER_WORK_DIR=str(tmp_path))["node"]
    assert f"no node answers at {url}" in found["found"]
    assert found["mend"] == "task-runner serve"


def test_another_program_is_there(node_for_all: Node) -> None:
    there = {"TASK_RUNNER_WORK_DIR": str(node_for_all.work_dir)}
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        server.close()
        assert examined(None, 1, TASK_RUNNER_URL=url, **there)["node"]["result"] == "wrong"
    with flaky_proxy(node_for_all.port) as proxy:
        proxy.plan([Say(b"SSH-2.0-OpenSSH_9.2\r\n")] * 3)
        found = examined(None, 1, TASK_RUNNER_URL=proxy.url, **there)["node"]
        assert "another program answers" in found["found"]
        assert "task-runner serve --port" in found["mend"]
        old = json.dumps({"versions": {"taskRunner": "0.0.1"}})
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(old)}\r\n\r\n{old}"
        proxy.plan([Say(answer.encode())] * 2)
        found = examined(None, 1, TASK_RUNNER_URL=proxy.url, **there)["node"]
        assert "has version 0.0.1" in found["found"]


def test_what_the_node_cannot_use(node: Node) -> None:
    node.kill()
    damaged = node.work_dir / "task-damaged"
    damaged.mkdir()
    (damaged / "task.json").write_text("{")
    node.start()
    there = {"TASK_RUNNER_WORK_DIR": str(node.work_dir)}
    found = examined(node, 1, **there)["node"]
    assert found["result"] == "wrong"
    assert "task-damaged" in found["found"]
    shutil.rmtree(damaged)
    assert examined(node, 0, **there)["node"]["result"] == "ok"


def test_settings_that_are_wrong(node_for_all: Node) -> None:
    found = examined(node_for_all, 1, TASK_RUNNER_MAX_RUNNING="many")["settings"]
    assert "max_running" in found["found"]
    assert os.environ.get("TASK_RUNNER_MAX_RUNNING") is None
