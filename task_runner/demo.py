"""The sample task on a node of its own, with everything shown: `make demo`."""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from importlib import resources

SERVER = ("-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "--log-level", "warning")
APP = "task_runner.api.star_app:create_app"
START_ATTEMPTS = 200
START_INTERVAL = 0.05


def main() -> None:
    """Start a node on loopback, submit the sample, show its log while it runs, stop the node."""
    sample = resources.files("task_runner").joinpath("doc/sample_task.json").read_bytes()
    with (
        tempfile.TemporaryDirectory(prefix="task_runner-demo-") as work_dir,
        _node(work_dir) as url,
    ):
        print(f"A node serves {url} with the work directory {work_dir}.")
        print(f"\nPOST /v1/tasks {' '.join(sample.decode().split())}")
        accepted = json.load(_request(f"{url}/v1/tasks", sample))
        print(f"{json.dumps(accepted)}\n\nGET /v1/tasks/{accepted['taskId']}/log?follow=true")
        for line in _request(f"{url}/v1/tasks/{accepted['taskId']}/log?follow=true"):
            print("   ", line.decode(), end="", flush=True)
        result = json.load(_request(f"{url}/v1/tasks/{accepted['taskId']}?wait=60"))
        shown = {name: result[name] for name in ("state", "outcome", "exitCode", "usage")}
        print(f"\nGET /v1/tasks/{accepted['taskId']}\n{json.dumps(shown)}")
    print("\nThe node is stopped. `make serve` runs one for real.")
    if result["outcome"] != "succeeded":
        sys.exit(1)


@contextmanager
def _node(work_dir: str) -> Iterator[str]:
    with socket.socket() as reservation:  # of a port that nobody else gets meanwhile; socket(7)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reservation.getsockname()[1]}"
        server = subprocess.Popen(
            [sys.executable, *SERVER, "--bind", address, APP],
            env={**os.environ, "TASK_RUNNER_WORK_DIR": work_dir},
        )
        try:
            _wait_until_ready(server, f"http://{address}")
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(START_ATTEMPTS):
        if server.poll() is not None:
            sys.exit("the node did not start; its messages are above")
        try:
            _request(f"{url}/readyz")
        except urllib.error.URLError:
            select.select([], [], [], START_INTERVAL)
        else:
            return
    sys.exit("the node did not get ready")


def _request(url: str, body: bytes | None = None) -> HTTPResponse:
    headers = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310  - our own node
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=60)  # noqa: S310
    return answer


if __name__ == "__main__":
    main()
