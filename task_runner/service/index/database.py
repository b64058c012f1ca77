"""SQLite off the event loop: one thread that writes, one that reads.

Whatever is asked for while a transaction is under way shares the next one, so a burst of tasks
costs few commits; see https://sqlite.org/wal.html.
"""

import asyncio
import os
import queue
import re
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import quote

from task_runner.lib.fault_points import Step, reach
from task_runner.service.index.index_file import IndexFile

Result = TypeVar("Result")
Operation = Callable[[sqlite3.Connection], Result]
Job = tuple[Operation[Any], "asyncio.Future[Any]"]

BUSY_TIMEOUT = 60.0
"""Seconds to wait for a writer in another process."""
SCHEMA_VERSION = 4
APPLICATION_ID = int.from_bytes(b"task")
"""Says of a file that it is ours, see https://sqlite.org/pragma.html#pragma_application_id."""


MAGIC = b"SQLite format 3\0"
"""How each database begins, see https://sqlite.org/fileformat.html."""


def load_statements() -> dict[str, str]:
    """Return the statements of `index.sql` by their names."""
    text = resources.files("task_runner.service.index").joinpath("index.sql").read_text()
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SQL = load_statements()


def connect(path: str) -> sqlite3.Connection:
    """Open the index, which is made when it is not there or of another version."""
    # Only when it is new: closing any descriptor of an open database would drop the locks that
    # SQLite has on it in this process, and another process would take the log away from us.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_schema(connection: sqlite3.Connection, epoch: str) -> None:
    """Make the tables unless they are there. Another version of them is thrown away.

    Raises sqlite3.Error when it is a database of another program.
    """
    connection.execute("BEGIN IMMEDIATE")
    is_ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not is_ours and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise sqlite3.DatabaseError("it is a database of another program, or of an old version")
    if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        for table in ("events", "labels", "sizes", "tasks", "epoch"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for name in ("tables", "triggers"):
            for statement in SQL[name].split(";;\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute(SQL["begin_epoch"], (epoch,))
    connection.execute("COMMIT")
    for table in SQL["check"].split(";;\n"):
        connection.execute(table)


def is_index(path: str) -> bool:
    """Say whether a file is an index, is empty, or may have been an index before it was damaged.

    Nothing is written to it. Raises OSError.
    """
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        begin = file.read(len(MAGIC))
    if begin != MAGIC:
        return not begin
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
        try:
            is_ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        except sqlite3.DatabaseError:
            return True
    return is_ours or not tables


def _made(path: str, epoch: str) -> sqlite3.Connection:
    connection = connect(path)
    try:
        make_schema(connection, epoch)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class Database:
    """Runs operations (functions of a connection) in the right thread; await their results."""

    def __init__(self, path: str, epoch: str) -> None:
        """Open the file. `epoch` names the index when it has to be made. Raises sqlite3.Error."""
        self._file = IndexFile(path)
        try:
            self._writing = self._file.open(lambda path: _made(path, epoch))
        except BaseException:
            self._file.close()
            raise
        self._reading = connect(path)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._reader = ThreadPoolExecutor(1, "index-reader")
        self._writer = threading.Thread(target=self._write_jobs, name="index-writer", daemon=True)
        self._writer.start()

    @property
    def damage(self) -> tuple[str, str] | None:
        """What a damaged file was renamed to when this one was made, and why; None without."""
        return self._file.damage

    async def write(self, operation: Operation[Result]) -> Result:
        """Run in a transaction of its own or shared with others; returns when it is committed."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._jobs.put((operation, future))
        return await future

    async def read(self, operation: Operation[Result]) -> Result:
        """Run outside of a transaction."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, operation, self._reading)

    def _write_jobs(self) -> None:
        closing = False
        while not closing:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            closing = None in jobs
            if wanted := [job for job in jobs if job is not None]:
                self._write_together(wanted)

    def _write_together(self, jobs: list[Job]) -> None:
        results: list[tuple[asyncio.Future[Any], Any, Exception | None]]
        try:
            results = [(future, result, None) for future, result in self._transact(jobs)]
        except Exception as problem:
            if len(jobs) > 1:  # none was done: each for itself, so that one does not spoil the rest
                for job in jobs:
                    self._write_together([job])
                return
            results = [(jobs[0][1], None, problem)]
        loop = jobs[0][1].get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_deliver, results)

    def _transact(self, jobs: list[Job]) -> list[tuple["asyncio.Future[Any]", Any]]:
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            results = [(future, operation(self._writing)) for operation, future in jobs]
            reach(Step.COMMIT)
            self._writing.execute("COMMIT")
        except BaseException:
            if self._writing.in_transaction:
                self._writing.execute("ROLLBACK")
            raise
        return results

    def close(self) -> None:
        """Finish what was asked for, then close."""
        self._jobs.put(None)
        self._writer.join()
        self._reader.shutdown()
        self._reading.close()
        self._writing.close()
        self._file.close()


def _deliver(results: list[tuple["asyncio.Future[Any]", Any, Exception | None]]) -> None:
    for future, result, problem in results:
        if future.done():  # whoever asked was canceled
            continue
        if problem is None:
            future.set_result(result)
        else:
            future.set_exception(problem)
