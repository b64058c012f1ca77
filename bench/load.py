"""Many tasks at once and many clients that wait or follow; then more than there are open files."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import uvloop

from bench.client import CONNECTIONS, NOT_OVER, Address, parse_head, request_bytes
from bench.download import memory_of
from bench.measure import MIB, Bench, Row, percentile
from bench.node import Node
from task_runner.lib.task_dir import read_json

SCRIPT = "mkfifo go; echo begun; read word < go; echo over"
"""Costs nothing until somebody writes to `go`."""
FEW_FILES = 300
PROBES = 50
PATIENCE = 600.0
NDJSON = "application/x-ndjson"


def run(bench: Bench) -> list[Row]:
    tasks, clients = bench.amount(2000, 40), bench.amount(1000, 20)
    return [
        *_within_limits(bench.path("many"), tasks, clients),
        _beyond_limits(bench.path("few-files"), bench.amount(600, 400)),
    ]


def _within_limits(work_dir: str, tasks: int, clients: int) -> list[Row]:
    with Node(work_dir) as node:
        begin = time.perf_counter()
        accepted, refused = uvloop.run(_submit(node.address, tasks))
        started = time.perf_counter() - begin
        if refused:
            raise ValueError(f"submissions refused: {refused}")
        seen = uvloop.run(_serve_clients(node, accepted, clients))
    errors = [*seen.errors, *(f"{count} x {name}" for name, count in seen.wrong.items())]
    return [
        Row(
            f"{tasks} tasks running, {clients} clients waiting or following: errors",
            f"{len(errors)}",
            "0",
            not errors,
            notes=[
                f"started in {started:.1f} s ({tasks / started:.0f} /s) over {CONNECTIONS} "
                f"connections; meanwhile a view took p50 {percentile(seen.views, 50):.1f} ms, p99 "
                f"{percentile(seen.views, 99):.1f} ms",
                f"all released at once: the last client was answered after {seen.seconds:.1f} s",
                f"worker: {seen.memory:.0f} MiB resident, {seen.files} open files",
                *errors[:3],
            ],
        )
    ]


def _beyond_limits(work_dir: str, tasks: int) -> Row:
    limit = ("prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}")
    with Node(work_dir, limit) as node:
        accepted, refused = uvloop.run(_submit(node.address, tasks))
        uvloop.run(_release(node, accepted))
        outcomes = uvloop.run(_outcomes(node))
        again, _ = uvloop.run(_submit(node.address, 1))
        uvloop.run(_release(node, again))
    stored = sum(outcomes.values())
    good = set(refused) == {503} and outcomes == {"succeeded": len(accepted)} and bool(again)
    return Row(
        f"{tasks} submissions to a service with {FEW_FILES} open files: done / refused",
        f"{stored} / {sum(refused.values())}",
        "no other",
        good,
        notes=[
            f"{len(accepted)} accepted, outcomes {dict(outcomes)}; refused {dict(refused)}; "
            f"afterwards {'accepted again' if again else 'still refused'}"
        ],
    )


class _Seen:
    """What was seen while everything was open."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.wrong: Counter[str] = Counter()
        self.views: list[float] = []
        self.seconds = 0.0
        self.memory = 0.0
        self.files = 0


async def _submit(address: Address, count: int) -> tuple[list[str], Counter[int]]:
    """Submit over several connections; return the accepted tasks, and how others were refused."""
    task = {"machine": "command", "parameters": {"argv": ["sh", "-c", SCRIPT]}}
    accepted: list[str] = []
    refused: Counter[int] = Counter()
    numbers = iter(range(count))

    async def submit_some() -> None:
        for _ in numbers:
            status, answer = await _call(address, request_bytes("POST", "/v1/tasks", task))
            if status == 201:
                accepted.append(answer["taskId"])
            else:
                refused[status] += 1

    await asyncio.gather(*(submit_some() for _ in range(CONNECTIONS)))
    return accepted, refused


async def _call(address: Address, request: bytes) -> tuple[int, Any]:
    """Send a request on a connection of its own, and return the status and the answer."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        status, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
        return status, json.loads(await reader.readexactly(int(headers[b"content-length"])))
    finally:
        writer.close()


async def _serve_clients(node: Node, tasks: list[str], clients: int) -> _Seen:
    """Open all clients, look how it does, release the tasks, and wait for every client."""
    seen = _Seen()
    chosen = tasks[:clients]
    opened = asyncio.Semaphore(0)
    kinds = (_wait, _follow)
    jobs = [
        asyncio.create_task(_checked(kinds[number % 2], node.address, task_id, opened, seen))
        for number, task_id in enumerate(chosen)
    ]
    for _ in chosen:
        await opened.acquire()
    await _look(node, tasks, seen)
    begin = time.perf_counter()
    await _release(node, tasks)
    await asyncio.wait_for(asyncio.gather(*jobs), PATIENCE)
    seen.seconds = time.perf_counter() - begin
    outcomes = await _outcomes(node)
    seen.wrong.update({name: n for name, n in outcomes.items() if name != "succeeded"})
    if sum(outcomes.values()) != len(tasks):
        seen.errors.append(f"{sum(outcomes.values())} tasks instead of {len(tasks)}")
    return seen


Client = Callable[[Address, str, asyncio.Semaphore], Awaitable[str | None]]


async def _checked(
    client: Client, address: Address, task_id: str, opened: asyncio.Semaphore, seen: _Seen
) -> None:
    try:
        problem = await client(address, task_id, opened)
    except (OSError, ValueError, EOFError) as error:
        problem = repr(error)
    if problem:
        seen.errors.append(problem)
        opened.release()


async def _wait(address: Address, task_id: str, opened: asyncio.Semaphore) -> str | None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request_bytes("GET", f"/v1/tasks/{task_id}?wait={PATIENCE:.0f}"))
    await writer.drain()
    opened.release()
    status, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
    view = json.loads(await reader.readexactly(int(headers[b"content-length"])))
    writer.close()
    good = status == 200 and view["outcome"] == "succeeded"
    return None if good else f"wait: {status} {view}"


async def _follow(address: Address, task_id: str, opened: asyncio.Semaphore) -> str | None:
    reader, writer = await asyncio.open_connection(*address)
    path = f"/v1/tasks/{task_id}/log?follow=true"
    writer.write(request_bytes("GET", path, accept=NDJSON))
    await reader.readuntil(b'"begun"}\n')
    opened.release()
    rest = await reader.readuntil(b'"end": true')
    writer.close()
    return None if b'"over"' in rest else f"follow: {rest!r}"


async def _look(node: Node, tasks: list[str], seen: _Seen) -> None:
    for task_id in tasks[:PROBES]:
        begin = time.perf_counter()
        _, view = await _call(node.address, request_bytes("GET", f"/v1/tasks/{task_id}"))
        seen.views.append((time.perf_counter() - begin) * 1000)
        if view["state"] != "running":
            seen.wrong[view["state"]] += 1
    (worker,) = node.workers()
    seen.files = len(os.listdir(f"/proc/{worker}/fd"))
    seen.memory = memory_of(worker, "VmRSS") / MIB


async def _release(node: Node, tasks: list[str]) -> None:
    """Let every task go on; one that has not come so far yet is tried again."""
    left = list(tasks)
    while left:
        waiting = []
        for task_id in left:
            path = f"{node.work_dir}/task-{task_id}/files/go"
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # no FIFO yet, or nobody reads it yet
                waiting.append(task_id)
                continue
            with suppress(BrokenPipeError):
                os.write(fd, b"go\n")
            os.close(fd)
        left = waiting
        await asyncio.sleep(0.02)


async def _outcomes(node: Node) -> Counter[str]:
    """Return how all tasks have ended, once each has."""
    deadline = time.monotonic() + PATIENCE
    question = request_bytes("GET", f"/v1/tasks?limit=1&{NOT_OVER}")
    while (await _call(node.address, question))[1]:
        if time.monotonic() > deadline:
            raise TimeoutError("the tasks do not end")
        await asyncio.sleep(0.1)
    records = (read_json(directory.status) or {} for directory in node.directories())
    return Counter(str(record.get("outcome")) for record in records)
