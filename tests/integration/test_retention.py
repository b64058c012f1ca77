"""Finished tasks go by age, number and size; never one that runs, is read or is waited for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from task_runner.lib.fault_points import Step
from tests.fault_plans import Plans
from tests.node import Json, Node, running_node
from tests.waiting import wait_until

LARGE = 20_000_000
"""Bytes of a log: far more than sockets take while nobody reads."""


@contextmanager
def retaining_node(
    tmp_path: Path, *options: str, plans: Plans | None = None, **limits: float
) -> Iterator[Node]:
    settings = {f"TASK_RUNNER_RETAIN_{name.upper()}": str(value) for name, value in limits.items()}
    settings |= plans.settings if plans else {}
    with running_node(tmp_path / "work", "gunicorn", *options, **settings) as node:
        yield node


def finish(node: Node, task_id: str, script: str = "true", **fields: object) -> str:
    node.sh(script, taskId=task_id, **fields)
    wait_until(lambda: node.states().get(task_id, "exited") == "exited")
    return task_id


def left(node: Node) -> set[str]:
    """Return the tasks that are there, once index and directories say the same."""

    def paths() -> set[str]:
        return {path.name.removeprefix("task-") for path in node.work_dir.glob("task-*")}

    wait_until(lambda: paths() == set(node.states()))
    return paths()


def is_held(node: Node, task_id: str) -> bool:
    """Say whether somebody reads a task, without a lock that would keep him out."""
    inode = node.directory(task_id).stat().st_ino
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(one[1] == "FLOCK" and one[5].endswith(f":{inode}") for one in locks)


@contextmanager
def waiting_for_go(node: Node, task_id: str) -> Iterator[Path]:
    node.sh("until [ -e go ]; do sleep 0.01; done", taskId=task_id)
    go = node.directory(task_id) / "files/go"
    yield go
    go.touch()


def test_by_number(tmp_path: Path) -> None:
    with retaining_node(tmp_path, count=2) as node, waiting_for_go(node, "runs"):
        for number in range(5):
            finish(node, f"t{number}")
        wait_until(lambda: set(node.states()) == {"runs", "t3", "t4"})
        assert left(node) == {"runs", "t3", "t4"}
        deleted = [one["taskId"] for one in node.events() if one["state"] == "deleted"]
        assert sorted(deleted) == ["t0", "t1", "t2"]
        metrics = node.http.get("/metrics").text.splitlines()
        assert 'task_runner_removed_total{reason="count"} 3.0' in metrics


def test_by_age(tmp_path: Path) -> None:
    with retaining_node(tmp_path, seconds=3600) as node:
        finish(node, "young")
    with retaining_node(tmp_path, seconds=0.2) as node, waiting_for_go(node, "runs"):
        finish(node, "old")
        wait_until(lambda: set(node.states()) == {"runs"})
        assert left(node) == {"runs"}


def test_by_size(tmp_path: Path) -> None:
    """The oldest end goes first, whenever it was submitted."""
    with running_node(tmp_path / "work") as node:
        with waiting_for_go(node, "first-and-last"):
            finish(node, "large", "head -c 3000000 /dev/zero > file")
            finish(node, "log", "head -c 3000000 /dev/zero")
        wait_until(lambda: node.states()["first-and-last"] == "exited")
    with retaining_node(tmp_path, bytes=4_000_000) as node:
        wait_until(lambda: set(node.states()) == {"log", "first-and-last"})
        assert left(node) == {"log", "first-and-last"}
    with retaining_node(tmp_path, bytes=0) as node:
        wait_until(lambda: node.states() == {})
        assert left(node) == set()


def test_nothing_goes_by_default(node: Node) -> None:
    assert finish(node, "kept") in left(node)
    assert "retention" not in node.log.read_text()


@pytest.mark.parametrize("query", [{}, {"follow": "true"}])
def test_who_reads_a_log_gets_all_of_it(tmp_path: Path, query: dict[str, str]) -> None:
    """The reader is served by one worker, and the retention of another one sees it."""
    with running_node(tmp_path / "work") as node:
        finish(node, "read", f"head -c {LARGE} /dev/zero | tr '\\0' '\\n'")
        finish(node, "other")
        with (
            node.http.stream("GET", "/v1/tasks/read/log", params=query) as answer,
            running_node(tmp_path / "work", TASK_RUNNER_RETAIN_COUNT="0") as another,
        ):
            wait_until(lambda: set(another.states()) == {"read"})
            finish(another, "another")
            wait_until(lambda: set(another.states()) == {"read"})
            assert b"".join(answer.iter_bytes()) == b"\n" * LARGE
            wait_until(lambda: another.states() == {})


def test_who_waits_is_told_everything(tmp_path: Path) -> None:
    with retaining_node(tmp_path, "--workers=2", seconds=0) as node:
        views: list[Json] = []
        for number in range(10):
            with waiting_for_go(node, f"t{number}") as go:
                waiting = threading.Thread(
                    target=lambda name: views.append(node.view(name, wait=30)),
                    args=(f"t{number}",),
                )
                waiting.start()
                wait_until(partial(is_held, node, f"t{number}"))
                go.touch()
                waiting.join()
        assert [view["outcome"] for view in views] == ["succeeded"] * 10
        assert all(view["parameters"] for view in views)
        wait_until(lambda: node.states() == {})


def test_workers_do_not_fight(tmp_path: Path) -> None:
    with running_node(tmp_path / "work") as node:
        ids = [finish(node, f"t{number}") for number in range(30)]
    with retaining_node(tmp_path, "--workers=3", count=0) as node:
        wait_until(lambda: node.states() == {})
        deleted = [one["taskId"] for one in node.events() if one["state"] == "deleted"]
        assert sorted(deleted) == sorted(ids)
        assert left(node) == set()
        assert "Traceback" not in node.log.read_text()


@pytest.mark.parametrize("step", [Step.BURY, Step.REMOVE_FILES, Step.FORGET])
@pytest.mark.parametrize("by", ["delete", "retention"])
def test_killed_half_way(tmp_path: Path, step: Step, by: str) -> None:
    """Another worker ends what was begun; what was not begun is whole."""
    plans = Plans(tmp_path / "plans")
    with running_node(tmp_path / "work") as node:
        finish(node, "gone", "touch file")
        finish(node, "kept", "touch file")
    plans.add(step, "SIGKILL", "task-gone")
    limits = {"count": 1} if by == "retention" else {"count": 2}
    with retaining_node(tmp_path, plans=plans, **limits) as node:
        if by == "delete":
            with pytest.raises(Exception, match=r"disconnect|closed|reset"):
                node.http.delete("/v1/tasks/gone")
        wait_until(lambda: plans.fired(step))
        wait_until(node.is_ready)
        if by == "delete" and step is Step.BURY:
            assert node.result("gone")["outcome"] == "succeeded"
            node.http.delete("/v1/tasks/gone")
        wait_until(lambda: set(node.states()) == {"kept"})
        assert left(node) == {"kept"}
        assert (node.directory("kept") / "files/file").exists()
        staging = node.work_dir / ".staging"
        wait_until(lambda: [[*one.iterdir()] for one in staging.iterdir()] == [[]])
