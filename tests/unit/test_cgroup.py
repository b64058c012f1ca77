"""Against directories with the files of control groups: the kernel's own need a host that has them.

What the kernel does (kill, refuse to fork, remove the files with the group) is done by the tests.
"""

from pathlib import Path

import pytest

from task_runner.lib import cgroup

ALL = frozenset({"memory", "cpu", "pids"})


def group(path: Path, controllers: str = "cpuset cpu io memory pids", handed_out: str = "") -> Path:
    path.mkdir()
    (path / "cgroup.controllers").write_text(f"{controllers}\n")
    (path / "cgroup.subtree_control").write_text(f"{handed_out}\n")
    for name in ("cgroup.procs", "memory.max", "memory.swap.max", "pids.max", "cpu.max"):
        (path / name).write_text("")
    return path


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Give a group with all controllers handed out, as systemd delegates it; the node is below."""
    unit = group(tmp_path / "task-runner.service", handed_out="cpu memory pids")
    group(unit / "service")
    return unit


def test_the_own_group_is_below_the_mounted_tree() -> None:
    own = cgroup.own()
    assert own is None or (Path(own) / "cgroup.procs").exists()


def test_groups_are_made_beside_that_of_the_node(unit: Path) -> None:
    assert cgroup.base_of(str(unit / "service")) == (str(unit), ALL)


def test_groups_of_tasks_are_no_strangers(unit: Path) -> None:
    group(unit / "task-a-1")
    assert cgroup.base_of(str(unit / "service")) == (str(unit), ALL)


def test_a_group_with_others_in_it_is_not_ours(unit: Path) -> None:
    group(unit / "sshd.service")
    assert cgroup.base_of(str(unit / "service")) is None


def test_groups_are_made_below_that_of_the_node_where_it_hands_out(tmp_path: Path) -> None:
    own = group(tmp_path / "own", controllers="io memory", handed_out="memory")
    assert cgroup.base_of(str(own)) == (str(own), frozenset({"memory"}))


def test_what_is_there_is_handed_out(tmp_path: Path) -> None:
    """The kernel takes `+memory` and shows `memory`; a file keeps what was written last."""
    own = group(tmp_path / "own", controllers="memory")
    assert cgroup._hand_out(str(own)) == {"+memory"}


@pytest.mark.parametrize("controllers", ["", "cpuset io"])
def test_nothing_is_held_without_controllers(tmp_path: Path, controllers: str) -> None:
    own = group(tmp_path / "own", controllers=controllers)
    assert cgroup.base_of(str(own)) is None


def test_nothing_is_held_without_groups(tmp_path: Path) -> None:
    assert cgroup.base_of(None) is None
    assert cgroup.base_of(str(tmp_path / "missing")) is None


def test_a_group_has_its_limits_and_its_process(unit: Path) -> None:
    made = group(unit / "task-a-1")
    limits = {"memory": 1 << 30, "pids": 7, "cpu": 1.5}
    assert cgroup.make(str(unit), "a-1", limits) == str(made)
    assert (made / "memory.max").read_text() == str(1 << 30)
    assert (made / "memory.swap.max").read_text() == "0"
    assert (made / "pids.max").read_text() == "7"
    assert (made / "cpu.max").read_text() == "150000 100000"
    cgroup.enter(str(made), 123)
    assert (made / "cgroup.procs").read_text() == "123"


def test_a_limit_that_cannot_be_set_is_an_error(unit: Path) -> None:
    with pytest.raises(FileNotFoundError):  # the fake kernel has put no files into it
        cgroup.make(str(unit), "a-1", {"pids": 7})


@pytest.mark.parametrize(
    ("events", "kills"),
    [("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n", 2), ("oom 0\noom_kill 0\n", 0), ("", 0)],
)
def test_kills_for_memory_are_counted(tmp_path: Path, events: str, kills: int) -> None:
    (tmp_path / "memory.events").write_text(events)
    assert cgroup.oom_kills(str(tmp_path)) == kills


def test_a_group_that_is_gone_has_killed_nobody_and_is_removed_again(tmp_path: Path) -> None:
    assert cgroup.oom_kills(str(tmp_path / "gone")) == 0
    (tmp_path / "there").mkdir()
    for name in ("there", "there"):
        cgroup.remove(str(tmp_path / name))
    assert not (tmp_path / "there").exists()
