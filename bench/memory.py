"""Memory of tasks that sleep, as their share: a page that n processes map counts 1/n for each."""

import statistics

from bench.client import submit_all
from bench.measure import Bench, Row
from bench.node import Node

SLEEP = {"machine": "echo", "parameters": ["SLEEP 3600"]}


def run(bench: Bench) -> list[Row]:
    count = bench.amount(200, 20)
    with Node(bench.path("node")) as node:
        submit_all(node.address, [SLEEP] * count)
        node.group.settle()
        processes = [process.pid for process in node.processes_of_tasks()]
        shares = [_pss(pid) for pid in processes]
    if len(shares) != 2 * count:
        raise ValueError(f"{len(shares)} processes instead of {2 * count}")
    each = sum(shares) / count
    # TaskRunner and machine take turns in the list.
    runner, machine = statistics.median(shares[::2]), statistics.median(shares[1::2])
    return [
        Row(
            f"memory per sleeping `echo` task, {count} tasks, PSS",
            f"{each:.2f} MiB",
            "<= 2.5 MiB",
            each <= 2.5,
            notes=[f"median: TaskRunner {runner:.2f} MiB, machine {machine:.2f} MiB"],
        )
    ]


def _pss(pid: int) -> float:
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    raise ValueError(f"the kernel tells no PSS of process {pid}")
