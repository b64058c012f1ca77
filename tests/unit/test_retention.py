import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from task_runner.environments.work_dir import STAGING, WorkDir
from task_runner.lib.clock import timestamp
from task_runner.lib.errors import TaskActiveError, UnreachableError
from task_runner.lib.observe import Observation
from task_runner.lib.state import State
from task_runner.lib.task import accepted, task_from_dict
from task_runner.lib.task_dir import TaskDir
from task_runner.service.index.index import Index
from task_runner.service.readers import Readers, lock_directory
from task_runner.service.retention import Limits, Retention, disk_usage

NAMES = "abcdef"
"""Six tasks that have ended ten seconds apart, the last one now, with 10 KB each."""


class Store:
    """A work directory and its index, with what was removed from them."""

    def __init__(self, path: Path, index: Index, work_dir: WorkDir) -> None:
        self.path = path
        self.index = index
        self.work_dir = work_dir
        self.removed: list[str] = []
        self.refuses = ""
        self.reason: Exception = TaskActiveError("it runs")

    async def remove(self, task_id: str) -> None:
        if task_id == self.refuses:
            raise self.reason
        self.removed.append(task_id)
        await self.index.remove(task_id)

    async def keep(self, **limits: float) -> str:
        with ThreadPoolExecutor(1) as threads:
            of_all = Limits(**limits)  # type: ignore[arg-type]
            retention = Retention(of_all, self.work_dir, self.index, self.remove, threads)
            await retention.round()
        assert sum(retention.removed.values()) == len(self.removed)
        return "".join(self.removed)


@asynccontextmanager
async def a_store(path: Path) -> AsyncIterator[Store]:
    work_dir = WorkDir(path)
    index = Index(str(path / "index.sqlite"), work_dir.owner)
    now = 1_000_000_000.0
    task = task_from_dict({"machine": "echo", "parameters": []})
    for name in reversed(NAMES):  # the order of submission does not matter
        end = timestamp(now - 10 * (NAMES[::-1].index(name)))
        asked = accepted(task._replace(task_id=name))
        await index.add(asked, Observation(State.EXITED, {"finished_at": end}))
        (path / f"task-{name}").mkdir()
        (path / f"task-{name}/output.log").write_bytes(os.urandom(10_000))
    await index.add(accepted(task._replace(task_id="runs")), Observation(State.RUNNING, {}))
    yield Store(path, index, work_dir)
    index.close()
    work_dir.close()


@pytest.mark.parametrize(
    ("limits", "removed"),
    [
        ({"number": 6}, ""),
        ({"number": 2}, "abcd"),
        ({"number": 0}, "abcdef"),
        ({"seconds": 1e10}, ""),
        ({"seconds": 1}, "abcdef"),
        ({"sizes": 2}, "abcd"),
        ({"sizes": 0}, "abcdef"),
        ({"sizes": 6}, ""),
        ({"number": 5, "sizes": 3}, "abc"),
    ],
)
def test_what_is_beyond_the_limits_goes(
    tmp_path: Path, limits: dict[str, float], removed: str
) -> None:
    async def main() -> str:
        async with a_store(tmp_path) as store:
            if "sizes" in limits:
                one = disk_usage(f"{tmp_path}/task-a")
                limits["size"] = limits.pop("sizes") * one
            return await store.keep(**limits)

    assert asyncio.run(main()) == removed


def test_only_those_that_are_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)

    async def main() -> str:
        async with a_store(tmp_path) as store:
            return await store.keep(seconds=25)

    assert asyncio.run(main()) == "abc"


@pytest.mark.parametrize(
    "reason",
    [
        TaskActiveError("it runs"),
        UnreachableError("its container is still there"),
        PermissionError("not ours"),
        ValueError("verdict.json is damaged"),
    ],
)
def test_no_other_goes_for_one_that_is_kept(tmp_path: Path, reason: Exception) -> None:
    async def main() -> str:
        async with a_store(tmp_path) as store:
            store.refuses, store.reason = "a", reason
            with Readers().hold(TaskDir.of(str(tmp_path), "b")):
                return await store.keep(number=2)

    assert asyncio.run(main()) == "cd"


def test_what_was_removed_from_outside_is_forgotten(tmp_path: Path) -> None:
    async def main() -> str:
        async with a_store(tmp_path) as store:
            (tmp_path / "task-a/output.log").unlink()
            (tmp_path / "task-a").rmdir()
            return await store.keep(number=5)

    assert asyncio.run(main()) == "a"


def test_one_worker_at_a_time(tmp_path: Path) -> None:
    async def main() -> str:
        async with a_store(tmp_path) as store:
            turn = lock_directory(f"{tmp_path}/{STAGING}", fcntl.LOCK_EX)
            assert await store.keep(number=0) == ""
            os.close(turn)
            return await store.keep(number=0)

    assert asyncio.run(main()) == NAMES


def test_disk_usage(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_bytes(os.urandom(1_000_000))
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "link").symlink_to("/")
    assert 1_000_000 <= disk_usage(str(tmp_path)) < 1_100_000
    assert disk_usage(str(tmp_path / "missing")) == 0
