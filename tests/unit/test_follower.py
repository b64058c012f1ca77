import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from task_runner.service.logs import follower
from task_runner.service.logs.follower import ABSENT, Extent, Followers, extent_of

DEADLINE = 10.0


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """Run a coroutine function of (followers, path) as a test."""

    async def timed(path: Path) -> None:
        async with asyncio.timeout(DEADLINE), followers() as made:
            await test(made, path)

    def run(tmp_path: Path) -> None:
        asyncio.run(timed(tmp_path / "log"))

    run.__name__ = test.__name__
    return run


@asynccontextmanager
async def followers() -> AsyncIterator[Followers]:
    with ThreadPoolExecutor(4) as threads:
        yield Followers(threads, asyncio.Event())


def append(path: Path, data: bytes = b"x") -> None:
    with path.open("ab") as file:
        file.write(data)


@in_loop
async def test_growth_is_seen(made: Followers, path: Path) -> None:
    append(path)
    with made.follow(str(path)) as growth:
        assert growth.extent == extent_of(str(path))
        for size in (2, 3):
            append(path)
            assert await growth.wait() is False
            assert growth.extent.size == size


@in_loop
async def test_a_file_need_not_exist(made: Followers, path: Path) -> None:
    with made.follow(str(path)) as growth:
        assert growth.extent == ABSENT
        append(path)
        await growth.wait()
        assert growth.extent.size == 1
        os.unlink(path)
        await growth.wait()
        assert growth.extent == ABSENT
    with made.follow(str(path / "below")) as growth:
        assert growth.extent == ABSENT


@in_loop
async def test_another_file_of_the_same_size_is_seen(made: Followers, path: Path) -> None:
    append(path)
    append(path.with_name("other"))
    with made.follow(str(path)) as growth:
        before = growth.extent
        os.rename(path.with_name("other"), path)
        await growth.wait()
        assert growth.extent.size == before.size
        assert growth.extent.inode != before.inode


@in_loop
async def test_nothing_is_heard_without_a_change(made: Followers, path: Path) -> None:
    append(path)
    with made.follow(str(path)) as growth, pytest.raises(TimeoutError):
        async with asyncio.timeout(5 * follower.INTERVAL):
            await growth.wait()


@in_loop
async def test_waking_wakes_one(made: Followers, path: Path) -> None:
    with made.follow(str(path)) as one, made.follow(str(path)) as other:
        one.wake()
        assert await one.wait() is True
        assert not other.has_news.is_set()
        append(path)
        assert await one.wait() is False


@in_loop
async def test_a_look_is_news_for_the_others(made: Followers, path: Path) -> None:
    with made.follow(str(path)) as one, made.follow(str(path)) as other:
        append(path)
        assert one.look().size == 1
        assert other.has_news.is_set()
        assert other.extent.size == 1


@in_loop
async def test_who_comes_late_sees_what_there_is_now(made: Followers, path: Path) -> None:
    with made.follow(str(path)) as early:
        append(path)
        with made.follow(str(path)) as late:
            assert late.extent.size == 1
        assert early.has_news.is_set()


@in_loop
async def test_closing_wakes_all(made: Followers, path: Path) -> None:
    with made.follow(str(path)) as one, made.follow(str(path) + "2") as other:
        made.closing.set()
        await asyncio.gather(one.wait(), other.wait())


def test_one_look_for_all_and_none_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def counted(path: str) -> Extent:
        looks.append(path)
        return extent_of(path)

    @in_loop
    async def run(made: Followers, path: Path) -> None:
        with ExitStack() as stack:
            growths = [stack.enter_context(made.follow(str(path))) for _ in range(500)]
            looks.clear()
            started = asyncio.get_running_loop().time()
            for _ in range(5):
                append(path)
                await asyncio.gather(*(growth.wait() for growth in growths))
            passed = asyncio.get_running_loop().time() - started
            assert 5 <= len(looks) <= passed / follower.INTERVAL + 2
        seen = len(looks)
        await asyncio.sleep(3 * follower.INTERVAL)
        assert len(looks) == seen

    monkeypatch.setattr(follower, "extent_of", counted)
    run(tmp_path)


@in_loop
async def test_a_file_that_cannot_be_looked_at_stops_nobody(made: Followers, path: Path) -> None:
    loop = path.with_name("loop")
    with made.follow(str(loop)), made.follow(str(path)) as growth:
        loop.symlink_to(loop)
        append(path)
        await growth.wait()
        append(path)
        await growth.wait()
        assert growth.extent.size == 2


@in_loop
async def test_a_job_is_done_once_for_all(made: Followers, path: Path) -> None:
    calls: list[int] = []

    def job(number: int) -> list[int]:
        calls.append(number)
        return calls

    with made.follow(str(path)) as one, made.follow(str(path)) as other:
        both = await asyncio.gather(one.once(job, 1), other.once(job, 1))
        assert calls == [1]
        assert both[0] is both[1]
        await other.once(job, 2)
        assert calls == [1, 2]


@in_loop
async def test_who_leaves_does_not_take_the_job_along(made: Followers, path: Path) -> None:
    begin = threading.Event()
    with made.follow(str(path)) as one, made.follow(str(path)) as other:
        leaving = asyncio.create_task(one.once(begin.wait, DEADLINE))
        staying = asyncio.create_task(other.once(begin.wait, DEADLINE))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        begin.set()
        assert await staying is True
        assert leaving.cancelled()


@in_loop
async def test_a_failure_is_not_kept(made: Followers, path: Path) -> None:
    problems = [OSError("no"), None]

    def job() -> str:
        if problem := problems.pop(0):
            raise problem
        return "yes"

    with made.follow(str(path)) as growth:
        with pytest.raises(OSError, match="no"):
            await growth.once(job)
        assert await growth.once(job) == "yes"


@in_loop
async def test_little_is_kept_and_not_for_long(made: Followers, path: Path) -> None:
    with made.follow(str(path)) as growth:
        jobs = growth._file.jobs
        for number in range(3 * follower.KEPT_JOBS):
            await growth.once(abs, number)
            assert len(jobs) <= follower.KEPT_JOBS
        append(path)
        await growth.wait()
        assert not jobs
