"""The commands of the specification, and every server that a node is started with."""

import getpass
import json
import os
import re
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
import trustme

from tests.node import ROOT, SERVERS, Node, running_node
from tests.ports import Reservation
from tests.waiting import wait_until


def readme_command(beginning: str) -> str:
    commands: list[str] = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    lines = [line for block in commands for line in block.splitlines()]
    return next(line for line in lines if line.startswith(beginning))


def test_the_commands_of_the_readme(tmp_path: Path, port: int) -> None:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TASK_RUNNER_WORK_DIR": str(tmp_path / "work"),
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
    }
    command = readme_command("python3 -m gunicorn")
    assert command == (
        "python3 -m gunicorn  -k uvicorn.workers.UvicornWorker "
        "'task_runner.api.star_app:create_app'"
    )
    server = subprocess.Popen(["sh", "-c", f"exec {command}"], cwd=ROOT, env=env)
    try:
        http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        wait_until(lambda: answers(http))
        curl = readme_command("curl -s -X POST").replace(":8000", f":{port}")
        answer = json.loads(subprocess.check_output(["sh", "-c", curl], cwd=ROOT, env=env))
        assert answer.keys() == {"taskId", "state"}
        assert re.fullmatch("[0-9a-f]{8}", answer["taskId"])
        assert answer["state"] == "running"
        result = http.get(f"/v1/tasks/{answer['taskId']}", params={"wait": 30}).json()
        assert (result["state"], result["exitCode"]) == ("exited", 0)
        http.close()
    finally:
        server.terminate()
        server.wait()


def answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.parametrize(
    ("server", "options"),
    [("uvicorn", ()), ("gunicorn", ("--workers", "2")), ("uvicorn", ("--workers", "2"))],
)
def test_other_servers(tmp_path: Path, server: str, options: tuple[str, ...]) -> None:
    with running_node(tmp_path / "work", server, *options) as node:
        task = node.submit(parameters=["ECHO hi", "RETURN 2"])
        assert node.result(task)["exitCode"] == 2
        assert node.log_of(task) == b"hi\n"


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_open_streams_end_at_once_when_the_server_stops(tmp_path: Path, server: str) -> None:
    with running_node(tmp_path / "work", server) as node:
        task = node.sh("echo first; sleep 600")
        got: list[bytes] = []
        ended = threading.Event()

        def follow(path: str) -> None:
            with httpx2.stream("GET", f"http://127.0.0.1:{node.port}{path}", timeout=60) as stream:
                got.extend(stream.iter_bytes())
            ended.set()

        thread = threading.Thread(target=follow, args=(f"/v1/tasks/{task}/log?follow=true",))
        thread.start()
        wait_until(lambda: b"first\n" in got)
        node.terminate(timeout=20)  # gunicorn kills after 30 seconds
        assert ended.wait(20)
        thread.join()
        assert b"".join(got) == b"first\n"
        node.start()
        assert node.view(task)["state"] == "running"


def test_mutual_tls(tmp_path: Path) -> None:
    ca = trustme.CA()
    server, client = ca.issue_cert("localhost"), ca.issue_cert("client@example.org")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    files = {"certfile": "cert.pem", "keyfile": "key.pem", "ca-certs": "ca.pem"}
    options = [word for name, file in files.items() for word in (f"--{name}", tmp_path / file)]
    node = Node(tmp_path / "work", "gunicorn", *map(str, options), "--cert-reqs", "2")
    known, unknown = ssl.create_default_context(), ssl.create_default_context()
    for context in (known, unknown):
        ca.configure_trust(context)
    client.configure_cert(known)
    node.http.close()
    node.http = httpx2.Client(base_url=f"https://localhost:{node.port}", verify=known, timeout=30)
    try:
        node.start()
        assert node.result(node.submit(parameters=["ECHO hi"]))["outcome"] == "succeeded"
        with (
            httpx2.Client(verify=unknown) as stranger,
            pytest.raises(httpx2.TransportError),
        ):
            stranger.get(f"https://localhost:{node.port}/v1/tasks")
    finally:
        node.close()


def failed_start(server: str, **env: str) -> str:
    """Start a server that cannot start; return what it told."""
    with Reservation() as reservation:
        words = [word.format(port=reservation.port) for word in SERVERS[server]]
        ended = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode != 0
    return ended.stderr


def test_an_unusable_work_directory_is_one_clear_message() -> None:
    work_dir = Path("/proc/1/task_runner")
    told = failed_start("uvicorn", TASK_RUNNER_WORK_DIR=str(work_dir))
    assert "Traceback" not in told
    assert f"the work directory {work_dir} cannot be used" in told
    assert f"sudo install -d -m 0700 -o {getpass.getuser()} {work_dir}" in told
    assert "TASK_RUNNER_WORK_DIR" in told


def test_the_configuration_file_and_the_environment_above_it(tmp_path: Path) -> None:
    conf = tmp_path / "conf.json"
    conf.write_text(
        json.dumps(
            {
                "work_dir": str(tmp_path / "elsewhere"),
                "max_running": 7,
                "host_names": ["node.example"],
                "logging": {"version": 1, "disable_existing_loggers": False},
                "request_authorization": {"required": ["x"]},
            }
        )
    )
    with running_node(tmp_path / "work", TASK_RUNNER_CONF=str(conf)) as node:
        task = node.submit(parameters=["ECHO hi"])
        node.result(task)
        assert node.directory(task).is_dir()  # the variable won
        answer = node.http.get("/livez", headers={"Host": "node.example:1"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        '{"max_running": 0}',
        '{"max_runing": 1}',
        '{"logging": {}}',
        '{"index_path": "/no/such/directory/index.sqlite"}',
        '{"environment": "slrum"}',
        "{",
        None,
    ],
)
def test_a_wrong_configuration_is_one_clear_message(tmp_path: Path, content: str | None) -> None:
    conf = tmp_path / "conf.json"
    if content is not None:
        conf.write_text(content)
    told = failed_start(
        "uvicorn", TASK_RUNNER_WORK_DIR=str(tmp_path / "work"), TASK_RUNNER_CONF=str(conf)
    )
    assert "Traceback" not in told
    assert told.startswith("task_runner: ")


def test_an_index_never_takes_the_place_of_something_else(tmp_path: Path) -> None:
    notes, folder, other = (tmp_path / name for name in ("notes", "folder", "other.sqlite"))
    notes.write_text("mine\n")
    folder.mkdir()
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE addresses (name TEXT)")
    before = sorted(tmp_path.iterdir())
    for path in before:
        work_dir = str(tmp_path / "work")
        told = failed_start(
            "uvicorn", TASK_RUNNER_WORK_DIR=work_dir, TASK_RUNNER_INDEX_PATH=str(path)
        )
        assert told.startswith(f"task_runner: index_path: {path} is there, and no index")
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "work"]
    assert notes.read_text() == "mine\n"


def test_an_index_elsewhere_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "index"
    with running_node(tmp_path / "work", TASK_RUNNER_INDEX_PATH=str(path)) as node:
        task = node.submit(parameters=["ECHO hi"])
        node.result(task)
        node.kill()
        node.start()
        assert node.view(task)["state"] == "exited"
        assert node.http.get("/readyz?verbose").json()["setAside"] == []


def test_who_is_served(node_for_all: Node) -> None:
    http = node_for_all.http
    for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST:99"):
        assert http.get("/livez", headers={"Host": name}).status_code == 200
    for name in ("evil.example", "localhost.evil.example", "evil.example:8000", "", "[", "a@b"):
        assert http.get("/livez", headers={"Host": name}).status_code == 421
    for origin, status in (("http://localhost:3000", 200), ("http://evil.example", 403)):
        assert http.get("/livez", headers={"Origin": origin}).status_code == status
    assert http.get("/livez", headers={"Origin": "null"}).status_code == 403


def test_a_killed_master_leaves_no_worker(node: Node) -> None:
    task = node.sh("sleep 600")
    assert node.process is not None
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    wait_until(lambda: not port_is_open(node.port))
    assert "finished_at" not in node.status_file(task)


def port_is_open(port: int) -> bool:
    try:
        httpx2.get(f"http://127.0.0.1:{port}/livez")
    except httpx2.TransportError:
        return False
    return True


def test_gunicorn_gives_up_when_the_work_directory_cannot_be_used() -> None:
    told = failed_start("gunicorn", TASK_RUNNER_WORK_DIR="/proc/1/task_runner")
    assert told.count("cannot be used") == 1
    assert "TASK_RUNNER_WORK_DIR" in told


def test_a_worker_whose_master_died_while_it_started_ends(tmp_path: Path) -> None:
    node = Node(tmp_path / "work")
    with node.log.open("ab") as log:
        node.process = subprocess.Popen(
            node.argv, cwd=ROOT, env=node.env, stdout=log, stderr=log, start_new_session=True
        )
    wait_until(lambda: "Booting worker" in node.log.read_text())
    node.process.kill()
    node.process.wait()
    wait_until(lambda: not port_is_open(node.port))
    node.close()
