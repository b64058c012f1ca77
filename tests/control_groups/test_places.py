"""Where a node can make groups for its tasks, and where it had better not."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_groups.groups import CHECKOUT, ROOT, make_unit, started_in
from tests.node import Node
from tests.task_processes import kill_all_of

USER = 1000
LIMITS = {"cpu": 0.5, "memory": 64 << 20, "pids": 20}
PLACE = """
cd /sys/fs/cgroup$(sed s/^0::// /proc/self/cgroup)
cat memory.max memory.swap.max pids.max cpu.max
pwd
"""


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Path:
    """Give the group of a unit of this test alone."""
    return ROOT / str(request.node.name)


@pytest.fixture
def node() -> Iterator[Node]:
    """Give a node that is not started, in a directory that other users can reach."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o777)
        node = Node(Path(scratch) / "work")
        yield node
        node.close()
        kill_all_of(Path(scratch))


def in_foreground(group: Path, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run a task that tells where it is, with all limits, by a TaskRunner in a group."""
    task = {"machine": "command", "parameters": {"script": PLACE}, "limits": LIMITS}
    (scratch / "task.json").write_text(json.dumps(task))
    argv = [sys.executable, "-m", "task_runner.lib.runner", "task.json"]
    env = {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(
        started_in(group, argv), cwd=scratch, env=env, capture_output=True, text=True, check=False
    )


def held_in(place: Path, said: str) -> str:
    """Return the name of the group that a task was in, which is gone now."""
    *values, path = said.splitlines()
    assert values == [str(LIMITS["memory"]), "0", str(LIMITS["pids"]), "50000 100000"]
    assert Path(path).parent == place
    assert not Path(path).exists()
    return Path(path).name


def test_a_unit_of_a_user(node: Node, place: Path) -> None:
    """As systemd leaves it after a reload, with a group for the command that did it."""
    group = make_unit(place, "service", USER)
    make_unit(place, ".control", USER)
    node.argv = started_in(group, node.argv, USER)
    task = node.start().submit("command", {"script": PLACE}, limits=LIMITS)
    assert node.result(task)["outcome"] == "succeeded"
    assert held_in(place, node.log_of(task).decode()).startswith(f"task-{task}")


def test_the_root_of_all(tmp_path: Path) -> None:
    """As of a computer without systemd; only there the processes of a node are not in the way."""
    held_in(ROOT, in_foreground(ROOT, tmp_path).stdout)


def test_a_unit_without_a_group_for_the_node(place: Path, tmp_path: Path) -> None:
    """Were anything handed out there, systemd could not start the node in it again."""
    said = in_foreground(make_unit(place, ""), tmp_path).stderr
    assert "cannot be held here: it takes a control group" in said
    assert (place / "cgroup.subtree_control").read_text() == ""
