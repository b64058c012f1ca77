"""What 200 sleeping tasks cost, beyond a node that has none."""

import time

from bench.client import submit_all
from bench.measure import Bench, Row
from bench.memory import SLEEP
from bench.node import Node


def run(bench: Bench) -> list[Row]:
    count, seconds = bench.amount(200, 20), bench.amount(120, 5)
    with Node(bench.path("idle")) as idle, Node(bench.path("busy")) as busy:
        # The idle one has had a task too, so that both have a fork server.
        submit_all(idle.address, [{"machine": "echo", "parameters": []}], until_over=True)
        submit_all(busy.address, [SLEEP] * count)
        idle.group.settle()
        busy.group.settle()
        spent = _spent([idle, busy], seconds)
    per_10 = [value * 10 / seconds for value in spent]
    beyond = per_10[1] - per_10[0]
    return [
        Row(
            f"CPU while {count} tasks sleep, over {seconds} s, beyond an idle node's, per 10 s",
            f"{beyond:.3f} s",
            "<= 0.03 s",
            beyond <= 0.03,
            f"idle node {per_10[0]:.3f} s",
            [f"idle node {per_10[0]:.4f} s, with {count} tasks {per_10[1]:.4f} s per 10 s"],
        )
    ]


def _spent(nodes: list[Node], seconds: float) -> list[float]:
    """Return the CPU time of each node over the same seconds."""
    if not all(node.group.is_exact for node in nodes):
        raise RuntimeError("two nodes cannot be told apart without a cgroup for each")
    before = [node.group.seconds() for node in nodes]
    time.sleep(seconds)
    return [node.group.seconds() - start for node, start in zip(nodes, before, strict=True)]
