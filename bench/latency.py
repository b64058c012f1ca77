"""One task at a time on an idle node: until it is accepted and started, and until it is over."""

import statistics
import time

from bench.client import Connection
from bench.floors import Floors
from bench.measure import Bench, Row, percentile, ratio, together
from bench.node import Node
from bench.throughput import ECHO

PAUSE = 0.02
"""Seconds between two tasks: what follows an answer (syncs) is then done, the node idle again."""


def run(bench: Bench) -> list[Row]:
    count, rounds = bench.amount(60, 10), bench.amount(5, 2)
    floor, submitted, known = [], [], []
    with Floors(bench.path("floors")) as floors, Node(bench.path("node")) as node:
        floors.run("pair", 10, 1)
        with node.connect() as connection:
            _tasks(connection, 10)
            node.group.settle()
            for _ in range(rounds):
                floor.append(floors.run("pair", count, 1).each)
                times = _tasks(connection, count)
                submitted.append([a for a, _ in times])
                known.append([b for _, b in times])
    return _rows(floor, submitted, known)


def _tasks(connection: Connection, count: int) -> list[tuple[float, float]]:
    """Return the seconds until the answer to the submission, and until the end was told."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        task_id = connection.call("POST", "/v1/tasks", ECHO, 201)["taskId"]
        accepted = time.perf_counter()
        view = connection.call("GET", f"/v1/tasks/{task_id}?wait=60")
        over = time.perf_counter()
        if view["outcome"] != "succeeded":
            raise ValueError(f"a task did not succeed: {view}")
        times.append((accepted - begin, over - begin))
        time.sleep(PAUSE)
    return times


def _rows(
    floor: list[list[float]], submitted: list[list[float]], known: list[list[float]]
) -> list[Row]:
    one = [statistics.median(each) for each in floor]
    half = ratio([statistics.median(each) for each in submitted], one)
    slowest = percentile(together(submitted), 99) / statistics.median(one)
    end = ratio([statistics.median(each) for each in known], one)
    told = f"pair {statistics.median(one) * 1000:.2f} ms"
    return [
        Row(
            "submit on an idle node, p50 / p99",
            f"{half:.2f} x / {slowest:.2f} x pair floor",
            "<= 2 x / 6 x",
            half <= 2 and slowest <= 6,
            told,
            [_absolute(submitted)],
        ),
        Row(
            "submit to known finished, idle node, p50",
            f"{end:.2f} x pair floor",
            "<= 3 x",
            end <= 3,
            told,
            [_absolute(known)],
        ),
    ]


def _absolute(rounds: list[list[float]]) -> str:
    times = [seconds * 1000 for seconds in together(rounds)]
    return f"p50 {percentile(times, 50):.2f} ms, p99 {percentile(times, 99):.2f} ms, N={len(times)}"
