"""Many tasks and many clients at once; `make load` does the same with thousands."""

import asyncio
import os
from pathlib import Path

import httpx2

from tests.node import running_node

TASKS, CLIENTS = 80, 60
SCRIPT = "mkfifo go; echo begun; read word < go; echo over"
"""Ends when somebody writes to `go`, and costs nothing until then."""


async def go(path: Path) -> None:
    """Write to a FIFO as soon as somebody reads it."""
    while True:
        try:
            fd = os.open(path / "files/go", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # not there yet, or nobody reads it yet
            await asyncio.sleep(0.02)
            continue
        os.write(fd, b"go\n")
        os.close(fd)
        return


async def submit(http: httpx2.AsyncClient, turn: asyncio.Semaphore) -> str:
    task = {"machine": "command", "parameters": {"argv": ["sh", "-c", SCRIPT]}}
    async with turn:
        answer = await http.post("/v1/tasks", json=task)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["taskId"])


async def wait(http: httpx2.AsyncClient, task_id: str) -> bool:
    answer = await http.get(f"/v1/tasks/{task_id}", params={"wait": 100})
    return answer.status_code == 200 and answer.json()["outcome"] == "succeeded"


async def follow(http: httpx2.AsyncClient, task_id: str) -> bool:
    answer = await http.get(f"/v1/tasks/{task_id}/log", params={"follow": True})
    return answer.status_code == 200 and answer.content == b"begun\nover\n"


def test_many_tasks_and_many_clients(tmp_path: Path) -> None:
    async def main() -> None:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=url, timeout=110, limits=limits) as http:
            turn = asyncio.Semaphore(8)
            tasks = await asyncio.gather(*(submit(http, turn) for _ in range(TASKS)))
            clients = [
                asyncio.create_task((wait, follow)[number % 2](http, task_id))
                for number, task_id in enumerate(tasks[:CLIENTS])
            ]
            running = (await http.get("/v1/tasks", params={"state": "running"})).json()
            assert {one["taskId"] for one in running} == set(tasks)
            await asyncio.gather(*(go(tmp_path / f"work/task-{task_id}") for task_id in tasks))
            assert all(await asyncio.gather(*clients))
            assert all(await asyncio.gather(*(wait(http, task_id) for task_id in tasks)))

    with running_node(tmp_path / "work", "gunicorn", "--workers=2") as node:
        url = str(node.http.base_url)
        asyncio.run(main())
