"""What is read of a control group from inside it."""

import os
from pathlib import Path

import pytest

from task_runner.isolation import container_memory

VERSION_1, VERSION_2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


def group(root: Path, place: str, *processes: int, **counters: str) -> None:
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / place / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in processes))
    for name, text in counters.items():
        (root / place / name.replace("_", ".", 1)).write_text(text)


@pytest.mark.parametrize("killed", [0, 2])
def test_both_versions_count(tmp_path: Path, killed: int) -> None:
    text = f"under_oom 0\noom_kill {killed}\n"
    group(tmp_path / "1", VERSION_1, 1, os.getpid(), memory_oom_control=text)
    assert container_memory.kills(f"{tmp_path}/1") == killed
    text = f"low 0\noom 3\noom_kill {killed}\noom_group_kill 5\n"
    group(tmp_path / "2", VERSION_2, os.getpid(), memory_events=text)
    assert container_memory.kills(f"{tmp_path}/2") == killed


def test_the_group_of_others_is_not_asked(tmp_path: Path) -> None:
    group(tmp_path, VERSION_1, os.getpid() + 1, memory_oom_control="oom_kill 3\n")
    group(tmp_path, VERSION_2, memory_events="oom_kill 3\n")
    assert container_memory.kills(str(tmp_path)) == 0


def test_what_cannot_be_seen_is_not_told(tmp_path: Path) -> None:
    assert container_memory.kills(str(tmp_path)) == 0
    group(tmp_path, VERSION_2, os.getpid())
    assert container_memory.kills(str(tmp_path)) == 0
    group(tmp_path, VERSION_2, os.getpid(), memory_events="oom 0\n")
    assert container_memory.kills(str(tmp_path)) == 0
