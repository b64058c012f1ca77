"""A node against a simple model of what its tasks should be, through random histories."""

import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from task_runner.lib.task_dir import TaskDir
from tests.node import Node
from tests.task_processes import kill_all_of, processes_of
from tests.waiting import wait_until

MAX_RUNNING = 2
HISTORIES = 10
STEPS = 12
ENDINGS = {0: "succeeded", 3: "failed", 137: "failed"}


@dataclass
class Expected:
    """A task as it should be."""

    task_id: str
    priority: int
    gate: int
    """A descriptor of the FIFO that the task reads its exit code from."""
    timeout: float | None = None
    state: str = "created"
    outcome: str | None = None
    exit_code: int | None = None
    orphaned: bool = False
    """Its TaskRunner was killed: nobody can see how it ends by itself."""

    def end(self, outcome: str, exit_code: int | None, state: str = "exited") -> None:
        """Be over."""
        self.state, self.outcome, self.exit_code = state, outcome, exit_code

    def end_by_itself(self, outcome: str, exit_code: int) -> None:
        """Be over, as far as anybody can know."""
        self.end(*(("unknown", None) if self.orphaned else (outcome, exit_code)))


class Histories(RuleBasedStateMachine):
    """Submit, stop, delete, kill, restart, time out; a node of its own for each history."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory(prefix="model-")
        self.node = Node(
            Path(self.scratch.name, "work"), TASK_RUNNER_MAX_RUNNING=str(MAX_RUNNING)
        ).start()
        self.tasks: list[Expected] = []
        self.submitted = 0

    def teardown(self) -> None:
        self.node.close()
        kill_all_of(Path(self.scratch.name))
        for task in self.tasks:
            os.close(task.gate)
        self.scratch.cleanup()

    def having(self, *states: str) -> list[Expected]:
        return [task for task in self.tasks if task.state in states]

    def one_that_runs(self, data: st.DataObject) -> tuple[Expected, dict[str, Any]]:
        """Choose a task whose machine has begun; return it with its status file.

        A TaskRunner that is killed before takes the machine along, which has done nothing yet.
        """
        task = data.draw(st.sampled_from(self.having("running")))
        wait_until((self.node.directory(task.task_id) / "files/ran").exists)
        return task, self.node.status_file(task.task_id)

    def start_waiting(self) -> None:
        """Give free slots to the most important tasks that wait, then to the oldest."""
        waiting = sorted(self.having("created"), key=lambda task: -task.priority)
        for task in waiting[: MAX_RUNNING - len(self.having("running"))]:
            task.state = "running"

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority: int) -> None:
        task = self.new(priority)
        answer = self.post(task)
        self.start_waiting()
        assert answer == (201, task.state)

    def new(self, priority: int = 0, timeout: float | None = None) -> Expected:
        self.submitted += 1
        path = f"{self.scratch.name}/gate-{self.submitted}"
        os.mkfifo(path)
        gate = os.open(path, os.O_RDWR)
        task = Expected(f"t{self.submitted}", priority, gate, timeout)
        self.tasks.append(task)
        return task

    def post(self, task: Expected, **changes: object) -> tuple[int, str | None]:
        gate = f"{self.scratch.name}/gate-{task.task_id[1:]}"
        script = f"echo once >> ran; read code < {gate}; exit $code"
        body = {
            "taskId": task.task_id,
            "machine": "command",
            "parameters": {"argv": ["/bin/sh", "-c", script]},
            "priority": task.priority,
            "timeout": task.timeout,
        }
        answer = self.node.http.post("/v1/tasks", json=body | changes)
        return answer.status_code, answer.json().get("state")

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.tasks))
        assert self.post(task) == (201, task.state)
        assert self.post(task, timeout=99)[0] == 409

    @precondition(lambda self: self.having("running"))
    @rule(data=st.data(), code=st.sampled_from([*ENDINGS]))
    def end(self, data: st.DataObject, code: int) -> None:
        task = data.draw(st.sampled_from(self.having("running")))
        os.write(task.gate, f"{code}\n".encode())
        task.end_by_itself(ENDINGS[code], code)
        self.start_waiting()

    @precondition(lambda self: len(self.having("running")) < MAX_RUNNING)
    @rule(service_killed=st.booleans())
    def time_out(self, service_killed: bool) -> None:
        task = self.new(timeout=0.3)
        assert self.post(task)[0] == 201
        if service_killed:
            self.node.kill()
            self.node.start()
        self.node.result(task.task_id)
        task.end("timeout", -2)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.tasks))
        assert self.node.http.post(f"/v1/tasks/{task.task_id}/stop").status_code == 200
        if task.state in {"created", "running"}:
            task.end("canceled", -1)
        self.start_waiting()

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.tasks))
        answer = self.node.http.delete(f"/v1/tasks/{task.task_id}")
        if task.state in {"created", "running"}:
            assert answer.status_code == 409
            return
        assert answer.json() == {"success": True}
        assert not self.node.directory(task.task_id).exists()
        assert self.node.http.get(f"/v1/tasks/{task.task_id}").status_code == 404
        os.close(task.gate)
        self.tasks.remove(task)

    @precondition(lambda self: self.having("running"))
    @rule(data=st.data())
    def kill_task_runner(self, data: st.DataObject) -> None:
        task, status = self.one_that_runs(data)
        old = status["process_id"]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: self.node.status_file(task.task_id)["process_id"] != old)
        task.orphaned = True

    @precondition(lambda self: self.having("running"))
    @rule(data=st.data())
    def kill_machine(self, data: st.DataObject) -> None:
        task, status = self.one_that_runs(data)
        os.kill(status["machine"]["pid"], signal.SIGKILL)
        task.end_by_itself("crashed", 137)
        self.start_waiting()

    @precondition(lambda self: self.having("running"))
    @rule(data=st.data())
    def kill_both(self, data: st.DataObject) -> None:
        task, status = self.one_that_runs(data)
        os.kill(status["process_id"], signal.SIGSTOP)  # so that it does not see the machine's end
        os.kill(status["machine"]["pid"], signal.SIGKILL)
        os.kill(status["process_id"], signal.SIGKILL)
        task.end("unknown", None, "lost")
        self.start_waiting()

    @rule()
    def restart(self) -> None:
        self.node.kill()
        self.node.start()

    @invariant()
    def every_task_is_as_it_should_be(self) -> None:
        wait_until(lambda: self.as_it_is() == self.as_it_should_be())
        for task in self.having("exited", "lost"):
            view = self.node.view(task.task_id)
            assert (view["outcome"], view["exitCode"]) == (task.outcome, task.exit_code)

    def as_it_is(self) -> list[tuple[str, str]]:
        return list(self.node.states().items())

    def as_it_should_be(self) -> list[tuple[str, str]]:
        return [(task.task_id, task.state) for task in self.tasks]

    @invariant()
    def none_ran_twice_and_what_is_over_is_gone(self) -> None:
        for task in self.tasks:
            ran = self.node.directory(task.task_id) / "files/ran"
            assert not ran.exists() or ran.read_text() == "once\n"
        for task in self.having("exited", "lost"):
            wait_until(self.nothing_runs(task))

    def nothing_runs(self, task: Expected) -> Callable[[], bool]:
        directory = TaskDir.of(str(self.node.work_dir), task.task_id)
        return lambda: not processes_of(Path(directory.path))


@pytest.mark.timeout(600)
def test_every_history_goes_as_the_model_says() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # to shrink a history takes longer than to read it
            suppress_health_check=list(HealthCheck),
        ),
    )
