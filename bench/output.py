"""A gigabyte of output as a task, against the same command with its output in a file."""

import os
import statistics
import subprocess
import time
from datetime import datetime

from bench.client import Connection
from bench.measure import Bench, Row, ratio, spread
from bench.node import Node

LINES = ["seq", "111111110"]
"""Numbered lines, 1 GB in all; made by one process, about as fast as text is ever printed."""
FEW_LINES = ["seq", "5000000"]
ZEROS = ["head", "-c", "1000000000", "/dev/zero"]
"""No work at all: what this takes is the way of the bytes."""


def run(bench: Bench) -> list[Row]:
    rounds = bench.amount(5, 1)
    lines = FEW_LINES if bench.quick else LINES
    with Node(bench.path("node")) as node:
        ours, floor = _turns(bench, node, lines, rounds)
        zeros, zero_floor = _turns(bench, node, ZEROS, rounds)
    factor = ratio(ours, floor)
    return [
        Row(
            "1 GB of output, run time against the same command redirected to a file",
            f"{factor:.2f} x",
            "<= 1.1 x",
            factor <= 1.1,
            f"file {statistics.median(floor):.2f} s",
            [
                f"`{' '.join(lines)}`: {spread(ours, 's', 2)}; to a file {spread(floor, 's', 2)}",
                f"`{' '.join(ZEROS)}`, the worst case: {ratio(zeros, zero_floor):.2f} x; "
                f"{spread(zeros, 's', 2)}; to a file {spread(zero_floor, 's', 2)}",
            ],
        )
    ]


def _turns(
    bench: Bench, node: Node, argv: list[str], rounds: int
) -> tuple[list[float], list[float]]:
    ours, floor = [], []
    for _ in range(rounds):
        floor.append(_to_file(bench.path("redirected"), argv))
        ours.append(_as_task(node, argv))
    return ours, floor


def _to_file(path: str, argv: list[str]) -> float:
    os.sync()  # nothing of an earlier turn is still to be written
    with open(path, "wb") as file:
        begin = time.perf_counter()
        subprocess.run(argv, stdout=file, check=True)
        seconds = time.perf_counter() - begin
    os.unlink(path)
    return seconds


def _as_task(node: Node, argv: list[str]) -> float:
    os.sync()
    with node.connect() as connection:
        view = run_command(connection, argv)
        connection.call("DELETE", f"/v1/tasks/{view['taskId']}")
    began, ended = (datetime.fromisoformat(str(view[key])) for key in ("startedAt", "finishedAt"))
    return (ended - began).total_seconds()


def run_command(connection: Connection, argv: list[str], **fields: object) -> dict[str, object]:
    """Run a command as a task and return its view. Raises ValueError when it fails."""
    task = {"machine": "command", "parameters": {"argv": argv}, **fields}
    task_id = connection.call("POST", "/v1/tasks", task, 201)["taskId"]
    view: dict[str, object] = connection.call("GET", f"/v1/tasks/{task_id}?wait=100")
    if view["outcome"] != "succeeded":
        raise ValueError(f"{argv} did not succeed: {view}")
    return view
