import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from task_runner.lib.errors import CursorGoneError, ValidationError
from task_runner.lib.observe import Observation
from task_runner.lib.state import State
from task_runner.service.index import event_stream
from task_runner.service.index import index as index_module
from task_runner.service.index.changes import Changes
from task_runner.service.index.event_stream import EventStream
from task_runner.service.index.index import Index

DEADLINE = 20.0
CREATED = Observation(State.CREATED, {})
FAILED = Observation(State.EXITED, {"outcome": "failed", "exit_code": 3})
Wire = dict[str, Any]


def run(test: Coroutine[Any, Any, None]) -> None:
    async def with_deadline() -> None:
        async with asyncio.timeout(DEADLINE):
            await test

    asyncio.run(with_deadline())


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Index, Changes]]:
    with closing(Index(str(path / "index"), "me")) as index:
        changes = Changes(index)
        yield index, changes
        await changes.close()


async def submit(index: Index, *task_ids: str) -> None:
    for task_id in task_ids:
        asked = {"taskId": task_id, "machine": "echo", "createdAt": "2026-11-24T09:00:00+00:00"}
        await index.add(asked, CREATED)


async def read(index: Index, changes: Changes, cursor: str | None = None) -> list[Wire]:
    stream = await EventStream.open(index, changes, cursor)
    return [event async for batch in stream.read(None) for event in batch]


async def wait_for(changed: asyncio.Event) -> bool:
    """Wait like the service does while it is not closing."""
    await changed.wait()
    changed.clear()
    return True


def test_events_on_the_wire(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            await submit(index, "a")
            await index.finish("a", FAILED)
            await index.remove("a")
            epoch, _, _ = await index.events_range()
            events = await read(index, changes)
            time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}\+00:00"
            assert all(re.fullmatch(time, event.pop("at")) for event in events)
            same: Wire = {"taskId": "a", "outcome": None, "exitCode": None}
            assert events == [
                {**same, "cursor": f"{epoch}-1", "state": "created"},
                {
                    "cursor": f"{epoch}-2",
                    "taskId": "a",
                    "state": "exited",
                    "outcome": "failed",
                    "exitCode": 3,
                },
                {**same, "cursor": f"{epoch}-3", "state": "deleted"},
            ]

    run(test())


@pytest.mark.parametrize("batch", [1, 3, 4, 7, 500])
def test_every_cursor_gives_what_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(event_stream, "BATCH", batch)

    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            assert await read(index, changes) == []
            await submit(index, *"abcdefgh")
            events = await read(index, changes)
            assert [event["taskId"] for event in events] == list("abcdefgh")
            for place, event in enumerate(events, 1):
                assert await read(index, changes, event["cursor"]) == events[place:]
            stream = await EventStream.open(index, changes, None)
            sizes = [len(some) async for some in stream.read(None)]
            assert max(sizes) == min(batch, 8)
        async with opened(tmp_path) as (index, changes):  # and after a restart
            assert await read(index, changes, events[2]["cursor"]) == events[3:]

    run(test())


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "-",
        "now ",
        "NOW",
        "1",
        "{}",
        "{}-",
        "{}-x",
        "{}--1",
        "{}-1-1",
        "{}-1.0",
        "{}-" + "1" * 19,
    ],
)
def test_what_is_no_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            await submit(index, "a")
            epoch, _, _ = await index.events_range()
            with pytest.raises(ValidationError) as caught:
                await EventStream.open(index, changes, cursor.format(epoch))
            assert caught.value.field == "cursor"

    run(test())


def test_a_cursor_of_another_index_is_gone(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            await submit(index, "a", "b")
            last = (await read(index, changes))[-1]["cursor"]
            assert await read(index, changes, last) == []
        (tmp_path / "index").unlink()
        async with opened(tmp_path) as (index, changes):
            await submit(index, "a", "b")
            for cursor in (last, last.replace("-2", "-1"), "-1", "00000000-1"):
                with pytest.raises(CursorGoneError):
                    await EventStream.open(index, changes, cursor)

    run(test())


def test_a_cursor_that_was_never_given_is_gone(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            await submit(index, "a")
            epoch, _, _ = await index.events_range()
            assert await read(index, changes, f"{epoch}-1") == []
            for number in ("2", "9" * 18):
                with pytest.raises(CursorGoneError):
                    await EventStream.open(index, changes, f"{epoch}-{number}")

    run(test())


def test_a_cursor_is_gone_when_an_event_after_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "EVENTS_KEPT", 3)

    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            await submit(index, *"abcdef")
            events = await read(index, changes)
            await index.forget_old_events()
            assert await read(index, changes) == events[3:]
            for place, event in enumerate(events, 1):
                if place < 3:
                    with pytest.raises(CursorGoneError):
                        await EventStream.open(index, changes, event["cursor"])
                else:
                    assert await read(index, changes, event["cursor"]) == events[place:]

    run(test())


def test_now_gives_only_what_comes(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            empty = await EventStream.open(index, changes, "now")
            await submit(index, "a")
            stream = await EventStream.open(index, changes, "now")
            assert await read(index, changes, "now") == []
            await submit(index, "b")
            for opened_stream, expected in ((stream, ["b"]), (empty, ["a", "b"])):
                batches = [batch async for batch in opened_stream.read(None)]
                assert [event["taskId"] for batch in batches for event in batch] == expected

    run(test())


def test_following_goes_on_with_what_any_worker_does(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            with closing(Index(str(tmp_path / "index"), "other")) as other:
                await submit(index, "old")
                stream = await EventStream.open(index, changes, None)
                batches = stream.read(wait_for)
                assert [event["taskId"] for event in await anext(batches)] == ["old"]
                for i, writer in enumerate((index, other, index, other)):
                    await submit(writer, f"t{i}")
                    assert [event["taskId"] for event in await anext(batches)] == [f"t{i}"]

    run(test())


def test_following_ends_when_it_is_told_to(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            await submit(index, "a")
            answers = iter([True, False])

            async def until(changed: asyncio.Event) -> bool:
                goes_on = next(answers)
                if goes_on:
                    await submit(index, "b")  # and what came meanwhile is not left out
                return goes_on

            stream = await EventStream.open(index, changes, None)
            batches = [batch async for batch in stream.read(until)]
            assert [event["taskId"] for batch in batches for event in batch] == ["a", "b"]

    run(test())


def test_nothing_between_reading_and_waiting_is_missed(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (index, changes):
            stream = await EventStream.open(index, changes, "now")
            seen: list[str] = []

            async def follow() -> None:
                async for batch in stream.read(wait_for):
                    seen.extend(event["taskId"] for event in batch)
                    if len(seen) == 200:
                        return

            following = asyncio.create_task(follow())
            for i in range(200):
                await submit(index, f"{i}")
                changes.tell(f"{i}")
            await following
            assert seen == [f"{i}" for i in range(200)]

    run(test())
