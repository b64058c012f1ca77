"""Groups of the kernel as systemd makes them for a unit, and what is in them."""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.node import Node

ROOT = Path("/sys/fs/cgroup")
UNIT = ROOT / "task-runner.service"
NODE = UNIT / "service"
"""A unit with `Delegate=` and `DelegateSubgroup=service`. The processes of the tests are in it."""
DELEGATED = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
"""What systemd gives to the user of such a unit, see systemd's CGROUP_DELEGATION."""
CHECKOUT = Path(__file__).parent.parent.parent


def make_unit(path: Path, subgroup: str, owner: int = 0) -> Path:
    """Make the group of another unit; return the one that its processes begin in."""
    (path / subgroup).mkdir(parents=True)
    for name in DELEGATED:
        os.chown(path / name, owner, owner)
    return path / subgroup


def started_in(group: Path, argv: list[str], user: int = 0) -> list[str]:
    """Return what runs a program in a group, as a user who can read what is root's alone."""
    enter = ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"))
    rights = ("--ambient-caps=+dac_read_search", "--inh-caps=+dac_read_search")
    become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *rights)
    return [*enter, *(become if user else ()), *argv]


def groups_in(unit: Path) -> set[str]:
    """Return the groups of tasks."""
    return {path.name for path in unit.glob("task-*")}


def group_of(node: Node, task: str) -> Path:
    """Return the group of a task that has begun."""
    return Path(node.status_file(task)["cgroup"])


def processes_in(group: Path) -> list[int]:
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


def numbers_in(group: Path, name: str) -> Mapping[str, int]:
    """Return what a file with lines of a name and a number says."""
    lines = (group / name).read_text().splitlines()
    return {key: int(number) for key, number in (line.split() for line in lines)}
