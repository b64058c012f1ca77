"""The disk of the work directory is full, really, and has space again later."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import Node
from tests.task_processes import is_running, kill_all_of
from tests.waiting import wait_until

SIZE = 4 << 20


class Disk:
    """A file system of 4 MiB, which can be filled up (these tests run as root)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
        subprocess.run(["mount", *options], check=True)

    def fill(self) -> None:
        with (self.path / "filler").open("ab", buffering=0) as filler:
            for block in (bytes(65536), bytes(4096), b"x"):
                try:
                    while True:
                        filler.write(block)
                except OSError:
                    continue

    def empty(self) -> None:
        (self.path / "filler").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    yield disk
    kill_all_of(tmp_path)
    disk.close()


@pytest.fixture
def node(disk: Disk, tmp_path: Path) -> Iterator[Node]:
    node = Node(disk.path / "work", TASK_RUNNER_MIN_FREE_BYTES="0")
    node.log = tmp_path / "node.log"
    try:
        yield node.start()
    finally:
        node.close()


def gated(node: Node, gate: Path, then: str) -> str:
    task = node.sh(f"echo begin; until [ -e {gate} ]; do sleep 0.02; done; {then}")
    wait_until(lambda: node.output(task) == "begin\n")
    return task


def test_output_and_result_wait_for_space(node: Node, disk: Disk, tmp_path: Path) -> None:
    task = gated(node, tmp_path / "gate", "seq 20000; exit 7")
    disk.fill()
    (tmp_path / "gate").touch()
    wait_until((node.directory(task) / "runner.log").exists)  # as far as that can be written
    assert node.view(task)["state"] == "running"
    disk.empty()
    view = node.result(task)
    assert (view["outcome"], view["exitCode"]) == ("failed", 7)
    assert node.output(task) == "begin\n" + "".join(f"{n}\n" for n in range(1, 20001))


def test_a_submission_is_refused_and_leaves_nothing(node: Node, disk: Disk) -> None:
    before = set(node.states())
    disk.fill()
    for _ in range(3):
        answer = node.http.post("/v1/tasks", json={"machine": "echo", "parameters": ["ECHO x"]})
        assert answer.status_code in {503, 507}
        assert answer.json()["detail"]
    assert node.http.get("/livez").status_code == 200
    disk.empty()
    assert node.result(node.submit(parameters=["RETURN 4"]))["exitCode"] == 4
    assert len(set(node.states()) - before) == 1
    assert len(list(node.work_dir.glob("task-*"))) == 1


def test_a_running_task_can_be_stopped(node: Node, disk: Disk, tmp_path: Path) -> None:
    task = gated(node, tmp_path / "gate", "true")
    machine = node.status_file(task)["machine"]["pid"]
    disk.fill()
    assert node.http.post(f"/v1/tasks/{task}/stop").status_code in {200, 503}
    wait_until(lambda: not is_running(machine))
    assert node.view(task)["finishedAt"] is None, "it cannot be written yet, and so is not told"
    disk.empty()
    assert node.http.post(f"/v1/tasks/{task}/stop").status_code == 200
    assert node.result(task)["outcome"] == "canceled"


def test_a_restart_on_a_full_disk_finds_every_task(node: Node, disk: Disk, tmp_path: Path) -> None:
    done = node.submit(parameters=["RETURN 3"])
    node.result(done)
    task = gated(node, tmp_path / "gate", "echo end; exit 7")
    node.kill()
    disk.fill()
    node.begin()
    disk.empty()
    wait_until(lambda: has_given_up(node) or node.is_ready())
    if has_given_up(node):  # it had said that the disk is full
        assert "No space left" in node.log.read_text()
        node.start()
    (tmp_path / "gate").touch()
    assert node.result(task)["exitCode"] == 7
    assert node.result(done)["exitCode"] == 3
    assert node.output(task) == "begin\nend\n"


def has_given_up(node: Node) -> bool:
    return node.process is not None and node.process.poll() is not None


def test_a_finished_task_can_be_deleted_to_make_room(node: Node, disk: Disk) -> None:
    task = node.sh("head -c 1000000 /dev/zero")
    node.result(task)
    disk.fill()
    assert node.http.delete(f"/v1/tasks/{task}").status_code == 200
    assert node.result(node.submit(parameters=["RETURN 4"]))["exitCode"] == 4


def test_a_read_only_work_directory_is_told_with_what_helps(disk: Disk, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
    node = Node(disk.path / "work")
    node.log = tmp_path / "node.log"
    node.begin()
    wait_until(lambda: has_given_up(node))
    assert "Read-only file system" in node.log.read_text()
    assert "TASK_RUNNER_WORK_DIR" in node.log.read_text()
    node.close()
