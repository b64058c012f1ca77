"""The audit: what must hold at the end of a chaos run, whatever was broken."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults.chaos.client import Accepted

FILES = {
    "task.json",
    "stop.json",
    "verdict.json",
    "lock",
    "output.log",
    "output.idx",
    "runner.log",
    "script",
    "files",
}
TRACEBACK = b"Traceback (most recent call last):\n"
"""After this, the log of a Python machine that raised tells of the code, not of the plan."""


def problems_of(task: Accepted, times_run: int, *, orphaned: bool) -> Iterator[str]:
    """Yield what is wrong with a task; `orphaned` says that its TaskRunner was killed."""
    chore, view = task.chore, task.view
    true_result = (view["outcome"], view["exitCode"]) == (chore.outcome, chore.exit_code)
    unknown = (view["outcome"], view["exitCode"]) == ("unknown", None)
    if not (true_result or (unknown and orphaned)):
        yield f"it is {view['state']}, {view['outcome']} with {view['exitCode']}: {view['error']}"
    must_run = chore.runs and view["outcome"] in {"succeeded", "failed", "crashed"}
    if times_run > 1 or (must_run and times_run == 0):
        yield f"it ran {times_run} times"
    output = task.output.partition(TRACEBACK)[0]
    if not chore.output.startswith(output):
        yield f"its log is wrong: {_difference(output, chore.output)}"
    elif output != chore.output and _is_complete(task):
        yield f"its log has {len(output)} bytes of {len(chore.output)}"


def _is_complete(task: Accepted) -> bool:
    """Say whether the log has to have everything.

    What was in the pipe is gone when TaskRunner and machine both are, before another one came.
    """
    return task.view["state"] != "lost" and task.chore.outcome not in {"canceled", "timeout"}


def _difference(found: bytes, wanted: bytes) -> str:
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(found, wanted, strict=False))
    place = sum(1 for _ in same)
    around = slice(max(0, place - 40), place + 40)
    return f"at byte {place}: {found[around]!r}, not {wanted[around]!r}"


def files_left(work_dir: Path) -> list[str]:
    """Return what is in the work directory that must not be there when nothing runs any more."""
    left = [str(path.relative_to(work_dir)) for path in (work_dir / ".staging").iterdir()]
    for directory in work_dir.glob("task-*"):
        expected = {*FILES, f"{directory.name.removeprefix('task-')}.result"}
        left += [
            f"{directory.name}/{name}" for name in os.listdir(directory) if name not in expected
        ]
    return left


def read_ledger(ledger: Path) -> Counter[str]:
    """Return how often each task has run."""
    return Counter(ledger.read_text().split())
