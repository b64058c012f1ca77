"""What a sandbox adds to a task, beside bubblewrap itself: one task at a time on an idle node."""

import statistics
import subprocess
import time
from typing import Any

from bench.client import Connection
from bench.measure import Bench, Row, percentile, ratio, together
from bench.node import Node
from bench.throughput import ECHO, TRUE
from task_runner.isolation.sandbox_view import View, arguments_of

BARE = ("bwrap", *arguments_of(View("/", (), (), (), (), False)), "--", "/bin/true")
SANDBOX = {"isolation": "sandbox"}


def run(bench: Bench) -> list[Row]:
    count, rounds = bench.amount(30, 5), bench.amount(5, 2)
    bare: list[list[float]] = []
    added: dict[str, list[list[float]]] = {"/bin/true": [], "echo": []}
    with Node(bench.path("node")) as node:
        for task in (TRUE, ECHO):
            _tasks(node, {**task, **SANDBOX}, 3)
        node.group.settle()
        for _ in range(rounds):
            bare.append([_bare() for _ in range(count)])
            for name, task in (("/bin/true", TRUE), ("echo", ECHO)):
                plain = statistics.median(_tasks(node, task, count))
                boxed = _tasks(node, {**task, **SANDBOX}, count)
                added[name].append([seconds - plain for seconds in boxed])
    return [
        _row("a sandbox adds to /bin/true", added["/bin/true"], bare, 6),
        _row("a sandbox adds to echo (Python)", added["echo"], bare, 30),
    ]


def _bare() -> float:
    begin = time.perf_counter()
    subprocess.run(BARE, check=True)
    return time.perf_counter() - begin


def _tasks(node: Node, task: dict[str, Any], count: int) -> list[float]:
    """Return the seconds from submission to the known end of each of them."""
    with node.connect() as connection:  # a new one: an idle one is closed after some seconds
        return [_task(connection, task) for _ in range(count)]


def _task(connection: Connection, task: dict[str, Any]) -> float:
    begin = time.perf_counter()
    task_id = connection.call("POST", "/v1/tasks", task, 201)["taskId"]
    view = connection.call("GET", f"/v1/tasks/{task_id}?wait=60")
    if view["outcome"] != "succeeded":
        raise ValueError(f"a task did not succeed: {view}")
    return time.perf_counter() - begin


def _row(name: str, added: list[list[float]], bare: list[list[float]], target: float) -> Row:
    floors = [statistics.median(each) for each in bare]
    times = ratio([statistics.median(each) for each in added], floors)
    shown = percentile(together(added), 50) * 1000
    return Row(
        f"{name}, submit to known finished, p50",
        f"{times:.1f} x bare bwrap",
        f"<= {target} x",
        times <= target,
        f"bwrap ... true {statistics.median(floors) * 1000:.1f} ms",
        [f"{shown:.1f} ms more than without, N={len(together(added))}"],
    )
