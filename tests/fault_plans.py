"""What a test plans to go wrong at the fault points of `task_runner.lib.fault_points`."""

import json
from pathlib import Path
from typing import NamedTuple

from task_runner.lib.fault_points import FIRED, Step


class Fired(NamedTuple):
    """A fault that has happened."""

    step: Step
    fault: str
    pid: int
    path: str


class Plans:
    """A directory of plans; a node follows it when it is started with `settings`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        self.directory = directory
        self.settings = {"TASK_RUNNER_FAULT_POINTS": str(directory)}

    def add(
        self, step: Step, fault: str, path: str = "", *, skip: int = 0, once: bool = True
    ) -> None:
        """Plan a fault for the next process that reaches the step with this path."""
        plan = {"fault": fault, "path": path, "skip": skip, "once": once}
        draft = self.directory / f".{step}"
        draft.write_text(json.dumps(plan))
        draft.rename(self.directory / step)

    def remove(self, step: Step) -> None:
        (self.directory / step).unlink(missing_ok=True)

    def fired(self, step: Step | None = None) -> list[Fired]:
        """Return what has happened so far, in order."""
        path = self.directory / FIRED
        lines = path.read_text().splitlines() if path.exists() else []
        fields = [line.split(" ", 3) for line in lines]
        found = [Fired(Step(one[0]), one[1], int(one[2]), one[3]) for one in fields]
        return [one for one in found if step in (None, one.step)]
