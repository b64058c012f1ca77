"""Following one task: its output as it comes, its progress, and its end."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from task_runner.cli.endings import exit_code_of, told_end
from task_runner.cli.failure import INTERRUPTED, say
from task_runner.cli.node import async_client, told
from task_runner.cli.screen import Screen
from task_runner.client import AsyncClient, ClientError, Task
from task_runner.client.verbs import new_id

INTERVAL = 0.5
"""Seconds between two looks at how far it says that it is."""


def run_and_follow(task: Mapping[str, Any]) -> int:
    """Submit a task, show its output until it is over; return the exit code for it."""
    task_id = str(task.get("taskId") or new_id())
    try:
        with told():
            ended = asyncio.run(_submitted({**task, "taskId": task_id}))
    except KeyboardInterrupt:
        say(
            f"detached; {task_id} goes on\n"
            f"  follow it again: task-runner logs -f {task_id}\n"
            f"  stop it:         task-runner stop {task_id}"
        )
        return INTERRUPTED
    code = exit_code_of(ended)
    if code:
        say(f"{told_end(ended)}\n  next: task-runner inspect {task_id}")
    return code


async def _submitted(task: Mapping[str, Any]) -> Task:
    async with async_client(patience=0) as client:
        accepted = await client.submit(task)
    screen = Screen()
    async with async_client() as client:
        looking = asyncio.create_task(_look(client, accepted.task_id, screen))
        try:
            async for block in client.logs(accepted.task_id, follow=True):
                screen.write(block)
        finally:
            looking.cancel()
            screen.close()
        return await client.wait(accepted.task_id)


async def _look(client: AsyncClient, task_id: str, screen: Screen) -> None:
    """Show how far it is again and again; that it cannot be asked right now is no failure."""
    while screen.is_shown:
        with suppress(ClientError):
            screen.progress((await client.get(task_id)).progress)
        await asyncio.sleep(INTERVAL)
