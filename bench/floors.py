"""Runs the floors of floor_parent.py in a process and a cgroup of their own."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

from bench import floor_parent
from bench.cpu import Group


class FloorRun(NamedTuple):
    """How long all of a run and each single one took, and the CPU time of all processes."""

    seconds: float
    each: list[float]
    cpu: float


class Floors:
    """The parent of all floor processes; use it with `with`."""

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, exist_ok=True)
        self._directory = directory
        self._runs = 0
        self._group = Group(os.path.basename(directory))
        self._parent = subprocess.Popen(
            self._group.command([sys.executable, "-S", "-E", floor_parent.__file__]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, kind: str, count: int, in_flight: int) -> FloorRun:
        """Do `count` of a kind ("fork", "pair" or "exec"), at most so many at a time."""
        self._runs += 1
        directory = f"{self._directory}/{self._runs}"
        os.mkdir(directory)
        request = {"kind": kind, "count": count, "in_flight": in_flight, "directory": directory}
        before = self._group.seconds()
        answer = json.loads(self._ask(json.dumps(request)))
        spent = self._group.seconds() - before
        return FloorRun(answer["seconds"], answer["each"], spent)

    def _ask(self, line: str) -> str:
        if self._parent.stdin is None or self._parent.stdout is None:
            raise RuntimeError("the pipes of the floors are missing")
        print(line, file=self._parent.stdin, flush=True)
        return self._parent.stdout.readline()

    def close(self) -> None:
        self._parent.kill()
        self._parent.communicate()
        self._group.close()

    def __enter__(self) -> "Floors":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
