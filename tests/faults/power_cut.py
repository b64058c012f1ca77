"""What happens in a guest before and after its power is cut; see test_power_cut.py."""

import functools
import json
import os
import sys
from pathlib import Path

from tests.guest import Guest
from tests.node import Json, Node, running_node
from tests.waiting import wait_until

DISK = Path("/mnt/disk")
ACCEPTED, RAN, CUT = (Guest.SHARED / name for name in ("accepted", "ran", "cut"))
SLOTS = 3
SCRIPT = f"echo $TASK_RUNNER_TASK_ID >> {RAN}; sync {RAN}; "
LONG = f"[ -e {CUT} ] || sleep 1000; exit 7"
"""Ends only after the cut."""


def accept(node: Node, end: str) -> str:
    """Submit a task, and note for good that it was accepted."""
    task = node.sh(SCRIPT + end)
    note(task)
    return task


def note(*tasks: str) -> None:
    with ACCEPTED.open("a") as file:
        print(*tasks, sep="\n", file=file, flush=True)
        os.fsync(file.fileno())


def before(node: Node) -> None:
    """Have tasks that are over, that run, and that wait; there they are."""
    for _ in range(SLOTS):
        node.result(accept(node, "exit 7"))
    for _ in range(SLOTS):
        accept(node, LONG)
    wait_until(lambda: len(RAN.read_text().split()) == 2 * SLOTS)
    for _ in range(SLOTS):
        accept(node, LONG)
    wait_until(CUT.exists)  # which it will not see


def begun(node: Node) -> None:
    """Have tasks that have just begun, after which nothing was written to the disk."""
    tasks = [node.sh(SCRIPT + LONG) for _ in range(SLOTS)]
    wait_until(lambda: RAN.exists() and len(RAN.read_text().split()) == SLOTS)
    note(*tasks)
    wait_until(CUT.exists)


def after(node: Node) -> None:
    """Tell what has become of them."""

    def over(task: str) -> Json | None:
        view = node.view(task, wait=10)
        return view if view["state"] in {"exited", "lost"} else None

    tasks = ACCEPTED.read_text().split()
    print(json.dumps([wait_until(functools.partial(over, task)) for task in tasks]))


if __name__ == "__main__":
    with running_node(DISK / "work", TASK_RUNNER_MAX_RUNNING=str(SLOTS)) as node:
        {"before": before, "begun": begun, "after": after}[sys.argv[1]](node)
