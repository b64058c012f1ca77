"""A chaos run from beginning to end, and the figures that come of it."""

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.faults.chaos.audit import files_left, problems_of, read_ledger
from tests.faults.chaos.blows import Blows
from tests.faults.chaos.client import Accepted, Client
from tests.faults.chaos.plan import Chore, Plan, Strike, make_plan
from tests.faults.chaos.service import Service
from tests.task_processes import kill_all_of, processes_of
from tests.waiting import wait_until

DISK = "96m"
"""Size of the disk, as mount(8) takes it: small enough to be filled in a moment."""
CLIENTS = 48
PATIENCE = 180.0
"""Seconds after the last blow until every task has to be over."""


class Report(NamedTuple):
    """The figures of a run."""

    seed: int
    seconds: float
    accepted: list[Accepted]
    deleted: int
    ran: Counter[str]
    orphaned: Counter[str]
    struck: Counter[str]
    starts: int
    answers: Counter[str]
    problems: list[str]

    def __str__(self) -> str:
        outcomes = Counter(task.view["outcome"] for task in self.accepted)
        lost = sum(task.view["state"] == "lost" for task in self.accepted)
        size = sum(len(task.output) for task in self.accepted)
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} seconds",
            f"tasks accepted: {len(self.accepted)}, of them deleted later: {self.deleted}",
            f"kinds: {_counted(Counter(task.chore.kind for task in self.accepted))}",
            f"outcomes: {_counted(outcomes)} (of the unknown, lost: {lost})",
            f"TaskRunners killed: {self.orphaned.total()}, of {len(self.orphaned)} tasks",
            f"blows: {_counted(self.struck)}",
            f"starts of the service: {self.starts}",
            f"answers to the client: {_counted(self.answers)}",
            f"logs compared: {size} bytes",
            f"most often that a task ran: {max(self.ran.values(), default=0)}",
            f"problems: {len(self.problems)}",
        ]
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counter.most_common())


def chaos(seed: int, seconds: float) -> Report:
    """Run a plan on a small disk of its own, and audit what came of it. Needs root to mount it."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        ledger = Path(scratch, "ledger")
        ledger.touch()
        with _small_disk(Path(scratch, "disk")) as disk:
            return _Run(make_plan(seed, seconds, str(ledger)), disk / "work", ledger).report(
                seed, seconds
            )


@contextmanager
def _small_disk(path: Path) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", path], check=True
    )
    try:
        yield path
    finally:
        kill_all_of(path)
        wait_until(lambda: subprocess.run(["umount", path], check=False).returncode == 0)


class _Run:
    def __init__(self, plan: Plan, work_dir: Path, ledger: Path) -> None:
        self._plan = plan
        self._work_dir = work_dir
        self._ledger = ledger
        self._service = Service(work_dir)
        self._blows = Blows(self._service)
        last = max(plan.chores[-1].at, plan.strikes[-1].at)
        self._begun = time.monotonic()
        self._client = Client(self._service.url, self._begun + last + PATIENCE)
        self._deleted = 0

    def report(self, seed: int, seconds: float) -> Report:
        """Do all of it, and say what came of it."""
        problems: list[str] = []
        with ThreadPoolExecutor(1, "striker") as striker:
            striking = striker.submit(self._strike_all)
            accepted = self._do_all(problems)
        striking.result()
        problems += self._tidiness()
        ran = read_ledger(self._ledger)
        for task in accepted:
            task_id = task.chore.fields["taskId"]
            orphaned = task_id in self._blows.orphaned
            found = problems_of(task, ran[task_id], orphaned=orphaned)
            problems += [f"{task_id} ({task.chore.kind}): {problem}" for problem in found]
        return Report(
            seed,
            seconds,
            accepted,
            self._deleted,
            ran,
            self._blows.orphaned,
            Counter({str(blow): count for blow, count in self._blows.struck.items()}),
            self._service.starts,
            self._client.answers,
            problems,
        )

    def _strike_all(self) -> None:
        try:
            for strike in self._plan.strikes:
                self._wait_for(strike)
                self._blows.strike(strike)
        finally:
            self._blows.close()

    def _do_all(self, problems: list[str]) -> list[Accepted]:
        with ThreadPoolExecutor(CLIENTS, "client") as clients:
            jobs: list[tuple[Chore, Future[Accepted]]] = []
            for chore in self._plan.chores:
                self._wait_for(chore)
                jobs.append((chore, clients.submit(self._do, chore)))
        accepted = []
        for chore, job in jobs:
            if (problem := job.exception()) is not None:
                problems.append(f"{chore.fields['taskId']} ({chore.kind}): {problem}")
            else:
                accepted.append(job.result())
        return accepted

    def _do(self, chore: Chore) -> Accepted:
        accepted = self._client.do(chore)
        if chore.delete:
            self._client.delete(chore)
            self._deleted += 1
        return accepted

    def _wait_for(self, event: Chore | Strike) -> None:
        time.sleep(max(0.0, self._begun + event.at - time.monotonic()))

    def _tidiness(self) -> Iterator[str]:
        """Stop the service, and yield what it has left behind."""
        self._client.close()
        self._service.close()
        for name, left in (
            ("processes of tasks", lambda: processes_of(self._work_dir)),
            ("fork servers", self._service.left),
            ("files", lambda: files_left(self._work_dir)),
        ):
            try:
                wait_until(lambda left=left: not left())  # type: ignore[misc]
            except TimeoutError:
                yield f"{name} left: {left()}"
