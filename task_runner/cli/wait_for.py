"""Waiting for several tasks at once; on a terminal, with a bar for each that tells its progress."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from task_runner.cli.columns import state
from task_runner.cli.endings import TIMED_OUT, exit_code_of, told_end
from task_runner.cli.failure import OURS, Failure, say
from task_runner.cli.node import connected, following, task_id_of, told
from task_runner.client import AsyncClient, ClientError, Task, WaitTimeoutError

INTERVAL = 0.5
"""Seconds between two looks at how far they say that they are."""


class TooLate(Failure):
    """The time to wait was over first."""

    exit_code = TIMED_OUT


def wait_for(words: Sequence[str], states: Sequence[str], timeout: float | None) -> list[Task]:
    """Return the tasks once each is over, or in one of the states. Raises Failure."""
    with connected() as client:
        ids = [task_id_of(client, word) for word in words]
    with told():
        try:
            return asyncio.run(_all(ids, states, timeout))
        except WaitTimeoutError as error:
            raise TooLate(str(error), "task-runner ps") from error


async def _all(ids: Sequence[str], states: Sequence[str], seconds: float | None) -> list[Task]:
    async with following() as client:
        watching = asyncio.create_task(_watch(client, ids))
        try:
            waits = (client.wait(one, seconds, states) for one in ids)
            return await asyncio.gather(*waits)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(client: AsyncClient, ids: Sequence[str]) -> None:
    """Show the bars; they are gone when the wait is."""
    if not os.isatty(2):
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}")
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bars = {one: progress.add_task(one, total=None, state="") for one in ids}
        while True:
            for one, bar in bars.items():
                with suppress(ClientError):
                    task = await client.get(one)
                    done = 1.0 if task.is_over else task.progress
                    total = None if done is None else 1.0
                    progress.update(bar, total=total, completed=done or 0, state=state(task.data))
            await asyncio.sleep(INTERVAL)


def exit_code_for(tasks: Sequence[Task], states: Sequence[str]) -> int:
    """Return the exit code of a wait that has come to its end."""
    if states:
        for task in tasks:
            if task.state not in states:
                say(f"{told_end(task)}; it will not be {' or '.join(states)} any more")
                return OURS
        return 0
    return next((code for task in tasks if (code := exit_code_of(task))), 0)
