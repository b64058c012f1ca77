"""A node with fault points, a client that retries, and what must hold whatever has gone wrong."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from task_runner.lib.fault_points import Step
from tests.fault_plans import Plans
from tests.node import Json, Node, running_node
from tests.task_processes import is_stopped, kill_all_of, processes_of
from tests.waiting import wait_until

LINES = 2000
OUTPUT = b"".join(b"%d\n" % n for n in range(1, LINES + 1))
FILES = {
    "files", "lock", "output.idx", "output.log", "runner.log", "stop.json", "task.json",
    "verdict.json",
}  # fmt: skip
"""What may be in the directory of a task that is over, besides its status file."""


class Site(NamedTuple):
    """A node that follows plans."""

    node: Node
    plans: Plans
    scratch: Path

    def ask(self, method: str, path: str, *fine: int, **options: Any) -> Json:
        """Ask as a client does that retries until it gets one of the answers that will do."""

        def answer() -> Json | None:
            try:
                answer = self.node.http.request(method, path, **options)
            except httpx2.TransportError:  # the worker was killed; its server starts another
                return None
            said: Json = answer.json()
            assert answer.status_code < 500 or said["detail"], "an error is explained"
            return {"code": answer.status_code, **said} if answer.status_code in fine else None

        found = wait_until(answer, timeout=60)
        assert found is not None
        return found

    def plan(self, step: Step, fault: str, task_id: str, *, once: bool = True) -> None:
        path = "" if step is Step.COMMIT else task_id
        self.plans.add(step, fault, path, once=once)

    def submit(self, task_id: str, end: str, **fields: Any) -> None:
        """Submit a task that notes that it ran, prints `OUTPUT`, and then does `end`."""
        script = f"exec 2>/dev/null; echo ran >> {self.scratch / task_id}; seq {LINES}; {end}"
        task = {"machine": "command", "parameters": {"argv": ["sh", "-c", script]}, **fields}
        self.ask("POST", "/v1/tasks", 201, json={"taskId": task_id, "gracePeriod": 5, **task})

    def stopped_at(self, step: Step, task_id: str) -> int:
        """Wait until a process has stopped itself, as planned; return its pid."""

        def found() -> list[int]:
            fired = [one.pid for one in self.plans.fired(step) if task_id in one.path]
            return [pid for pid in fired if is_stopped(pid)]

        return wait_until(found)[-1]

    def times_run(self, task_id: str) -> int:
        path = self.scratch / task_id
        return len(path.read_text().splitlines()) if path.exists() else 0

    def is_over(self, task_id: str) -> bool:
        view = self.ask("GET", f"/v1/tasks/{task_id}?wait=10", 200)
        return view["state"] in ("exited", "lost")

    def accounted(self, task_id: str) -> Json:
        """Wait for the end of a task, and return how it is then."""
        wait_until(lambda: self.is_over(task_id), timeout=60)
        return self.ask("GET", f"/v1/tasks/{task_id}", 200)

    def accounted_for(self, task_id: str) -> Json:
        """Wait for the end of a task, and check all that must hold whatever has happened."""
        view = self.accounted(task_id)
        directory, times = self.node.directory(task_id), self.times_run(task_id)
        wait_until(lambda: not processes_of(directory))
        wait_until(lambda: set(os.listdir(directory)) <= FILES | {f"{task_id}.result"})
        assert times <= 1, "no task twice"
        assert times == 1 or view["outcome"] not in ("succeeded", "failed"), "no invented result"
        assert view["exitCode"] is None or view["outcome"] != "unknown", view
        log = directory / "output.log"
        output = log.read_bytes() if log.exists() else b""
        assert OUTPUT.startswith(output), "every byte once, in order"
        if times and view["state"] == "exited" and not (directory / "stop.json").exists():
            assert output == OUTPUT, "nothing of the output is lost"
        return view

    def delete(self, task_id: str) -> None:
        self.ask("DELETE", f"/v1/tasks/{task_id}", 200, 404)
        self.ask("GET", f"/v1/tasks/{task_id}", 404)
        assert not self.node.directory(task_id).exists()
        wait_until(lambda: not self.staged())

    def staged(self) -> list[Path]:
        """Return what is left of deletes and submissions that were cut short."""
        return list(self.node.work_dir.glob(".staging/*/*"))

    @contextmanager
    def bystander(self, name: str) -> Iterator[None]:
        """Let another task run meanwhile, which must not be touched."""
        gate = self.scratch / f"gate-{name}"
        task_id = self.node.sh(f"until [ -e {gate} ]; do sleep 0.05; done; echo end; exit 5")
        yield
        gate.touch()
        result = self.ask("GET", f"/v1/tasks/{task_id}?wait=20", 200)
        assert (result["outcome"], result["exitCode"]) == ("failed", 5), "other tasks are untouched"
        assert self.node.output(task_id) == "end\n"


@contextmanager
def site_in(scratch: Path, *options: str, **settings: str) -> Iterator[Site]:
    plans = Plans(scratch / "plans")
    try:
        with running_node(
            scratch / "work", "gunicorn", *options, **plans.settings, **settings
        ) as node:
            yield Site(node, plans, scratch)
    finally:
        kill_all_of(scratch)
