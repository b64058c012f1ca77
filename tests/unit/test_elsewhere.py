"""Tasks that run elsewhere, where something is wrong with one of them."""

import asyncio
import errno
import os
import queue
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from task_runner.environments.base import Place, RemoteEnvironment, Sighting, Usability
from task_runner.environments.work_dir import WorkDir
from task_runner.lib.handle import claim
from task_runner.lib.observe import Observation
from task_runner.lib.state import State
from task_runner.lib.task import task_from_dict
from task_runner.lib.task_dir import TaskDir, write_atomic
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index
from task_runner.service.watch.elsewhere import THREADS, Elsewhere
from tests.waiting import wait_until

PATIENCE = 60


class Somewhere(RemoteEnvironment):
    """Takes every task, and says of each that it is over without a trace."""

    pause = (0.0, 0.0)
    settle = 0.0

    def __init__(self, work_dir: WorkDir) -> None:
        super().__init__(work_dir, {})
        self.refuses: list[OSError] = []
        self.looks = 0
        self.cancels: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.answers = threading.Event()

    def usability(self) -> Usability:
        return Usability(usable=True)

    def launch(self, directory: TaskDir) -> bool:
        if self.refuses:
            raise self.refuses.pop()
        return claim(directory, "job") == "job"

    def look(self, directories: Sequence[TaskDir]) -> Mapping[str, Sighting]:
        self.looks += 1
        return {directory.task_id: Sighting(Place.ENDED) for directory in directories}

    def cancel(self, directory: TaskDir, job: str) -> None:
        del directory
        self.cancels.put(job)
        self.answers.wait(PATIENCE)


class Site:
    """A place with tasks, and those of them that were seen to end."""

    def __init__(self, path: Path, work_dir: WorkDir, index: Index) -> None:
        self.path = path
        self.work_dir = work_dir
        self.environment = Somewhere(work_dir)
        self.ended: dict[str, State] = {}
        self.changed = asyncio.Event()
        self.elsewhere = Elsewhere(self.environment, index, Changes(index), self.finish)

    async def finish(self, directory: TaskDir, seen: Observation) -> None:
        self.ended[directory.task_id] = seen.state
        self.changed.set()

    def make(self, task_id: str) -> TaskDir:
        task = task_from_dict({"machine": "echo", "parameters": [], "taskId": task_id})
        return self.work_dir.create(task)[0]

    def damage(self, task_id: str) -> None:
        (self.path / f"task-{task_id}/verdict.json").write_text("[")

    def make_unreadable(self, task_id: str) -> None:
        status = self.path / f"task-{task_id}/{task_id}.result"
        status.symlink_to(status)  # ELOOP, for whoever follows it

    async def asked_to_stop(self) -> str:
        return await asyncio.to_thread(self.environment.cancels.get, timeout=PATIENCE)

    async def ends(self, task_id: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while task_id not in self.ended:
                await self.changed.wait()
                self.changed.clear()


@asynccontextmanager
async def a_site(path: Path) -> AsyncIterator[Site]:
    work_dir = WorkDir(path)
    index = Index(str(path / "index.sqlite"), work_dir.owner)
    site = Site(path, work_dir, index)
    yield site
    await site.elsewhere.close()
    index.close()
    work_dir.close()


def test_a_hand_over_that_fails_here_is_begun_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            task = site.make("a")
            site.environment.refuses = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]
            site.elsewhere.begin(task)
            await asyncio.to_thread(wait_until, lambda: "a" not in site.elsewhere)
            site.elsewhere.begin(task)  # as Recovery does with what is not watched
            await site.ends("a")

    asyncio.run(main())


def test_stops_that_hang_hold_up_no_task_and_do_not_pile_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            jobs = [f"job-{number}" for number in range(THREADS + 1)]
            for job in jobs:
                task = site.make(job)
                claim(task, job)
                for _ in range(2):
                    site.elsewhere.cancel(task)
            asked = [await site.asked_to_stop() for _ in range(THREADS)]
            site.elsewhere.begin(site.make("a"))
            try:
                await site.ends("a")
            finally:
                site.environment.answers.set()
            asked.append(await site.asked_to_stop())
            assert sorted(asked) == jobs

    asyncio.run(main())


def test_a_damaged_task_hides_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            damaged, good = site.make("a"), site.make("b")
            site.damage("a")
            for directory in (damaged, good):
                site.elsewhere.begin(directory)
            await site.ends("b")
            assert "a" in site.elsewhere
            write_atomic(damaged.verdict, {"state": "exited", "outcome": "error", "judged_at": ""})
            await site.ends("a")

    asyncio.run(main())


def test_a_status_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            unreadable, good = site.make("a"), site.make("b")
            site.make_unreadable("a")
            write_atomic(good.status, {"finished_at": "2026-01-01T00:00:00+00:00", "exit_code": 0})
            site.environment.settle = PATIENCE * 10  # only the file can tell
            for directory in (unreadable, good):
                site.elsewhere.begin(directory)
            await site.ends("b")
            assert site.ended == {"b": State.EXITED}

    asyncio.run(main())
