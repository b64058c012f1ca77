"""The service is killed, restarted and upgraded; its tasks do not care, and it finds them again."""

import os
import signal
from pathlib import Path

import pytest

from tests.node import Node, running_node
from tests.task_processes import kill_all_of
from tests.waiting import wait_until


def lines_of(node: Node, task_id: str) -> list[str]:
    return node.output(task_id).splitlines()


def wait_for_line(node: Node, task_id: str, line: str) -> None:
    wait_until(
        lambda: (
            (node.directory(task_id) / "output.log").exists() and line in lines_of(node, task_id)
        )
    )


def test_tasks_go_on_while_the_service_is_dead(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = node.sh(f"echo begin; until [ -e {gate} ]; do sleep 0.02; done; echo end; exit 7")
    wait_for_line(node, task, "begin")
    node.kill()
    gate.touch()
    wait_until(lambda: "finished_at" in node.status_file(task))
    node.start()
    result = node.result(task)
    assert (result["state"], result["outcome"], result["exitCode"]) == ("exited", "failed", 7)
    assert lines_of(node, task) == ["begin", "end"]


def test_a_running_task_is_found_again_and_its_end_is_seen(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = node.sh(f"echo begin; until [ -e {gate} ]; do sleep 0.02; done; echo end")
    before = node.view(task)
    node.kill()
    node.start()
    again = node.view(task)
    assert again["state"] == "running"
    assert (again["processId"], again["startedAt"]) == (before["processId"], before["startedAt"])
    gate.touch()
    assert node.result(task)["outcome"] == "succeeded"


def test_a_stop_goes_on_over_a_restart(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"trap 'until [ -e {gate} ]; do sleep 0.02; done; echo cleaned; exit 3' TERM"
    task = node.sh(f"{script}; echo ready; while :; do sleep 0.05; done", gracePeriod=60)
    wait_for_line(node, task, "ready")
    assert node.http.post(f"/v1/tasks/{task}/stop").json()["state"] == "stopping"
    node.kill()
    node.start()
    wait_until(lambda: node.states()[task] == "stopping")
    gate.touch()
    result = node.result(task)
    assert (result["outcome"], result["exitCode"], result["returnCode"]) == ("canceled", -1, 3)
    assert lines_of(node, task)[-1] == "cleaned"


@pytest.mark.parametrize("server", ["gunicorn"])
def test_waiting_tasks_start_after_a_restart_each_once(tmp_path: Path, server: str) -> None:
    with running_node(tmp_path / "work", server, TASK_RUNNER_MAX_RUNNING="1") as node:
        gate, ran = tmp_path / "gate", tmp_path / "ran"
        first = node.sh(f"until [ -e {gate} ]; do sleep 0.02; done")
        low = node.sh(f"echo low >> {ran}", priority=-1)
        plain = [node.sh(f"echo plain{i} >> {ran}") for i in range(3)]
        high = node.sh(f"echo high >> {ran}", priority=5)
        assert {node.states()[task] for task in (low, *plain, high)} == {"created"}
        node.kill()
        node.start()
        gate.touch()
        for task in (first, low, *plain, high):
            assert node.result(task)["outcome"] == "succeeded"
        assert ran.read_text().split() == ["high", "plain0", "plain1", "plain2", "low"]


def test_an_index_that_is_gone_is_made_anew(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    done = [node.submit(parameters=[f"RETURN {i}"], labels={"n": str(i)}) for i in range(5)]
    for task in done:
        node.result(task)
    running = node.sh(f"until [ -e {gate} ]; do sleep 0.02; done")
    node.kill()
    for path in node.work_dir.glob("index.sqlite*"):
        path.unlink()
    node.start()
    assert list(node.states()) == [*done, running]
    assert [node.view(task)["exitCode"] for task in done] == [0, 1, 2, 3, 4]
    found = node.http.get("/v1/tasks", params={"label": "n=3"}).json()
    assert [one["taskId"] for one in found] == [done[3]]
    gate.touch()
    assert node.result(running)["outcome"] == "succeeded"


def test_a_sound_index_is_kept_and_cursors_stay_good(node: Node) -> None:
    task = node.submit(parameters=["RETURN 0"], labels={"kind": "demo", "arch": "x86_64"})
    node.result(task)
    cursor = node.http.get("/v1/events", params={"cursor": "now"}).headers["Event-Cursor"]
    node.kill()
    node.start()
    assert not list(node.work_dir.glob("index.sqlite.*"))
    assert node.http.get("/v1/events", params={"cursor": cursor}).status_code == 200


def test_one_damaged_directory_does_not_hide_the_others(node: Node) -> None:
    good = node.submit(parameters=["ECHO good"])
    bad = node.submit(parameters=["ECHO bad"])
    node.result(good)
    node.result(bad)
    node.kill()
    (node.directory(bad) / "task.json").write_text("{")
    (node.directory(bad) / f"{bad}.result").write_text("nonsense")
    (node.work_dir / "task-empty").mkdir()
    for path in node.work_dir.glob("index.sqlite*"):
        path.unlink()
    node.start()
    assert node.result(good)["outcome"] == "succeeded"
    assert list(node.states()) == [good]


def test_a_machine_whose_task_runner_was_killed_is_adopted(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = node.sh(f"i=0; until [ -e {gate} ]; do echo $i; i=$((i+1)); sleep 0.01; done; echo end")
    wait_for_line(node, task, "3")
    old = node.view(task)["processId"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: node.status_file(task)["process_id"] != old)
    gate.touch()
    result = node.result(task)
    assert (result["state"], result["outcome"], result["exitCode"]) == ("exited", "unknown", None)
    *numbers, end = lines_of(node, task)
    assert end == "end"
    assert numbers == [str(i) for i in range(len(numbers))]


def test_a_task_of_which_nothing_is_left_is_lost(node: Node) -> None:
    task = node.sh("echo here; sleep 600")
    wait_for_line(node, task, "here")
    status = node.status_file(task)
    os.kill(status["process_id"], signal.SIGSTOP)  # so that it does not see the machine's end
    os.kill(status["machine"]["pid"], signal.SIGKILL)
    os.kill(status["process_id"], signal.SIGKILL)
    wait_until(lambda: node.view(task)["state"] == "lost")
    result = node.result(task)
    assert (result["outcome"], result["exitCode"]) == ("unknown", None)
    assert "finished_at" not in node.status_file(task)


def test_a_late_result_overrules_a_verdict(node: Node) -> None:
    task = node.sh("sleep 600")
    status = node.status_file(task)
    os.kill(status["process_id"], signal.SIGSTOP)
    os.kill(status["machine"]["pid"], signal.SIGKILL)
    os.kill(status["process_id"], signal.SIGKILL)
    wait_until(lambda: node.states()[task] == "lost")
    path = node.directory(task) / f"{task}.result"
    end = '"finished_at":"2026-01-01T00:00:00.000000+00:00","exit_code":0,"outcome":"succeeded"}'
    path.write_text(path.read_text().rstrip("}") + "," + end)
    result = node.view(task)
    assert (result["state"], result["outcome"], result["exitCode"]) == ("exited", "succeeded", 0)
    wait_until(lambda: node.states()[task] == "exited")


def test_the_fork_server_is_replaced(node: Node) -> None:
    node.result(node.submit(parameters=["ECHO one"]))
    assert node.process is not None
    for pid in fork_servers(node.process.pid):
        os.kill(pid, signal.SIGKILL)
    assert node.result(node.submit(parameters=["ECHO two"]))["outcome"] == "succeeded"


def fork_servers(master: int) -> list[int]:
    found = []
    for worker in Path(f"/proc/{master}/task/{master}/children").read_text().split():
        for thread in Path(f"/proc/{worker}/task").iterdir():
            found += [int(pid) for pid in (thread / "children").read_text().split()]
    assert found
    return found


def test_a_task_deleted_by_hand_is_forgotten(node: Node) -> None:
    task = node.submit(parameters=["ECHO x"])
    node.result(task)
    node.kill()
    for path in (node.directory(task) / "files", node.directory(task)):
        for file in path.iterdir():
            file.unlink() if file.is_file() else None
        if path.name == "files":
            path.rmdir()
    node.directory(task).rmdir()
    node.start()
    wait_until(lambda: task not in node.states())


def test_a_task_that_removed_its_status_file_is_not_started_again(
    node: Node, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    task = node.sh(f"echo x >> {ran}; rm $TASK_RUNNER_DIR/*.result; sleep 600")
    owner = node.view(task)["processId"]
    wait_until(lambda: not (node.directory(task) / f"{task}.result").exists())
    os.kill(owner, signal.SIGKILL)  # first: it must not see the end of its machine
    kill_all_of(node.directory(task))
    result = node.result(task)
    assert (result["state"], result["exitCode"]) == ("lost", None)
    assert ran.read_text() == "x\n"


def test_a_task_that_removes_its_directory_ends(node: Node) -> None:
    task = node.sh("rm -rf $TASK_RUNNER_DIR")
    wait_until(lambda: task not in node.states())
    assert node.result(node.submit(parameters=["ECHO on"]))["outcome"] == "succeeded"


def test_a_log_that_a_task_replaced_blocks_nobody(node: Node) -> None:
    task = node.sh("rm $TASK_RUNNER_DIR/output.log; mkfifo $TASK_RUNNER_DIR/output.log")
    node.result(task)
    for _ in range(8):  # more than there are threads
        assert node.log_of(task, tail=1) == b""
        assert node.log_of(task) == b""
    node.terminate(timeout=20)  # gunicorn kills after 30 seconds


def test_a_damaged_status_of_a_dead_task_is_lost_and_can_be_deleted(node: Node) -> None:
    task = node.sh("sleep 600")
    node.kill()
    kill_all_of(node.directory(task))
    (node.directory(task) / f"{task}.result").write_bytes(b"")
    node.start()
    assert node.result(task)["state"] == "lost"
    assert node.http.delete(f"/v1/tasks/{task}").json() == {"success": True}


def test_a_stop_reaches_a_task_runner_that_was_stopped(node: Node) -> None:
    task = node.sh("sleep 600")
    os.kill(node.status_file(task)["process_id"], signal.SIGSTOP)
    node.http.post(f"/v1/tasks/{task}/stop")
    assert node.result(task)["outcome"] == "canceled"


def test_a_task_that_removes_its_lock_gets_no_second_task_runner(
    node: Node, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    task = node.sh(f"rm $TASK_RUNNER_DIR/lock; until [ -e {gate} ]; do sleep 0.02; done; echo end")
    wait_until(lambda: not (node.directory(task) / "lock").exists())
    owner = node.status_file(task)["process_id"]
    node.kill()
    node.start()
    wait_until((node.directory(task) / "lock").exists)  # a second one has come by
    gate.touch()
    assert node.result(task)["outcome"] == "succeeded"
    assert node.status_file(task)["process_id"] == owner
    assert node.output(task) == "end\n"
