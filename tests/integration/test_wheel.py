"""What is installed from a wheel has everything that a checkout has."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.node import APP, ROOT
from tests.waiting import wait_until

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def test_a_node_from_a_wheel_has_the_console(tmp_path: Path, port: int) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "target"
    source = tmp_path / "source"
    files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT)
    for name in files.decode().splitlines():  # a build leaves things in the folder it works in
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*PIP, "wheel", "--no-deps", "-w", wheels, source], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*PIP, "install", "--no-deps", "--target", target, wheel], check=True)

    env = {
        **os.environ,
        "PYTHONPATH": str(target),
        "TASK_RUNNER_WORK_DIR": str(tmp_path / "work"),
    }
    argv = [sys.executable, "-m", "uvicorn", "--factory", "--port", str(port), APP]
    with (
        subprocess.Popen(argv, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL) as server,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        try:
            wait_until(lambda: server.poll() is None and _answers(http), 60)
            for page in ("", "tasks/x", "submit", "system"):
                assert http.get(f"/console/{page}").status_code == 200
            ours = {path.name for path in (ROOT / "task_runner/console/static").rglob("*.*")}
            installed = {path.name for path in (target / "task_runner/console/static").rglob("*.*")}
            assert installed == ours
            assert http.get("/console/static/log/view.js").status_code == 200
        finally:
            server.terminate()


def _answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False
