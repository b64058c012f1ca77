"""Several workers, and several services, share a work directory."""

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.node import running_node
from tests.waiting import wait_until


def test_two_workers_know_of_each_other_s_tasks(tmp_path: Path) -> None:
    with running_node(tmp_path / "work", "gunicorn", "--workers", "2") as node:
        # A connection stays with the worker that accepted it: some of these meet in either.
        clients = [httpx2.Client(base_url=node.http.base_url, timeout=30) for _ in range(12)]
        tasks = [
            client.post("/v1/tasks", json={"machine": "echo", "parameters": ["SLEEP 0.5"]})
            for client in clients
        ]
        ids = [answer.json()["taskId"] for answer in tasks]

        def wait(client: httpx2.Client, task_id: str) -> str:
            return str(client.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()["state"])

        with ThreadPoolExecutor(12) as threads:
            states = list(threads.map(wait, clients, reversed(ids)))
        assert states == ["exited"] * 12
        for client in clients:
            assert [one["taskId"] for one in client.get("/v1/tasks").json()] == ids
            client.close()


def test_the_tasks_of_a_killed_worker_are_taken_over(tmp_path: Path) -> None:
    with (
        running_node(tmp_path / "work") as one,
        running_node(tmp_path / "work") as other,
    ):
        gate = tmp_path / "gate"
        tasks = [one.sh(f"until [ -e {gate} ]; do sleep 0.02; done") for _ in range(3)]
        one.kill()
        assert [other.states()[task] for task in tasks] == ["running"] * 3
        gate.touch()
        # Nobody looks at them but the other service, which has to notice by itself.
        wait_until(lambda: set(other.states().values()) == {"exited"})


def test_two_services_on_one_work_directory_run_every_task_once(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    limit = {"TASK_RUNNER_MAX_RUNNING": "3"}
    with (
        running_node(tmp_path / "work", **limit) as one,
        running_node(tmp_path / "work", "uvicorn", **limit) as other,
    ):
        nodes = [one, other]
        with ThreadPoolExecutor(4) as threads:
            ids = list(
                threads.map(lambda i: nodes[i % 2].sh(f"echo {i} >> {ran}; sleep 0.02"), range(40))
            )
        one.kill()
        one.start()
        for task_id in ids:
            assert other.result(task_id)["outcome"] == "succeeded"
        assert Counter(ran.read_text().split()) == Counter(str(i) for i in range(40))
        assert one.states() == other.states()


def test_max_running_holds_across_services(tmp_path: Path) -> None:
    limit = {"TASK_RUNNER_MAX_RUNNING": "2"}
    log = tmp_path / "log"
    with (
        running_node(tmp_path / "work", **limit) as one,
        running_node(tmp_path / "work", **limit) as other,
    ):
        script = f"echo + >> {log}; sleep 0.1; echo - >> {log}"
        ids = [node.sh(script) for _ in range(6) for node in (one, other)]
        for task_id in ids:
            one.result(task_id)
    running = most = 0
    for sign in log.read_text().split():
        running += 1 if sign == "+" else -1
        most = max(most, running)
    assert most == 2


def test_a_graceful_restart_loses_nothing(tmp_path: Path) -> None:
    with running_node(tmp_path / "work") as node:
        gate = tmp_path / "gate"
        task = node.sh(f"until [ -e {gate} ]; do sleep 0.02; done; echo done")
        assert node.process is not None
        os.kill(node.process.pid, signal.SIGHUP)  # gunicorn: new workers, old ones end
        wait_until(lambda: node.log.read_text().count("Application startup complete") == 2)
        node.http.close()
        node.http = httpx2.Client(base_url=f"http://127.0.0.1:{node.port}", timeout=30)
        assert node.view(task)["state"] == "running"
        gate.touch()
        assert node.result(task)["outcome"] == "succeeded"
