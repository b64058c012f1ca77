import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from task_runner.lib.observe import Observation
from task_runner.lib.state import State
from task_runner.service.index import changes as changes_module
from task_runner.service.index.changes import Changes
from task_runner.service.index.index import Index

DEADLINE = 20.0
CREATED = Observation(State.CREATED, {})


class Workers(NamedTuple):
    """What this worker waits with, its index, and the index of another worker."""

    changes: Changes
    mine: Index
    other: Index


@asynccontextmanager
async def two_workers(path: Path) -> AsyncIterator[Workers]:
    with (
        closing(Index(str(path / "index"), "me")) as mine,
        closing(Index(str(path / "index"), "other")) as other,
    ):
        changes = Changes(mine)
        yield Workers(changes, mine, other)
        await changes.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    async def with_deadline() -> None:
        async with asyncio.timeout(DEADLINE):
            await test

    asyncio.run(with_deadline())


async def submit(index: Index, task_id: str) -> None:
    asked = {"taskId": task_id, "machine": "echo", "createdAt": "2026-11-24T09:00:00+00:00"}
    await index.add(asked, CREATED)


async def settled(*events: asyncio.Event) -> None:
    """Return when the reader has begun: it wakes everybody once, who look for the first time."""
    for event in events:
        await event.wait()
        event.clear()


def readers() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "changes"]


async def no_readers() -> None:
    """Return when there are none; the deadline of the test is the limit."""
    while found := readers():
        await asyncio.wait(found)


def test_what_this_worker_tells_arrives_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, _):
            with (
                changes.of_task("a") as one,
                changes.of_task("a") as another,
                changes.of_task("b") as of_b,
                changes.of_all() as everything,
            ):
                await settled(one, another, of_b, everything)
                changes.tell("a")  # no await in between: it is not the reader who brings it
                assert one.is_set()
                assert another.is_set()
                assert everything.is_set()
                assert not of_b.is_set()
                everything.clear()
                changes.tell("nobody waits for this one")
                assert everything.is_set()
                assert not of_b.is_set()

    run(test())


def test_what_another_worker_did_arrives(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, other):
            with (
                changes.of_task("a") as of_a,
                changes.of_task("b") as of_b,
                changes.of_all() as everything,
            ):
                await settled(of_a, of_b, everything)
                steps = (
                    lambda: submit(other, "a"),
                    lambda: other.change("a", Observation(State.RUNNING, {})),
                    lambda: other.finish("a", Observation(State.EXITED, {})),
                    lambda: other.remove("a"),
                )
                for step in steps:
                    await step()
                    await of_a.wait()
                    assert everything.is_set()
                    assert not of_b.is_set()
                    of_a.clear()
                    everything.clear()

    run(test())


def test_many_events_at_once_all_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "BATCH", 2)

    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, other):
            with changes.of_task("t0") as first, changes.of_task("t6") as last:
                await settled(first, last)
                await asyncio.gather(*(submit(other, f"t{i}") for i in range(7)))
                await first.wait()
                await last.wait()

    run(test())


def test_what_happened_before_somebody_waits_makes_him_look(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, mine, other):
            await submit(other, "a")
            with changes.of_task("a") as changed:
                # Submitted after he looked, but before the reader knows where to begin.
                assert await mine.get("a") is not None
                await other.finish("a", Observation(State.EXITED, {}))
                await changed.wait()

    run(test())


def test_nothing_is_read_when_nobody_waits(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, other):
            assert readers() == []
            for _ in range(3):
                with changes.of_task("a") as of_a:
                    assert len(readers()) == 1
                    with changes.of_all() as everything, changes.of_task("b"):
                        await settled(of_a, everything)
                        assert len(readers()) == 1
                    assert len(readers()) == 1  # somebody still waits
                await no_readers()
                changes.tell("a")
                changes.wake_everybody()
            # It starts again, and still sees what happens.
            with changes.of_task("c") as of_c:
                await settled(of_c)
                await submit(other, "c")
                await of_c.wait()

    run(test())


def test_who_leaves_with_an_error_waits_no_longer(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, _):
            with pytest.raises(LookupError), changes.of_task("a") as of_a:
                raise LookupError
            with pytest.raises(LookupError), changes.of_all() as everything:
                raise LookupError
            await no_readers()
            of_a.clear()
            everything.clear()
            changes.tell("a")
            assert not of_a.is_set()
            assert not everything.is_set()

    run(test())


def test_one_event_can_wait_for_several_things(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, _):
            mine = asyncio.Event()
            with changes.of_task("a", mine) as of_a, changes.of_task("b", mine):
                assert of_a is mine
                for task_id in ("a", "b"):
                    mine.clear()
                    changes.tell(task_id)
                    assert mine.is_set()

    run(test())


def test_everybody_is_woken(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, _):
            with changes.of_task("a") as of_a, changes.of_all() as everything:
                await settled(of_a, everything)
                changes.wake_everybody()
                assert of_a.is_set()
                assert everything.is_set()

    run(test())


def test_close_ends_the_reader(tmp_path: Path) -> None:
    async def test() -> None:
        async with two_workers(tmp_path) as (changes, _, _):
            await changes.close()  # nothing to do
            with changes.of_all():
                assert len(readers()) == 1
                await changes.close()
                assert readers() == []

    run(test())
