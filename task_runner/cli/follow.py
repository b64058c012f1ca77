"""Following one task: its output as it comes, its progress, and its end."""

import asyncio
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from task_runner.cli.endings import exit_code_of, told_end
from task_runner.cli.failure import INTERRUPTED, say
from task_runner.cli.node import following, told
from task_runner.cli.screen import Screen
from task_runner.client import AsyncClient, ClientError, Task
from task_runner.client.verbs import new_id

INTERVAL = 0.5
"""Seconds between two looks at how far it says that it is."""


def run_and_follow(task: Mapping[str, Any]) -> int:
    """Submit a task, show its output until it is over; return the exit code for it."""
    task_id = str(task.get("taskId") or new_id())
    accepted = threading.Event()
    try:
        with told():
            ended = asyncio.run(_submitted({**task, "taskId": task_id}, accepted))
    except KeyboardInterrupt:
        say(_left(task_id) if accepted.is_set() else _unknown(task_id))
        return INTERRUPTED
    code = exit_code_of(ended)
    if code:
        say(f"{told_end(ended)}\n  next: task-runner inspect {task_id}")
    return code


def _left(task_id: str) -> str:
    return (
        f"detached; {task_id} goes on\n"
        f"  follow it again: task-runner logs -f {task_id}\n"
        f"  stop it:         task-runner stop {task_id}"
    )


def _unknown(task_id: str) -> str:
    return (
        f"interrupted before the node has said whether it runs {task_id}\n"
        f"  next: task-runner inspect {task_id}"
    )


async def _submitted(task: Mapping[str, Any], accepted: threading.Event) -> Task:
    async with following() as client:
        task_id = (await client.submit(task)).task_id
        accepted.set()
        screen = Screen()
        looking = asyncio.create_task(_look(client, task_id, screen))
        logs = [_pass_on(client, task_id, screen)]
        if task.get("stderr") == "separate":
            logs.append(_pass_on(client, task_id, screen, "stderr"))
        try:
            await asyncio.gather(*logs)
        finally:
            looking.cancel()
            screen.close()
        return await client.wait(task_id)


async def _pass_on(
    client: AsyncClient, task_id: str, screen: Screen, stream: str | None = None
) -> None:
    """Follow a log: standard error on ours, anything else on standard output."""
    file = sys.stderr if stream else sys.stdout
    async for block in client.logs(task_id, follow=True, stream=stream):
        screen.write(block, file.buffer)


async def _look(client: AsyncClient, task_id: str, screen: Screen) -> None:
    """Show how far it is again and again; that it cannot be asked right now is no failure."""
    while screen.is_shown:
        with suppress(ClientError):
            screen.progress((await client.get(task_id)).progress)
        await asyncio.sleep(INTERVAL)
