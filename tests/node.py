"""A real node for the tests: a server process on a free port, with a work directory of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.ports import Reservation
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
APP = "task_runner.api.star_app:create_app"
SERVERS = {
    "gunicorn": ("gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:{port}", APP),
    "uvicorn": ("uvicorn", "--factory", "--port", "{port}", APP),
}
Json = dict[str, Any]


class Node:
    """Start, ask, kill and start again."""

    def __init__(self, work_dir: Path, server: str = "gunicorn", *options: str, **env: str) -> None:
        self.work_dir = work_dir
        self._reservation = Reservation()
        self.port = self._reservation.port
        self.log = work_dir.with_name(f"node-{self.port}.log")
        words = [word.format(port=self.port) for word in SERVERS[server]]
        self.argv = [sys.executable, "-m", words[0], *options, *words[1:]]
        self.env = {**os.environ, "TASK_RUNNER_WORK_DIR": str(work_dir), **env}
        # A connection that is kept may be closed by the server in the moment it is used again.
        limits = httpx2.Limits(max_keepalive_connections=0)
        url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.Client(base_url=url, timeout=30, limits=limits)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Node":
        self.begin()
        wait_until(self.is_ready)
        return self

    def begin(self) -> None:
        """Start, without waiting until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL the server: master and workers at once, as a power switch would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self, timeout: float = 30) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout)

    def close(self) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._reservation.close()

    def submit(self, machine: str = "echo", parameters: Any = (), **fields: Any) -> str:
        task = {"machine": machine, "parameters": parameters, **fields}
        answer = self.http.post("/v1/tasks", json=task)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["taskId"])

    def sh(self, script: str, **fields: Any) -> str:
        return self.submit("command", {"argv": ["sh", "-c", script]}, **fields)

    def view(self, task_id: str, wait: float = 0) -> Json:
        answer = self.http.get(f"/v1/tasks/{task_id}", params={"wait": wait} if wait else {})
        assert answer.status_code == 200, answer.text
        view: Json = answer.json()
        return view

    def result(self, task_id: str) -> Json:
        view = self.view(task_id, wait=30)
        assert view["state"] in {"exited", "lost"}, view
        return view

    def log_of(self, task_id: str, **params: Any) -> bytes:
        answer = self.http.get(f"/v1/tasks/{task_id}/log", params=params)
        assert answer.status_code in {200, 206}, answer.text
        return answer.content

    def states(self) -> dict[str, str]:
        return {one["taskId"]: one["state"] for one in self.http.get("/v1/tasks").json()}

    def events(self) -> list[Json]:
        return [json.loads(line) for line in self.http.get("/v1/events").text.splitlines()]

    def directory(self, task_id: str) -> Path:
        return self.work_dir / f"task-{task_id}"

    def output(self, task_id: str) -> str:
        return (self.directory(task_id) / "output.log").read_text()

    def status_file(self, task_id: str) -> Json:
        path = self.directory(task_id) / f"{task_id}.result"
        status: Json = json.loads(path.read_text())
        return status


@contextmanager
def running_node(
    work_dir: Path, server: str = "gunicorn", *options: str, **env: str
) -> Iterator[Node]:
    node = Node(work_dir, server, *options, **env)
    try:
        yield node.start()
    finally:
        node.close()
