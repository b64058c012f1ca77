"""From the start of the server to ready, after a SIGKILL with many tasks, and with none."""

import statistics

from bench.client import submit_all
from bench.made import finished_directories
from bench.measure import Bench, Row, spread
from bench.memory import SLEEP
from bench.node import Node


def run(bench: Bench) -> list[Row]:
    running, finished = bench.amount(200, 20), bench.amount(10_000, 500)
    rounds = bench.amount(5, 2)
    finished_directories(bench.path("full"), finished)
    empty_times, full_times = [], []
    with Node(bench.path("empty")) as empty, Node(bench.path("full")) as full:
        submit_all(full.address, [SLEEP] * running)
        for _ in range(rounds):
            empty_times.append(_restart(empty))
            full_times.append(_restart(full))
        _check(full, running, finished)
    pairs = zip(full_times, empty_times, strict=True)
    beyond = statistics.median(with_tasks - without for with_tasks, without in pairs)
    return [
        Row(
            f"ready again after SIGKILL with {running} running and {finished} finished, "
            "beyond an empty node's start",
            f"{beyond:.3f} s",
            "<= 0.3 s",
            beyond <= 0.3,
            f"empty node {statistics.median(empty_times):.2f} s",
            [f"{spread(full_times, 's', 3)}; empty node {spread(empty_times, 's', 3)}"],
        )
    ]


def _restart(node: Node) -> float:
    # Quiet, so that what one node does after it is ready does not slow the other's start.
    node.group.settle()
    node.kill()
    seconds = node.start()
    node.group.settle()
    return seconds


def _check(node: Node, running: int, finished: int) -> None:
    """Raise ValueError unless every task is where it was before."""
    with node.connect() as connection:
        text = connection.call("GET", "/metrics").decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    counts = {name: float(value) for name, value in lines}
    for state, expected in (("running", running), ("exited", finished)):
        there = counts[f'task_runner_tasks{{state="{state}"}}']
        if there != expected:
            raise ValueError(f"{there} tasks instead of {expected} are {state}")
