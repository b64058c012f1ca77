"""Against directories with the files of control groups; see tests/control_groups for the kernel's.

What the kernel does (hand out, kill, remove the files with the group) is done by the tests.
"""

from pathlib import Path

import pytest

from task_runner.lib import cgroup

ALL = frozenset({"memory", "cpu", "pids"})


def group(path: Path, controllers: str = "cpuset cpu io memory pids", handed_out: str = "") -> Path:
    path.mkdir()
    (path / "cgroup.controllers").write_text(f"{controllers}\n")
    (path / "cgroup.subtree_control").write_text(f"{handed_out}\n")
    for name in ("cgroup.procs", "cgroup.type"):
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


@pytest.mark.parametrize("name", ["task-a-1", ".control"])
def test_groups_of_tasks_and_of_a_reload_are_no_strangers(unit: Path, name: str) -> None:
    group(unit / name)
    assert cgroup.base_of(str(unit / "service")) == (str(unit), ALL)


def test_a_group_with_others_in_it_is_not_ours(unit: Path) -> None:
    group(unit / "sshd.service")
    assert cgroup.base_of(str(unit / "service")) is None


def test_a_slice_is_not_ours(tmp_path: Path) -> None:
    slice_ = group(tmp_path / "user-0.slice", handed_out="memory")
    group(slice_ / "session-1.scope")
    assert cgroup.base_of(str(slice_ / "session-1.scope")) is None


def test_nothing_is_handed_out_where_the_node_is(unit: Path) -> None:
    assert cgroup.base_of(str(unit)) is None


def test_groups_are_made_below_the_root(tmp_path: Path) -> None:
    root = group(tmp_path / "root", controllers="io memory", handed_out="memory")
    (root / "cgroup.type").unlink()
    group(root / "stranger")
    assert cgroup.base_of(str(root)) == (str(root), frozenset({"memory"}))


def test_what_is_there_is_handed_out(unit: Path) -> None:
    """The kernel takes `+memory` and shows `memory`; a file keeps what was written last."""
    (unit / "cgroup.subtree_control").write_text("cpu\n")
    assert cgroup._hand_out(str(unit)) == {"+memory", "+pids"}


@pytest.mark.parametrize("controllers", ["", "cpuset io"])
def test_nothing_is_held_without_controllers(unit: Path, controllers: str) -> None:
    for name in ("cgroup.controllers", "cgroup.subtree_control"):
        (unit / name).write_text(controllers)
    assert cgroup.base_of(str(unit / "service")) is None


def test_nothing_is_held_without_groups(tmp_path: Path) -> None:
    assert cgroup.base_of(None) is None
    assert cgroup.base_of(str(tmp_path / "missing")) is None


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
