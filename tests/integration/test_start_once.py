"""A task is started at most once and never forgotten, whenever its TaskRunner is killed.

As a script it does it thoroughly: `python -m tests.integration.test_start_once --all`.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.observe import observe
from task_runner.lib.runner import TaskRunner
from task_runner.lib.state import State
from task_runner.lib.task import task_from_dict
from task_runner.lib.task_dir import TaskDir, read_json
from tests.task_processes import kill_all_of, processes_of
from tests.waiting import wait_until

SAMPLE = 15
"""Steps of each plan that are tried in the test suite."""
TASK = {
    "machine": "command",
    "parameters": {"argv": ["/bin/sh", "-c", "echo ran >> ran"]},
    "gracePeriod": 5,
}


class Plan(NamedTuple):
    """What happens around the kill."""

    stop: bool
    """One of the two recoverers asks for a stop."""
    race: bool
    """The recoverers begin while the victim still lives, and again when it is dead."""
    twice: bool = False
    """A second TaskRunner is killed too, at a random step, before anybody recovers."""


class Case(NamedTuple):
    """What came of one kill."""

    plan: Plan
    step: int
    killed: bool
    state: str
    outcome: str | None
    times_run: int
    started_before: bool
    """The victim had written the status file."""
    finished_before: bool
    """The victim had written the result."""
    problems: list[str]


PLANS = [Plan(stop, race) for stop in (False, True) for race in (False, True)]
PLANS_TWICE = [Plan(stop, race=False, twice=True) for stop in (False, True)]


class Recoverer:
    """A process with an environment of its own, which does what it is told at once."""

    def __init__(self, work_dir: Path) -> None:
        self._ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._ours.close()
            self._serve(MultiprocessEnvironment(work_dir), theirs)
        theirs.close()

    def _serve(self, environment: MultiprocessEnvironment, control: socket.socket) -> NoReturn:
        try:
            while (order := control.recv(4096).decode()) != "end":
                word, _, task_id = order.partition(" ")
                act = {"start": environment.start_task, "stop": environment.stop_task}[word]
                try:
                    act(task_id)
                    control.send(b"done")
                except Exception as problem:  # told to the one who asked
                    control.send(repr(problem).encode())
            environment.close()
        finally:
            os._exit(0)

    def begin(self, order: str) -> None:
        self._ours.send(order.encode())

    def answer(self) -> str:
        return self._ours.recv(4096).decode()

    def close(self) -> None:
        self.begin("end")
        os.waitpid(self._pid, 0)
        self._ours.close()


def fork_victim(directory: TaskDir, last_step: int) -> int:
    """Fork a TaskRunner that is killed at its nth call of, or return from, any function."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
            sys.setprofile(executioner(last_step))
            TaskRunner(directory).run()
        finally:
            os._exit(0)
    return pid


def executioner(last_step: int) -> Callable[..., None]:
    """Return a profiler that kills this process, but not the machine it forks, at a step."""
    victim = os.getpid()
    step = 0

    def profile(_frame: object, _event: str, _argument: object) -> None:
        nonlocal step
        step += 1
        if step == last_step and os.getpid() == victim:
            os.kill(victim, signal.SIGKILL)

    return profile


class Campaign:
    """Kills, in one work directory; use it in a process with a single thread."""

    def __init__(self, work_dir: Path) -> None:
        self._environment = MultiprocessEnvironment(work_dir)
        self._recoverers = [Recoverer(work_dir), Recoverer(work_dir)]
        self._random = random.Random(1)  # noqa: S311

    def close(self) -> None:
        for recoverer in self._recoverers:
            recoverer.close()
        self._environment.close()

    def steps(self) -> int:
        """Return how many steps a TaskRunner takes that nobody disturbs."""
        low, high = 1, 2
        while self._is_killed_at(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._is_killed_at(middle) else (low, middle)
        return low

    def _is_killed_at(self, step: int) -> bool:
        return self.kill(Plan(stop=False, race=False), step).killed

    def kill(self, plan: Plan, step: int) -> Case:
        """Run a task, kill its TaskRunner at a step, recover; say what came of it."""
        task_id = self._environment.register_task(task_from_dict(TASK)).task_id
        directory = TaskDir.of(self._environment.work_dir.path, task_id)
        victim = fork_victim(directory, step)
        answers = self._recover(plan, task_id) if plan.race else []
        killed = os.WIFSIGNALED(os.waitpid(victim, 0)[1])
        before = read_json(directory.status) or {}
        if plan.twice:
            os.waitpid(fork_victim(directory, self._random.randint(1, step)), 0)
        answers += self._recover(plan, task_id)
        self._environment.wait_completion(task_id, timeout=20)
        times = (bool(before), "finished_at" in before)
        return self._judge(directory, Case(plan, step, killed, "", None, 0, *times, answers))

    def _recover(self, plan: Plan, task_id: str) -> list[str]:
        first, second = self._recoverers
        first.begin(f"start {task_id}")
        second.begin(f"{'stop' if plan.stop else 'start'} {task_id}")
        return [answer for one in (first, second) if (answer := one.answer()) != "done"]

    def _judge(self, directory: TaskDir, case: Case) -> Case:
        wait_until(lambda: not processes_of(Path(directory.path)))
        seen = observe(directory)
        ran = Path(directory.files, "ran")
        case = case._replace(
            state=seen.state,
            outcome=seen.record.get("outcome"),
            times_run=len(ran.read_text().splitlines()) if ran.exists() else 0,
        )
        return case._replace(problems=case.problems + list(_problems(case, directory)))


def _problems(case: Case, directory: TaskDir) -> Iterator[str]:
    if not State(case.state).is_over:
        yield "not over"
    if case.times_run > 1:
        yield "started more than once"
    if case.outcome == "succeeded" and case.times_run != 1:
        yield "an invented success"
    if case.outcome not in {"succeeded", "canceled", "unknown", None}:
        yield "an outcome that does not fit"
    if case.outcome == "canceled" and not case.plan.stop:
        yield "canceled, and nobody asked"
    if not (case.started_before or case.plan.stop or case.plan.twice) and not case.times_run:
        yield "forgotten"
    left = {"output.fifo", "status.fifo"} & set(os.listdir(directory.path))
    if case.state == State.EXITED and left and not case.finished_before:
        yield f"{left} left behind"
    if (read_json(directory.status) or {}).get("finished_at") is None and case.outcome:
        yield "an outcome without a result"


def spread(most: int, count: int) -> list[int]:
    return sorted({1 + round(index * (most - 1) / (count - 1)) for index in range(count)})


def cases(work_dir: Path, count: int | None) -> Iterator[Case]:
    """Kill at `count` steps of each plan; without, at every step, and all of it twice over."""
    campaign = Campaign(work_dir)
    try:
        most = campaign.steps()
        steps = spread(most, count) if count else [*range(1, most + 1)]
        for plan in PLANS if count else PLANS + PLANS_TWICE:
            yield from (campaign.kill(plan, step) for step in steps)
    finally:
        campaign.close()


def main(arguments: list[str]) -> int:
    """Print one case a line, and with --all a table of them."""
    table: Counter[tuple[Any, ...]] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="start_once-") as scratch:
        try:
            for case in cases(Path(scratch), None if arguments == ["--all"] else int(arguments[0])):
                bad += bool(case.problems)
                table[(case.killed, case.state, case.outcome, case.times_run)] += 1
                if arguments != ["--all"] or case.problems:
                    print(json.dumps(case), flush=True)
        finally:
            kill_all_of(Path(scratch))
    if arguments == ["--all"]:
        print("killed  state    outcome    times run  cases")
        for (killed, state, outcome, times_run), number in sorted(table.items(), key=str):
            print(f"{killed!s:7} {state:8} {outcome!s:10} {times_run:9} {number:6}")
        print(f"{table.total()} cases, {bad} bad")
    return 1 if bad else 0


@pytest.fixture(scope="module")
def sample() -> list[list[Any]]:
    """Run the sample in a process with a single thread, which may fork."""
    command = [sys.executable, "-m", "tests.integration.test_start_once", str(SAMPLE)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_task_is_started_at_most_once_and_never_forgotten(sample: list[list[Any]]) -> None:
    found = [Case(*fields) for fields in sample]
    assert len(found) == SAMPLE * len(PLANS)
    assert [case for case in found if case.problems] == []


def test_the_sample_kills_before_and_after_the_start(sample: list[list[Any]]) -> None:
    found = [Case(*fields) for fields in sample]
    assert {case.started_before for case in found} == {False, True}
    undisturbed = [case for case in found if not case.killed and not Plan(*case.plan).race]
    assert len(undisturbed) < len(found) / 10  # the number of steps differs a little each time


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
