"""Beyond the limits of the system: refused with a reason, what was refused never runs, what was
accepted does, and once there is room all is as before."""

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from task_runner.lib.fault_points import Step
from tests.fault_plans import Plans
from tests.node import Json, Node, running_node
from tests.task_processes import kill_all_of
from tests.waiting import wait_until

OVER = {"exited", "lost"}
ANOTHER_USER = 100_000 + os.getpid()
"""Nobody's: the limit of processes counts those of a user, and does not hold for root."""
HELD = ("sh", "-c", "mkfifo go; read word < go")
"""Runs, and costs nothing, until somebody writes to `go`."""


@contextmanager
def limited_node(work_dir: Path, *limits: str) -> Iterator[Node]:
    """Give a node that is started by other commands, which set limits."""
    node = Node(work_dir)
    node.argv = [*limits, *node.argv]
    try:
        yield node.start()
    finally:
        node.close()


def submit(node: Node, task_id: str, *argv: str) -> httpx2.Response | None:
    """Return the answer, None when the connection was closed without one."""
    task = {"machine": "command", "parameters": {"argv": argv}, "taskId": task_id}
    try:
        with httpx2.Client(base_url=node.http.base_url, timeout=60, verify=False) as http:
            return http.post("/v1/tasks", json=task)
    except httpx2.TransportError:
        return None


def release(node: Node) -> None:
    """Let every task of HELD end that runs; one that was accepted may wait for these."""
    for directory in node.work_dir.glob("task-*"):
        if (go := writable(directory / "files/go")) is not None:
            with suppress(BrokenPipeError):  # it has had its word already
                os.write(go, b"go\n")
            os.close(go)


def writable(fifo: Path) -> int | None:
    """Return a descriptor once somebody reads the FIFO."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def settled(node: Node) -> dict[str, str]:
    """Let all tasks end; return their states once they are over."""

    def all_over() -> dict[str, str] | None:
        release(node)
        try:
            states = node.states()
        except (httpx2.TransportError, TypeError):  # refused: too many files are open
            return None
        return states if set(states.values()) <= OVER else None

    return wait_until(all_over, timeout=60) or {}


@pytest.mark.parametrize("clients", [30, 90])
def test_open_files(tmp_path: Path, clients: int) -> None:
    with limited_node(tmp_path / "work", "prlimit", "--nofile=64:64") as node:
        ids = [f"t{number}" for number in range(150)]
        with ThreadPoolExecutor(clients) as threads:
            answers = dict(
                zip(ids, threads.map(lambda i: submit(node, i, *HELD), ids), strict=True)
            )
        states = settled(node)
        codes = {i: answer.status_code for i, answer in answers.items() if answer is not None}
        assert set(codes.values()) == {201, 503}
        for task_id, code in codes.items():
            assert (task_id in states) == (code == 201), (task_id, code)
        assert {node.view(task_id)["outcome"] for task_id in states} == {"succeeded"}
        refused = [one for one in answers.values() if one is not None and one.status_code == 503]
        assert all("open files" in one.json()["detail"] for one in refused)
        assert all(int(one.headers["retry-after"]) > 0 for one in refused)
        assert {path.name for path in node.work_dir.glob("task-*")} == {f"task-{i}" for i in states}
        assert node.result(node.submit("echo", ["ECHO a"]))["outcome"] == "succeeded"


def test_processes(tmp_path: Path) -> None:
    limits = ["setpriv", "--ruid", str(ANOTHER_USER), "--bounding-set=-sys_admin,-sys_resource"]
    with limited_node(tmp_path / "work", *limits, "prlimit", "--nproc=100") as node:
        answers: dict[str, Json] = {}
        for number in range(60):
            answer = submit(node, f"t{number}", "sleep", "600")
            assert answer is not None
            answers[f"t{number}"] = {"code": answer.status_code, **answer.json()}
        codes = [one["code"] for one in answers.values()]
        accepted = codes.count(201)
        assert 0 < accepted < 60
        assert set(codes) == {201, 503}
        assert all("unavailable" in one["detail"] for one in answers.values() if "detail" in one)
        states = node.states()
        assert set(states) == {i for i, one in answers.items() if one["code"] == 201}
        assert len(list(node.work_dir.glob("task-*"))) == accepted
        for task_id in states:
            node.http.post(f"/v1/tasks/{task_id}/stop")
        assert {node.result(task_id)["outcome"] for task_id in states} == {"canceled"}
        assert node.result(node.submit("echo", ["ECHO a"]))["outcome"] == "succeeded"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 100 MiB (these tests run as root)."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(disk)], check=True)
    yield disk
    kill_all_of(disk)
    unmount = ["umount", "--quiet", str(disk)]  # the killed take a moment to let go of it
    wait_until(lambda: subprocess.run(unmount, capture_output=True, check=False).returncode == 0)


def test_the_floor_of_free_space(disk: Path) -> None:
    """A tenth of this disk is 10 MiB."""
    filler = disk / "filler"
    with running_node(disk / "work") as node:
        running = node.sh("until [ -e go ]; do sleep 0.01; done; echo went on")
        filler.write_bytes(bytes(92 << 20))

        def answer(code: int) -> httpx2.Response | None:
            one = node.http.post("/v1/tasks", json={"machine": "echo", "parameters": []})
            return one if one.status_code == code else None

        refused = wait_until(lambda: answer(507))
        assert refused is not None
        assert "min_free_bytes" in refused.json()["detail"]
        known = set(node.states())
        assert answer(507)
        assert set(node.states()) == known
        (node.directory(running) / "files/go").touch()
        assert node.result(running)["outcome"] == "succeeded"
        metrics = node.http.get("/metrics").text.splitlines()
        assert 'task_runner_refused_total{reason="disk"} 2.0' in metrics
        filler.unlink()
        accepted = wait_until(lambda: answer(201))
        assert accepted is not None
        assert node.result(accepted.json()["taskId"])["outcome"] == "succeeded"


def test_without_a_floor(disk: Path) -> None:
    (disk / "filler").write_bytes(bytes(92 << 20))
    with running_node(disk / "work", TASK_RUNNER_MIN_FREE_BYTES="0") as node:
        assert node.result(node.submit("echo", ["ECHO a"]))["outcome"] == "succeeded"


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    return Plans(tmp_path / "plans")


@pytest.mark.parametrize("step", [Step.FORK, Step.FORK_MACHINE])
def test_what_can_be_neither_started_nor_taken_back_is_accepted(
    tmp_path: Path, plans: Plans, step: Step
) -> None:
    plans.add(step, "EAGAIN", once=False)
    plans.add(Step.BURY, "EIO")
    with running_node(tmp_path / "work", **plans.settings) as node:
        answer = submit(node, "one", "true")
        assert answer is not None
        assert (answer.status_code, answer.json()["state"]) == (201, "created")
        assert plans.fired(Step.BURY)
        answer = submit(node, "two", "true")
        assert answer is not None
        assert (answer.status_code, list(node.states())) == (503, ["one"])
        plans.remove(step)
        assert node.result("one")["outcome"] == "succeeded"


def test_a_sync_waits_for_an_open_file(tmp_path: Path, plans: Plans) -> None:
    plans.add(Step.SYNC, "EMFILE")
    with running_node(tmp_path / "work", **plans.settings) as node:
        assert node.result(node.submit("echo", ["ECHO a"]))["outcome"] == "succeeded"
        assert plans.fired(Step.SYNC)


@pytest.mark.parametrize(("step", "code"), [(Step.DRAFT, 503), (Step.PUBLISH, 503)])
def test_a_submission_that_is_short_of_files_leaves_nothing(
    tmp_path: Path, plans: Plans, step: Step, code: int
) -> None:
    plans.add(step, "EMFILE")
    with running_node(tmp_path / "work", **plans.settings) as node:
        answer = submit(node, "one", "true")
        assert answer is not None
        assert (answer.status_code, node.states()) == (code, {})
        staging = node.work_dir / ".staging"
        assert [list(one.iterdir()) for one in staging.iterdir()] == [[]]
        assert list(node.work_dir.glob("task-*")) == []


@pytest.mark.parametrize(("can_start", "code"), [(True, 201), (False, 503)])
def test_the_same_task_twice_at_once_gets_the_same_answer(
    tmp_path: Path, plans: Plans, can_start: bool, code: int
) -> None:
    """What one submission is told must not be undone by the other, which is yet to start it."""
    plans.add(Step.FORK, "SIGSTOP")
    with (
        running_node(tmp_path / "work", **plans.settings) as node,
        ThreadPoolExecutor(2) as threads,
    ):
        first = threads.submit(submit, node, "one", "true")
        wait_until(lambda: plans.fired(Step.FORK))
        second = threads.submit(submit, node, "one", "true")
        wait([second], timeout=1)  # as long as the first has no answer, neither has the second
        if not can_start:
            plans.add(Step.FORK, "EAGAIN", once=False)
        fork_server = plans.fired(Step.FORK)[0].pid
        os.kill(fork_server, signal.SIGCONT if can_start else signal.SIGKILL)
        answers = [one.result() for one in (first, second)]
        assert [answer and answer.status_code for answer in answers] == [code, code]
        if can_start:
            assert node.result("one")["outcome"] == "succeeded"
        assert list(node.states()) == (["one"] if can_start else [])
        assert len(list(node.work_dir.glob("task-*"))) == len(node.states())
