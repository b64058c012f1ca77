import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from task_runner.service.index.database import Database
from task_runner.service.index.index_file import IndexFile

DEADLINE = 30.0
A_WHILE = 0.3
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""

VISITOR = """
import sys
from task_runner.service.index.database import Database
Database(sys.argv[1], "visitor").close()
"""


def run(test: Coroutine[Any, Any, None]) -> None:
    async def with_deadline() -> None:
        async with asyncio.timeout(DEADLINE):
            await test

    asyncio.run(with_deadline())


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    with closing(Database(str(path), "epoch")) as database:
        await database.write(lambda connection: connection.execute("CREATE TABLE n (i UNIQUE)"))
        yield database


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process write; it goes on until a line is written to it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder


def let_go(holder: subprocess.Popen[str]) -> None:
    holder.communicate("go\n", timeout=DEADLINE)
    assert holder.returncode == 0


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO n VALUES (?)", (number,))
        return number

    return operation


def insert_and_fail(number: int, problem: Exception) -> Callable[[sqlite3.Connection], int]:
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO n VALUES (?)", (number,))
        raise problem

    return operation


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT i FROM n ORDER BY rowid")]


def committed(path: Path) -> list[int]:
    """Return what anybody else sees in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return numbers(connection)


@asynccontextmanager
async def one_batch(database: Database) -> AsyncIterator[None]:
    """Let everything that is asked for inside share a transaction."""
    gate, begun = threading.Event(), threading.Event()

    def block(_connection: sqlite3.Connection) -> None:
        begun.set()
        gate.wait(DEADLINE)

    first = asyncio.create_task(database.write(block))
    await asyncio.to_thread(begun.wait, DEADLINE)
    yield
    await asyncio.sleep(0)  # so that the tasks begin, and ask
    gate.set()
    await first


@pytest.mark.parametrize("problem", [ValueError("no"), sqlite3.OperationalError("no"), OSError(28)])
def test_a_failed_operation_undoes_only_its_own_changes(tmp_path: Path, problem: Exception) -> None:
    async def test() -> None:
        async with opened(tmp_path / "db") as database:
            async with one_batch(database):
                results = asyncio.gather(
                    database.write(insert(1)),
                    database.write(insert_and_fail(2, problem)),
                    database.write(insert(3)),
                    database.write(insert(3)),
                    database.write(insert(4)),
                    return_exceptions=True,
                )
            one, failed, three, again, four = await results
            assert (one, three, four) == (1, 3, 4)
            assert failed is problem
            assert isinstance(again, sqlite3.IntegrityError)
            assert committed(tmp_path / "db") == [1, 3, 4]
            assert await database.write(insert(5)) == 5

    run(test())


def test_what_is_asked_for_meanwhile_shares_a_transaction(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "db"
        async with opened(path) as database:
            seen: list[list[int]] = []
            async with one_batch(database):
                results = asyncio.gather(
                    *(database.write(insert(i)) for i in range(5)),
                    database.write(lambda _: seen.append(committed(path))),
                )
            await results
            assert seen == [[]]  # the others had run, and nothing was committed yet
            assert committed(path) == list(range(5))

    run(test())


def test_operations_run_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "db") as database:
            results = await asyncio.gather(*(database.write(insert(i)) for i in range(500)))
            assert results == list(range(500))
            assert await database.read(numbers) == list(range(500))
            assert committed(tmp_path / "db") == list(range(500))

    run(test())


def test_a_result_is_given_when_it_is_committed(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "db") as database:
            for i in range(20):
                await database.write(insert(i))
                assert committed(tmp_path / "db") == list(range(i + 1))

    run(test())


def test_reading_does_not_wait_for_writing(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "db") as database:
            async with one_batch(database):
                asking = asyncio.create_task(database.write(insert(1)))
                assert await database.read(numbers) == []
            await asking
            assert await database.read(numbers) == [1]

    run(test())


def test_an_asker_who_leaves_takes_nothing_from_the_others(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "db") as database:
            async with one_batch(database):
                leaves = asyncio.create_task(database.write(insert(1)))
                stays = asyncio.create_task(database.write(insert(2)))
                await asyncio.sleep(0)
                leaves.cancel()
            assert await stays == 2
            with pytest.raises(asyncio.CancelledError):
                await leaves

    run(test())


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "db"
        async with opened(path) as database:
            with held_by_another_process(path) as holder:
                writing = asyncio.create_task(database.write(insert(1)))
                done, _ = await asyncio.wait({writing}, timeout=A_WHILE)
                assert not done
                assert await database.read(numbers) == []  # readers do not wait
                let_go(holder)
            assert await writing == 1
            assert committed(path) == [1]

    run(test())


def test_opening_waits_for_another_writer(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "db"
        async with opened(path):
            with held_by_another_process(path) as holder:
                opening = asyncio.create_task(asyncio.to_thread(Database, str(path), "another"))
                done, _ = await asyncio.wait({opening}, timeout=A_WHILE)
                assert not done
                let_go(holder)
            database = await opening
            with closing(database):
                assert await database.read(numbers) == []

    run(test())


def test_another_process_that_comes_and_goes_takes_nothing_away(tmp_path: Path) -> None:
    """Whoever closes the file as the last one removes the log; it must not think that it is."""

    async def test() -> None:
        path = tmp_path / "db"
        async with opened(path) as database:
            for i in range(3):
                visitor = [sys.executable, "-c", VISITOR, str(path)]
                await asyncio.to_thread(subprocess.run, visitor, check=True)
                assert path.with_name("db-wal").exists()
                await database.write(insert(i))
                assert committed(path) == list(range(i + 1))

    run(test())


def test_close_finishes_what_was_asked_for(tmp_path: Path) -> None:
    async def test() -> None:
        database = Database(str(tmp_path / "db"), "epoch")
        await database.write(lambda connection: connection.execute("CREATE TABLE n (i)"))
        with held_by_another_process(tmp_path / "db") as holder:
            asked = [asyncio.create_task(database.write(insert(i))) for i in range(100)]
            await asyncio.sleep(0)
            closing_it = asyncio.create_task(asyncio.to_thread(database.close))
            done, _ = await asyncio.wait({closing_it}, timeout=A_WHILE)
            assert not done
            let_go(holder)
        await closing_it
        assert committed(tmp_path / "db") == list(range(100))
        assert await asyncio.gather(*asked) == list(range(100))

    run(test())


def test_close_leaves_no_thread_and_one_file(tmp_path: Path) -> None:
    before = set(threading.enumerate())

    async def test() -> None:
        async with opened(tmp_path / "db") as database:
            await database.write(insert(1))
            await database.read(numbers)
            names = {thread.name for thread in set(threading.enumerate()) - before}
            assert {name.partition("_")[0] for name in names} == {"index-writer", "index-reader"}

    run(test())
    assert set(threading.enumerate()) <= before
    assert [path.name for path in tmp_path.iterdir()] == ["db"]  # the log went into it


SOMETHING_ELSE = b"this is something else, and long enough to tell" * 100


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(SOMETHING_ELSE)
    with closing(Database(str(path), "epoch")) as database:
        assert database.damage is not None
        aside, why = database.damage
        assert Path(aside).read_bytes() == SOMETHING_ELSE
        assert why == "file is not a database"


def test_what_others_use_is_not_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with closing(Database(str(path), "epoch")):
        for file in list(tmp_path.iterdir()):
            file.rename(tmp_path / f"kept-{file.name}")
        path.write_bytes(SOMETHING_ELSE)
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            Database(str(path), "epoch")
    assert path.read_bytes() == SOMETHING_ELSE


@pytest.mark.parametrize("error", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_what_passes_is_no_damage(tmp_path: Path, error: int) -> None:
    def connect(_path: str) -> sqlite3.Connection:
        problem = sqlite3.OperationalError("it will pass")
        problem.sqlite_errorcode = error
        raise problem

    path = tmp_path / "db"
    path.write_bytes(b"x")
    file = IndexFile(str(path))
    with pytest.raises(sqlite3.OperationalError, match="it will pass"):
        file.open(connect)
    file.close()
    assert [one.name for one in tmp_path.iterdir()] == ["db"]
