"""Stops over HTTP: of tasks that run, wait, clean up, refuse, or are over."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.node import Node, running_node
from tests.waiting import wait_until


def stop(node: Node, task: str) -> dict[str, object]:
    answer = node.http.post(f"/v1/tasks/{task}/stop")
    assert answer.status_code == 200, answer.text
    view: dict[str, object] = answer.json()
    return view


def wait_for_output(node: Node, task: str, text: str) -> None:
    log = node.directory(task) / "output.log"
    wait_until(lambda: log.exists() and text in log.read_text())


def test_a_stop_runs_the_clean_up(node: Node) -> None:
    task = node.submit(parameters=["ECHO begin", "SLEEP 600", "CLEANUP", "ECHO cleaned"])
    wait_for_output(node, task, "begin")
    view = stop(node, task)
    assert (view["state"], view["outcome"], view["exitCode"]) == ("exited", "canceled", -1)
    assert node.output(task) == "begin\ncleaned\n"


def test_a_stop_right_after_the_start_always_cleans_up(node: Node) -> None:
    for _ in range(20):
        task = node.submit(parameters=["SLEEP 600", "CLEANUP", "ECHO cleaned"])
        stop(node, task)
        assert node.result(task)["outcome"] == "canceled"
        assert node.output(task) == "cleaned\n"


def test_a_stop_that_takes_long_says_so(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = node.sh(
        f"trap 'until [ -e {gate} ]; do sleep 0.02; done; exit 0' TERM; echo ready; "
        "while :; do sleep 0.05; done",
        gracePeriod=60,
    )
    wait_for_output(node, task, "ready")
    view = stop(node, task)
    assert view["state"] == "stopping"
    assert node.states()[task] == "stopping"
    assert [one["state"] for one in node.events()] == ["created", "running", "stopping"]
    gate.touch()
    result = node.result(task)
    assert (result["outcome"], result["exitCode"], result["returnCode"]) == ("canceled", -1, 0)


def test_what_ignores_the_stop_is_killed_after_the_grace_period(node: Node) -> None:
    task = node.sh("trap '' TERM; echo ready; while :; do sleep 0.05; done", gracePeriod=0.3)
    wait_for_output(node, task, "ready")
    stop(node, task)
    result = node.result(task)
    assert (result["outcome"], result["signal"]) == ("canceled", "SIGKILL")


def test_a_waiting_task_is_canceled_without_running(tmp_path: Path) -> None:
    with running_node(tmp_path / "work", TASK_RUNNER_MAX_RUNNING="1") as node:
        gate, ran = tmp_path / "gate", tmp_path / "ran"
        first = node.sh(f"until [ -e {gate} ]; do sleep 0.02; done")
        second = node.sh(f"touch {ran}")
        view = stop(node, second)
        assert (view["state"], view["outcome"], view["exitCode"]) == ("exited", "canceled", -1)
        assert view["startedAt"] is None
        gate.touch()
        assert node.result(first)["outcome"] == "succeeded"
        assert not ran.exists()


def test_a_stop_of_what_is_over_changes_nothing(node: Node) -> None:
    task = node.submit(parameters=["RETURN 3"])
    before = node.result(task)
    assert stop(node, task) == before
    assert len(node.events()) == 3


def test_a_time_out_cleans_up(node: Node) -> None:
    task = node.submit(parameters=["SLEEP 600", "CLEANUP", "ECHO cleaned"], timeout=0.3)
    result = node.result(task)
    assert (result["outcome"], result["exitCode"]) == ("timeout", -2)
    assert node.output(task) == "cleaned\n"


def test_a_time_out_holds_while_the_service_is_down(node: Node) -> None:
    task = node.sh("sleep 600", timeout=1)
    node.kill()
    wait_until(lambda: "finished_at" in node.status_file(task))
    node.start()
    assert node.result(task)["outcome"] == "timeout"


def test_many_stops_at_once(node: Node) -> None:
    task = node.submit(parameters=["SLEEP 600", "CLEANUP", "ECHO cleaned"])
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: node.http.post(f"/v1/tasks/{task}/stop"), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert node.output(task) == "cleaned\n"


def test_what_cannot_be_removed_by_python_is_removed(node: Node) -> None:
    deep = "import os\nfor _ in range(1500):\n os.mkdir('d')\n os.chdir('d')"
    task = node.submit("command", {"argv": [sys.executable, "-c", deep]})
    assert node.result(task)["outcome"] == "succeeded"
    assert node.http.delete(f"/v1/tasks/{task}").status_code == 200
    assert list((node.work_dir / ".staging").glob("*/*")) == []
