"""Many tasks that do nothing, over HTTP: how many in a second, and what each costs in CPU time."""

import statistics
import time
from typing import Any

from bench.client import submit_all
from bench.floors import Floors
from bench.measure import Bench, Row, ratio, spread
from bench.node import Node

IN_FLIGHT = 8
ECHO = {"machine": "echo", "parameters": []}
TRUE = {"machine": "command", "parameters": {"argv": ["/bin/true"]}}


def run(bench: Bench) -> list[Row]:
    return [*_measure(bench, "echo", ECHO, "pair"), *_measure(bench, "/bin/true", TRUE, "exec")]


def _measure(bench: Bench, name: str, task: dict[str, Any], floor: str) -> list[Row]:
    count, rounds = bench.amount(1000, 100), bench.amount(3, 1)
    floors_of: dict[str, list[tuple[float, float]]] = {"fork": [], floor: []}
    ours = []
    directory = bench.path(f"against-{floor}")
    with Floors(f"{directory}/floors") as floors, Node(f"{directory}/node") as node:
        floors.run(floor, 50, IN_FLIGHT)
        submit_all(node.address, [task] * 50, until_over=True)
        node.group.settle()
        for _ in range(rounds):
            for kind, runs in floors_of.items():
                one = floors.run(kind, count, IN_FLIGHT)
                runs.append((count / one.seconds, one.cpu / count))
            ours.append(_round(node, task, count))
        _check(node, 50 + rounds * count)
    exact = node.group.is_exact
    return _rows(name, ours, floors_of["fork"], floors_of[floor], exact)


def _round(node: Node, task: dict[str, Any], count: int) -> tuple[float, float]:
    """Return tasks per second, and CPU seconds per task, also what follows an answer (syncs)."""
    spent = node.group.seconds()
    begin = time.perf_counter()
    submit_all(node.address, [task] * count, until_over=True)
    elapsed = time.perf_counter() - begin
    return count / elapsed, (node.group.settle() - spent) / count


def _check(node: Node, expected: int) -> None:
    """Raise ValueError unless every task has succeeded."""
    succeeded, cursor = 0, 0
    with node.connect() as connection:
        counts = connection.call("GET", "/v1/tasks?limit=1000&view=full")
        while counts:
            succeeded += sum(task["outcome"] == "succeeded" for task in counts)
            cursor += 1000
            counts = connection.call("GET", f"/v1/tasks?limit=1000&view=full&cursor={cursor}")
    if succeeded != expected:
        raise ValueError(f"{succeeded} of {expected} tasks have succeeded")


Runs = list[tuple[float, float]]


def _rows(name: str, ours: Runs, forks: Runs, pairs: Runs, exact: bool) -> list[Row]:
    (rates, costs), (fork_rates, fork_costs), (pair_rates, pair_costs) = (
        ([rate for rate, _ in runs], [cost * 1000 for _, cost in runs])
        for runs in (ours, forks, pairs)
    )
    speed, cost = ratio(rates, pair_rates), ratio(costs, pair_costs)
    how = "by cgroup" if exact else "busy time of the machine minus the client's: no cgroup here"
    return [
        Row(
            f"throughput of no-op `{name}` tasks, 8 connections",
            f"{speed:.2f} x pair floor",
            ">= 0.6 x",
            speed >= 0.6,
            f"pair {statistics.median(pair_rates):.0f}/s, "
            f"fork {statistics.median(fork_rates):.0f}/s",
            [f"{spread(rates, 'tasks/s', 0)}; pair floor {spread(pair_rates, '/s', 0)}"],
        ),
        Row(
            f"CPU of everything but the client per `{name}` task",
            f"{cost:.2f} x pair floor",
            "<= 1.5 x",
            cost <= 1.5,
            f"pair {statistics.median(pair_costs):.2f} ms, "
            f"fork {statistics.median(fork_costs):.2f} ms",
            [f"{spread(costs, 'ms', 2)}; pair floor {spread(pair_costs, 'ms', 2)}; {how}"],
        ),
    ]
