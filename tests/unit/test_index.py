import asyncio
import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from task_runner.lib.observe import Observation
from task_runner.lib.state import State
from task_runner.service.index import index as index_module
from task_runner.service.index.database import SCHEMA_VERSION
from task_runner.service.index.index import Index
from task_runner.service.index.page import Page
from task_runner.service.index.rows import Added, Event

DEADLINE = 60.0
CREATED = Observation(State.CREATED, {})
RUNNING = Observation(State.RUNNING, {"process_id": 7})
EXITED = Observation(State.EXITED, {"outcome": "failed", "exit_code": 3})
LOST = Observation(State.LOST, {"outcome": "unknown", "exit_code": None})

COMPETITOR = """
import asyncio, json, sys
from task_runner.service.index.rows import Added
from tests.unit.test_index import CREATED, asked
from task_runner.service.index.index import Index

async def compete(index, owner):
    added = [await index.add(asked(f"{owner}-{i}"), CREATED) for i in range(25)]
    print(json.dumps([added.count(Added.CLAIMED), len(await index.claim_waiting())]))

path, owner = sys.argv[1:]
sys.stdin.readline()
index = Index(path, owner, max_running=10)
asyncio.run(compete(index, owner))
index.close()
"""


def run(test: Coroutine[Any, Any, None]) -> None:
    async def with_deadline() -> None:
        async with asyncio.timeout(DEADLINE):
            await test

    asyncio.run(with_deadline())


@contextmanager
def opened(path: Path, owner: str = "me", max_running: int | None = None) -> Iterator[Index]:
    index = Index(str(path), owner, max_running)
    try:
        yield index
    finally:
        index.close()


@asynccontextmanager
async def three_of_priority(path: Path) -> AsyncIterator[Index]:
    """Give an index with one slot, which is taken, and three tasks that wait."""
    with opened(path, max_running=1) as index:
        assert await index.add(asked("runs"), CREATED) is Added.CLAIMED
        for task_id, priority in (("low", -1), ("older", 5), ("younger", 5)):
            assert await index.add(asked(task_id, priority=priority), CREATED) is Added.LEFT
        yield index


def asked(task_id: str, **fields: Any) -> dict[str, Any]:
    """Return what is stored of a task, as `accepted` makes it."""
    return {
        "taskId": task_id,
        "machine": "echo",
        "priority": 0,
        "labels": {},
        "createdAt": "2026-11-24T09:00:00.000000+00:00",
        **fields,
    }


async def state_of(index: Index, task_id: str) -> State | None:
    row = await index.get(task_id)
    return row.state if row else None


async def owner_of(index: Index, task_id: str) -> str | None:
    row = await index.get(task_id)
    assert row is not None
    return row.owner


async def events_of(index: Index) -> list[tuple[str, str, str | None, int | None]]:
    events = await index.events_after(0, 1000)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    return [(event.task_id, event.state, event.outcome, event.exit_code) for event in events]


def test_what_was_added_is_there(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            assert await index.is_empty()
            task = asked("a", labels={"team": "blue"}, name="Title", resources={})
            assert await index.add(task, CREATED) is Added.CLAIMED
            assert not await index.is_empty()
            row = await index.get("a")
            assert row is not None
            assert (row.task_id, row.state, row.over, row.owner) == ("a", "created", False, "me")
            assert (row.asked, row.record, row.created_at) == (task, {}, task["createdAt"])
            assert await index.get("b") is None
            assert await index.task_ids() == {"a"}
            assert await index.owned() == ["a"]
            assert await index.owners() == ["me"]

    run(test())


def test_a_task_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index, opened(tmp_path / "index", "other") as other:
            assert await index.add(asked("a", labels={"team": "blue"}), CREATED) is Added.CLAIMED
            before = await index.get("a")
            again = asked("a", labels={"team": "red"})
            assert await other.add(again, RUNNING) is Added.KNOWN
            assert await index.add(again, EXITED) is Added.KNOWN
            assert await index.get("a") == before
            assert await index.states_of(Page(labels=[("team", "red")])) == []
            assert await events_of(index) == [("a", "created", None, None)]

    run(test())


def test_a_younger_task_takes_the_place_of_one_with_its_identifier(tmp_path: Path) -> None:
    """Its directory took that of the older one, of which somebody may still have to say so."""
    older, younger = (asked("a", createdAt=f"2026-11-24T09:00:0{n}.000000+00:00") for n in (1, 2))

    async def test() -> None:
        with opened(tmp_path / "index") as index:
            await index.add(older, EXITED)
            assert await index.add(younger, CREATED) is Added.CLAIMED
            await index.remove("a", older["createdAt"])
            assert await index.add(older, EXITED) is Added.KNOWN
            row = await index.get("a")
            assert row is not None
            assert (row.asked, row.state, row.over) == (younger, "created", False)
            states = [state for _, state, _, _ in await events_of(index)]
            assert states == ["exited", "deleted", "created"]
            await index.remove("a", younger["createdAt"])
            assert await index.get("a") is None

    run(test())


def test_a_task_that_was_found_is_added_as_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index", max_running=1) as index:
            assert await index.add(asked("over"), EXITED) is Added.LEFT
            assert await index.add(asked("lost"), LOST) is Added.LEFT
            assert await index.add(asked("runs"), RUNNING) is Added.CLAIMED
            # It runs already, so it is to be watched, however many may run.
            assert await index.add(asked("runs-too"), RUNNING) is Added.CLAIMED
            assert await index.add(asked("waits"), CREATED) is Added.LEFT
            assert sorted(await index.owned()) == ["runs", "runs-too"]
            assert await owner_of(index, "over") is None
            assert await events_of(index) == [
                ("over", "exited", "failed", 3),
                ("lost", "lost", "unknown", None),
                ("runs", "running", None, None),
                ("runs-too", "running", None, None),
                ("waits", "created", None, None),
            ]
            row = await index.get("over")
            assert row is not None
            assert row.over
            assert row.record == EXITED.record

    run(test())


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_several_indexes_claim_exactly_the_limit(tmp_path: Path, limit: int) -> None:
    async def add_all(index: Index, name: str) -> int:
        tasks = (index.add(asked(f"{name}-{i}"), CREATED) for i in range(20))
        return (await asyncio.gather(*tasks)).count(Added.CLAIMED)

    async def test() -> None:
        path = tmp_path / "index"
        with (
            opened(path, "a", limit) as a,
            opened(path, "b", limit) as b,
            opened(path, "c", limit) as c,
        ):
            added = await asyncio.gather(add_all(a, "a"), add_all(b, "b"), add_all(c, "c"))
            assert sum(added) == limit
            assert await a.claim_waiting() == []
            assert await b.claim_waiting() == []
            owned = [await index.owned() for index in (a, b, c)]
            assert [len(tasks) for tasks in owned] == list(added)
            # Everything ends, one after the other: each end starts exactly one more.
            started = {task for tasks in owned for task in tasks}
            while running := [(i, task) for i in (a, b, c) for task in await i.owned()]:
                assert len(running) == min(limit, 60 - len(started) + len(running))
                claimed = await asyncio.gather(*(i.finish(task, EXITED) for i, task in running))
                more = [task for tasks in claimed for task in tasks]
                assert started.isdisjoint(more)
                started.update(more)
            assert len(started) == 60

    run(test())


def test_several_processes_claim_exactly_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "index"  # which is not there: all of them make it at the same time
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COMPETITOR, str(path), owner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for owner in ("a", "b", "c", "d")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=DEADLINE)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(added for added, _ in answers) == 10
    assert [claimed for _, claimed in answers] == [0] * 4

    async def test() -> None:
        with opened(path) as index:
            assert await index.count_states() == {"created": 100}
            rows = await index.rows_of(Page())
            assert len([row for row in rows if row.owner]) == 10

    run(test())


def test_without_a_limit_everything_is_claimed(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            assert {await index.add(asked(f"{i}"), CREATED) for i in range(50)} == {Added.CLAIMED}

    run(test())


def test_the_most_important_task_is_next_then_the_oldest(tmp_path: Path) -> None:
    async def test() -> None:
        async with three_of_priority(tmp_path / "index") as index:
            assert await index.claim_waiting() == []
            order = ["runs"]
            while claimed := await index.finish(order[-1], EXITED):
                order += claimed
            assert order == ["runs", "older", "younger", "low"]
        with opened(tmp_path / "several", max_running=1) as index:
            await index.add(asked("runs"), CREATED)
            for task_id, priority in (("c", 0), ("b", 1), ("a", 2)):
                await index.add(asked(task_id, priority=priority), CREATED)
            with opened(tmp_path / "several", "wide", max_running=3) as wide:
                assert await wide.claim_waiting() == ["a", "b"]
                assert sorted(await wide.owned()) == ["a", "b"]

    run(test())


def test_a_task_is_claimed_out_of_its_turn_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with three_of_priority(tmp_path / "index") as index:
            with opened(tmp_path / "index", "other") as other:
                claims = await asyncio.gather(index.claim("low"), other.claim("low"))
                assert sorted(claims) == [False, True]
                assert not await index.claim("low")
                assert not await other.claim("runs")
                assert not await other.claim("nowhere")
                assert await owner_of(index, "low") == ("me" if claims[0] else "other")
                await index.finish("low", EXITED)
                assert not await index.claim("low")

    run(test())


def test_a_change_is_noted_with_one_event_for_each_state(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            await index.add(asked("a"), CREATED)
            for progress in (0, 1):
                seen = Observation(State.RUNNING, {"status": {"progress": progress}})
                await index.change("a", seen)
            row = await index.get("a")
            assert row is not None
            assert (row.state, row.record) == ("running", {"status": {"progress": 1}})
            await index.change("nowhere", RUNNING)
            assert await events_of(index) == [
                ("a", "created", None, None),
                ("a", "running", None, None),
            ]

    run(test())


@pytest.mark.parametrize("end", [EXITED, LOST])
def test_a_change_never_touches_what_is_over(tmp_path: Path, end: Observation) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index, opened(tmp_path / "index", "other") as other:
            await index.add(asked("a"), CREATED)
            await index.finish("a", end)
            before, events = await index.get("a"), await events_of(index)
            await other.change("a", RUNNING)
            await other.change("a", Observation(State.STALLED, {}))
            assert await index.get("a") == before
            assert await events_of(index) == events

    run(test())


def test_a_late_result_makes_a_lost_task_exited(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            await index.add(asked("a"), CREATED)
            await index.finish("a", LOST)
            row = await index.get("a")
            assert row is not None
            assert (row.state, row.over, row.owner) == ("lost", True, None)
            await index.finish("a", EXITED)
            row = await index.get("a")
            assert row is not None
            assert (row.state, row.over, row.record) == ("exited", True, EXITED.record)
            assert await events_of(index) == [
                ("a", "created", None, None),
                ("a", "lost", "unknown", None),
                ("a", "exited", "failed", 3),
            ]

    run(test())


def test_what_has_exited_stays(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            await index.add(asked("a"), CREATED)
            await index.finish("a", EXITED)
            before, events = await index.get("a"), await events_of(index)
            for other in (LOST, Observation(State.EXITED, {"outcome": "succeeded"})):
                await index.finish("a", other)
            assert await index.get("a") == before
            assert await events_of(index) == events

    run(test())


def test_the_tasks_of_a_dead_worker_are_taken_over(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "index"
        with opened(path, "dead", 3) as dead, opened(path, "third", 4) as third:
            for task_id in ("runs", "over", "waited", "queued"):
                await dead.add(asked(task_id), CREATED)
            await third.add(asked("theirs"), CREATED)
            await dead.change("runs", RUNNING)
        with opened(path, "me", 4) as index, opened(path, "too late", 4) as too_late:
            assert sorted(await index.owners()) == ["dead", "third"]
            await index.finish("over", EXITED)
            assert sorted(await index.take_over("dead")) == ["runs", "waited"]
            assert await too_late.take_over("dead") == []
            assert await index.take_over("nobody") == []
            assert sorted(await index.owned()) == ["queued", "runs", "waited"]
            assert await owner_of(index, "theirs") == "third"
            assert await owner_of(index, "over") is None
            assert await state_of(index, "runs") is State.RUNNING

    run(test())


def test_a_removed_task_leaves_an_event_only(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            task = asked("a", labels={"team": "blue"})
            await index.add(task, CREATED)
            first = await index.get("a")
            await index.finish("a", EXITED)
            await index.remove("a")
            await index.remove("a")
            assert await index.get("a") is None
            assert await index.count_states() == {}
            assert (await events_of(index))[2:] == [("a", "deleted", None, None)]
            with closing(sqlite3.connect(tmp_path / "index")) as connection:
                assert connection.execute("SELECT * FROM labels").fetchall() == []
            # The same again is another task: at the end of the list, with its own labels only.
            await index.add({**task, "labels": {}}, CREATED)
            second = await index.get("a")
            assert first is not None
            assert second is not None
            assert second.seq > first.seq
            assert await index.states_of(Page(labels=[("team", None)])) == []

    run(test())


class Listed(NamedTuple):
    task_id: str
    state: State
    machine: str
    labels: dict[str, str]
    created_at: str


def many_tasks() -> list[Listed]:
    states = [State.CREATED, State.RUNNING, State.EXITED, State.LOST, State.EXITED]
    labels = [{}, {"team": "blue"}, {"team": "red", "on": ""}, {"team": "blue", "on": "x"}]
    return [
        Listed(
            f"t{i}",
            states[i % 5],
            ("echo", "command", "countdown")[i % 3],
            labels[i % 4],
            f"2026-11-{10 + i * 7 % 20}T09:00:00.000000+00:00",
        )
        for i in range(40)
    ]


def fits(task: Listed, page: Page) -> bool:
    return (
        (not page.states or task.state in page.states)
        and page.machine in (None, task.machine)
        and all(
            name in task.labels and value in (None, task.labels[name])
            for name, value in page.labels
        )
        and (page.since is None or task.created_at >= page.since)
    )


FILTERS = itertools.product(
    [(), ("exited",), ("created", "lost"), ("stalled",)],
    [None, "echo", "nope"],
    [
        (),
        (("team", None),),
        (("team", "blue"),),
        (("team", "blue"), ("on", None)),
        (("on", ""), ("team", "red")),
        (("team", "blue"), ("team", "red")),
    ],
    [None, "2026-11-20T09:00:00.000000+00:00"],
    [False, True],
)


def test_pages_by_every_filter_in_both_orders(tmp_path: Path) -> None:
    tasks = many_tasks()

    async def walk(index: Index, page: Page) -> list[str]:
        """Return what is found from page to page."""
        found: list[str] = []
        while states := await index.states_of(page):
            rows = await index.rows_of(page)
            assert states == [(row.seq, row.task_id, row.state) for row in rows]
            assert len(states) <= page.limit
            found += [task_id for _, task_id, _ in states]
            page = page._replace(after=states[-1][0])
        return found

    async def test() -> None:
        with opened(tmp_path / "index") as index:
            for task in tasks:
                fields = {"machine": task.machine, "labels": task.labels}
                record = asked(task.task_id, createdAt=task.created_at, **fields)
                await index.add(record, Observation(task.state, {}))
            sizes = set()
            for states, machine, labels, since, descending in FILTERS:
                page = Page(states, machine, labels, since, None, descending, 3)
                expected = [task.task_id for task in tasks if fits(task, page)]
                sizes.add(len(expected))
                assert await walk(index, page) == expected[:: -1 if descending else 1], page
            assert {0, 40} < sizes  # else the filters would be too lax or too strict to tell
            assert await index.count_states() == {
                "created": 8,
                "running": 8,
                "exited": 16,
                "lost": 8,
            }

    run(test())


def test_the_values_of_a_filter_are_not_sql(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            name = "o'); DROP TABLE tasks; --"
            await index.add(asked("a", machine=name, labels={name: name}), CREATED)
            page = Page(states=["created"], machine=name, labels=[(name, name)])
            assert len(await index.states_of(page)) == 1
            assert await index.states_of(Page(machine="' OR 1 OR '")) == []

    run(test())


def test_secrets_are_never_in_the_files(tmp_path: Path) -> None:
    secrets = ("p4rameter-9f1c", "v4riable-77ab", "N4ME_OF_IT")

    def content() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("index*"))

    async def test() -> None:
        with opened(tmp_path / "index", max_running=1) as index:
            task = asked(
                "a",
                labels={"visible": "l4bel-0d2e"},
                parameters=[f"ECHO {secrets[0]}"],
                env={secrets[2]: secrets[1]},
            )
            await index.add(task, CREATED)
            await index.add({**task, "taskId": "b"}, CREATED)
            await index.change("a", RUNNING)
            await index.finish("a", EXITED)
            row = await index.get("b")
            assert row is not None
            assert row.asked.keys().isdisjoint({"parameters", "env"})
            while_open = content()
        for data in (while_open, content()):
            assert b"l4bel-0d2e" in data  # so a secret would be found as well
            assert [secret for secret in secrets if secret.encode() in data] == []

    run(test())


def test_the_index_is_for_its_user_only(tmp_path: Path) -> None:
    with opened(tmp_path / "index"):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("index", "index-wal", "index-shm"), 0o600)


def test_old_events_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def numbers(index: Index) -> list[int]:
        return [event.number for event in await index.events_after(0, 1000)]

    async def test() -> None:
        with opened(tmp_path / "index") as index:
            await index.forget_old_events()
            assert (await index.events_range())[1:] == (0, 0)
            for i in range(10):
                await index.add(asked(f"{i}"), CREATED)
            monkeypatch.setattr(index_module, "EVENTS_KEPT", 10)
            await index.forget_old_events()
            assert await numbers(index) == list(range(1, 11))
            monkeypatch.setattr(index_module, "EVENTS_KEPT", 4)
            await index.forget_old_events()
            assert await numbers(index) == [7, 8, 9, 10]
            assert (await index.events_range())[1:] == (7, 10)
            assert [event.number for event in await index.events_after(8, 1)] == [9]
            assert len(await index.task_ids()) == 10

    run(test())


def test_events_have_a_time_and_go_on_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index:
            await index.add(asked("a"), CREATED)
            epoch, _, _ = await index.events_range()
        with opened(tmp_path / "index") as index:
            await index.finish("a", EXITED)
            one, two = await index.events_after(0, 1000)
            assert isinstance(one, Event)
            assert (one.number, two.number) == (1, 2)
            assert one.at <= two.at
            assert await index.events_range() == (epoch, 1, 2)

    run(test())


def test_an_epoch_is_of_one_file(tmp_path: Path) -> None:
    async def test() -> None:
        with (
            opened(tmp_path / "index") as one,
            opened(tmp_path / "index") as same,
            opened(tmp_path / "other") as other,
        ):
            epochs = [(await index.events_range())[0] for index in (one, same, other)]
            assert epochs[0] == epochs[1] != epochs[2]
            assert "-" not in "".join(epochs)  # which ends it in a cursor

    run(test())


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION - 1])
def test_another_version_is_thrown_away(tmp_path: Path, version: int) -> None:
    path = tmp_path / "index"

    async def test() -> None:
        with opened(path) as index:
            for task_id in ("a", "b"):
                await index.add(asked(task_id, labels={"x": "y"}), CREATED)
            epoch, _, _ = await index.events_range()
        connection = sqlite3.connect(path)
        connection.execute("ALTER TABLE tasks DROP COLUMN asked")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        with opened(path) as index:
            assert await index.is_empty()
            another, first, last = await index.events_range()
            assert another != epoch
            assert (first, last) == (0, 0)
            await index.add(asked("a"), CREATED)
            assert await index.states_of(Page(labels=[("x", None)])) == []
            assert await events_of(index) == [("a", "created", None, None)]
        with opened(path) as index:  # and this one is kept
            assert await index.task_ids() == {"a"}
            assert (await index.events_range())[0] == another

    run(test())


def test_every_write_moves_the_data_version_and_no_read_does(tmp_path: Path) -> None:
    async def test() -> None:
        with opened(tmp_path / "index") as index, opened(tmp_path / "index", "other") as other:
            versions = [await index.data_version()]
            for writer in (index, other):
                await writer.add(asked(f"by {writer is other}"), CREATED)
                versions.append(await index.data_version())
            assert len(set(versions)) == 3
            await index.task_ids()
            assert await index.data_version() == versions[-1]

    run(test())
