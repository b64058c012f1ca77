"""The index of all tasks: fast lists, the claims of who starts what, and the events."""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from task_runner.lib.clock import timestamp
from task_runner.lib.errors import TaskNotFoundError
from task_runner.lib.observe import Observation
from task_runner.lib.state import State
from task_runner.service.index.database import SQL, Database
from task_runner.service.index.page import Page, page_query
from task_runner.service.index.rows import Added, Event, Finished, Row, row_of

EVENTS_KEPT = 200_000
SECRET = ("parameters", "env", "policy")
"""What is never copied out of the task's own directory."""


class Index:
    """All operations on the index; `owner` is the name of this worker in claims."""

    def __init__(self, path: str, owner: str, max_running: int | None = None) -> None:
        """Open the index of a work directory. Raises sqlite3.Error."""
        self._database = Database(path, secrets.token_hex(4))
        self._owner = owner
        self._max_running = max_running

    @property
    def damage(self) -> tuple[str, str] | None:
        """What a damaged index was renamed to when this one was made, and why; None without."""
        return self._database.damage

    async def add(self, asked: Mapping[str, Any], seen: Observation) -> Added:
        """Add a task; a waiting one is claimed when a slot is free.

        One that is there already stays as it is; an older one of the same identifier is forgotten,
        as its directory is that of this one now.
        """

        def operation(connection: sqlite3.Connection) -> Added:
            names = {"task_id": asked["taskId"], "created_at": asked["createdAt"]}
            connection.execute(SQL["remove_former"], names)
            waits = seen.state is State.CREATED and not self._free_slots(connection)
            mine = not seen.state.is_over and not waits
            row = {
                **_observed(asked["taskId"], seen),
                **names,
                "over": seen.state.is_over,
                "owner": self._owner if mine else None,
                "priority": asked.get("priority", 0),
                "machine": asked["machine"],
                "asked": json.dumps({k: v for k, v in asked.items() if k not in SECRET}),
            }
            cursor = connection.execute(SQL["add"], row)
            if not cursor.rowcount:
                return Added.KNOWN
            for label in asked.get("labels", {}).items():
                connection.execute(SQL["add_label"], (cursor.lastrowid, *label))
            return Added.CLAIMED if mine else Added.LEFT

        return await self._database.write(operation)

    def _free_slots(self, connection: sqlite3.Connection) -> int:
        if self._max_running is None:
            return 1_000_000
        claimed: int = connection.execute(SQL["count_claimed"]).fetchone()[0]
        return max(0, self._max_running - claimed)

    async def change(self, task_id: str, seen: Observation) -> None:
        """Note the state of a task that is not over; one that is over stays as it is."""
        await self._database.write(
            lambda connection: connection.execute(SQL["change"], _observed(task_id, seen)).rowcount
        )

    async def finish(self, task_id: str, seen: Observation) -> list[str]:
        """Note the end of a task; return the waiting tasks this worker has now to start."""

        def operation(connection: sqlite3.Connection) -> list[str]:
            connection.execute(SQL["finish"], _observed(task_id, seen))
            # Without a limit nothing waits for the end of another.
            return [] if self._max_running is None else self._claim_waiting(connection)

        return await self._database.write(operation)

    async def set_place(self, task_id: str, place: Mapping[str, Any]) -> None:
        """Note what its environment says of a task."""
        values = (json.dumps(place), task_id)
        await self._database.write(
            lambda connection: connection.execute(SQL["set_place"], values).rowcount
        )

    async def claim_waiting(self) -> list[str]:
        """Claim as many waiting tasks as there are free slots, the most important ones first."""
        return await self._database.write(self._claim_waiting)

    def _claim_waiting(self, connection: sqlite3.Connection) -> list[str]:
        slots = self._free_slots(connection)
        claimed = [row[0] for row in connection.execute(SQL["next_waiting"], (slots,))]
        for task_id in claimed:
            connection.execute(SQL["claim"], {"task_id": task_id, "owner": self._owner})
        return claimed

    async def claim(self, task_id: str) -> bool:
        """Claim one waiting task out of its turn, in order to cancel it; False when it is not."""

        def operation(connection: sqlite3.Connection) -> bool:
            values = {"task_id": task_id, "owner": self._owner}
            return connection.execute(SQL["claim"], values).rowcount > 0

        return await self._database.write(operation)

    async def owners(self) -> list[str]:
        """Return the workers that have claimed a task."""
        return await self._database.read(lambda connection: _column(connection, SQL["owners"]))

    async def owned(self) -> list[str]:
        """Return the tasks this worker has claimed that are not over."""
        return await self._database.read(
            lambda connection: _column(connection, SQL["owned"], (self._owner,))
        )

    async def is_empty(self) -> bool:
        """Say whether there is no task at all, as in an index just made."""
        return not await self.states_of(Page(limit=1))

    async def take_over(self, dead: str) -> list[str]:
        """Take the tasks of a worker that is gone; return them."""

        def operation(connection: sqlite3.Connection) -> list[str]:
            owned = _column(connection, SQL["owned"], (dead,))
            connection.execute(SQL["take_over"], {"dead": dead, "owner": self._owner})
            return owned

        return await self._database.write(operation)

    async def remove(self, task_id: str, created_at: str | None = None) -> None:
        """Forget a task; with `created_at` not another one that has its identifier by now."""
        names = {"task_id": task_id, "created_at": created_at}
        await self._database.write(
            lambda connection: connection.execute(SQL["remove"], names).rowcount
        )

    async def get(self, task_id: str) -> Row | None:
        """Return a task, None when there is none."""

        def operation(connection: sqlite3.Connection) -> Row | None:
            row = connection.execute(SQL["get"], (task_id,)).fetchone()
            return None if row is None else row_of(row)

        return await self._database.read(operation)

    async def known(self, task_id: str) -> Row:
        """Return a task. Raises TaskNotFoundError."""
        row = await self.get(task_id)
        if row is None:
            raise TaskNotFoundError(f"there is no task {task_id!r}")
        return row

    async def task_ids(self) -> set[str]:
        """Return the identifiers of all tasks."""
        return set(
            await self._database.read(lambda connection: _column(connection, SQL["task_ids"]))
        )

    async def rows_of(self, page: Page) -> list[Row]:
        """Return the tasks of a page."""
        query, values = page_query("*", page)
        return await self._database.read(
            lambda connection: [row_of(row) for row in connection.execute(query, values)]
        )

    async def states_of(self, page: Page) -> list[tuple[int, str, str]]:
        """Return place, identifier and state of the tasks of a page."""
        query, values = page_query("seq, task_id, state", page)
        return await self._database.read(
            lambda connection: [tuple(row) for row in connection.execute(query, values)]
        )

    async def count_states(self) -> dict[str, int]:
        """Return how many tasks are in each state."""
        return dict(
            await self._database.read(
                lambda connection: [tuple(row) for row in connection.execute(SQL["count_states"])]
            )
        )

    async def finished_totals(self) -> tuple[int, int]:
        """Return how many tasks are over, and the bytes of those that were measured."""

        def operation(connection: sqlite3.Connection) -> tuple[int, int]:
            count, size = connection.execute(SQL["finished_totals"]).fetchone()
            return count, size

        return await self._database.read(operation)

    async def finished_after(self, last: Finished, limit: int) -> list[Finished]:
        """Return the tasks that are over and ended after another one, the oldest end first."""

        def operation(connection: sqlite3.Connection) -> list[Finished]:
            values = (last.finished_at, last.seq, limit)
            return [Finished(*row) for row in connection.execute(SQL["finished_after"], values)]

        return await self._database.read(operation)

    async def unmeasured(self, limit: int) -> list[str]:
        """Return tasks that are over whose size nobody has noted."""
        return await self._database.read(
            lambda connection: _column(connection, SQL["unmeasured"], (limit,))
        )

    async def note_sizes(self, sizes: Mapping[str, int]) -> None:
        """Note the bytes of tasks that are over."""
        rows = [(size, task_id) for task_id, size in sizes.items()]
        await self._database.write(
            lambda connection: connection.executemany(SQL["note_size"], rows).rowcount
        )

    async def events_after(self, number: int, limit: int) -> list[Event]:
        """Return the events that follow an event, oldest first."""

        def operation(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(SQL["events_after"], (number, limit))
            return [Event(*row) for row in rows]

        return await self._database.read(operation)

    async def events_range(self) -> tuple[str, int, int]:
        """Return the name of this index's epoch, the first event kept and the last one."""

        def operation(connection: sqlite3.Connection) -> tuple[str, int, int]:
            return (
                connection.execute(SQL["epoch"]).fetchone()[0],
                connection.execute(SQL["first_event"]).fetchone()[0],
                connection.execute(SQL["last_event"]).fetchone()[0],
            )

        return await self._database.read(operation)

    async def data_version(self) -> int:
        """Return a number that moves whenever anything was written, by whichever process."""
        return await self._database.read(
            lambda connection: int(connection.execute("PRAGMA data_version").fetchone()[0])
        )

    async def forget_old_events(self) -> None:
        """Keep the newest events only."""
        await self._database.write(
            lambda connection: connection.execute(SQL["forget_events"], (EVENTS_KEPT,)).rowcount
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _observed(task_id: str, seen: Observation) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "state": seen.state,
        "record": json.dumps(seen.record),
        "outcome": seen.record.get("outcome"),
        "exit_code": seen.exit_code,
        "finished_at": _end_of(seen),
    }


def _end_of(seen: Observation) -> str | None:
    """Return when a task ended, as far as anybody knows."""
    if not seen.state.is_over:
        return None
    return seen.record.get("finished_at") or seen.record.get("judged_at") or timestamp()


def _column(connection: sqlite3.Connection, query: str, values: Iterable[Any] = ()) -> list[str]:
    return [row[0] for row in connection.execute(query, tuple(values))]
