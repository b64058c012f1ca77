"""Jobs of Slurm from one node: submission, the cost of watching, the delay of ends.

Beside plain `sbatch`, as many at a time, on the same cluster of three nodes. All jobs are held
until each is submitted, so that running them does not slow that; then they are released at once.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path

from bench.client import NOT_OVER, submit_all
from bench.measure import Bench, Row, percentile
from bench.node import Node
from task_runner.service.watch.elsewhere import THREADS
from tests.slurm_cluster import Cluster, running_cluster

CONFIG = {"slurm": {"sbatch_options": ["hold"], "pause": [1, 5]}}
TASK = {
    "machine": "command",
    "parameters": {"argv": ["true"]},
    "environment": "slurm",
    "environmentOptions": {"sbatch": {"hold": True}},
}
PLAIN = ("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true")
WATCHED = 10.0
"""Seconds for which is measured what watching costs."""
PATIENCE = 900.0


def run(bench: Bench) -> list[Row]:
    jobs = bench.amount(1000, 20)
    os.mkdir(bench.path("cluster"))
    with running_cluster(Path(bench.path("cluster"))) as cluster:
        plain = _submit_plainly(cluster, jobs)
        settings = {**cluster.env, "TASK_RUNNER_ENVIRONMENTS": json.dumps(CONFIG)}
        with Node(bench.path("work"), settings=settings) as node:
            begin = time.monotonic()
            submit_all(node.address, [TASK] * jobs)
            accepted = jobs / (time.monotonic() - begin)
            handles = Path(node.work_dir)
            _wait(lambda: len(list(handles.glob("task-*/handle.json"))) == jobs)
            submitted = jobs / (time.monotonic() - begin)
            watching = _cpu_of_watching(node)
            asked = _seconds_of(lambda: cluster.tool("squeue", "-h", "--states=all"))
            delays = _release(cluster, node, jobs)
    return [
        Row(
            f"{jobs} jobs of Slurm: submitted, beside plain sbatch",
            f"{submitted / plain:.2f} x",
            ">= 0.5 x",
            submitted >= plain / 2,
            f"sbatch {plain:.0f}/s",
            [
                f"{submitted:.0f}/s; accepted at {accepted:.0f}/s; {THREADS} sbatch at a time both",
                f"watching {jobs} jobs takes {watching * 100:.1f} % of a core; one squeue "
                f"{asked * 1000:.0f} ms",
                f"from the end of a task to known: median {statistics.median(delays):.2f} s, "
                f"p95 {percentile(delays, 95):.2f} s",
            ],
        )
    ]


def _submit_plainly(cluster: Cluster, jobs: int) -> float:
    """Return how many jobs a second plain sbatch submits; they are canceled then."""
    with ThreadPoolExecutor(THREADS) as threads:
        seconds = _seconds_of(
            lambda: list(threads.map(lambda _: cluster.tool(*PLAIN), range(jobs)))
        )
    cluster.tool("scancel", "--state=PENDING", f"--user={os.getuid()}")
    return jobs / seconds


def _seconds_of(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def _cpu_of_watching(node: Node) -> float:
    """Return the part of a core that the workers use, and what they have waited for."""
    before = sum(map(_ticks, node.workers()))
    time.sleep(WATCHED)
    used = sum(map(_ticks, node.workers())) - before
    return used / os.sysconf("SC_CLK_TCK") / WATCHED


def _ticks(pid: int) -> int:
    """Return user and system time, and those of children that were waited for; proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def _release(cluster: Cluster, node: Node, jobs: int) -> list[float]:
    """Let all jobs run; return for each the seconds from its end to the event that tells it."""
    numbers = [
        json.loads(handle.read_text())["job"]
        for handle in Path(node.work_dir).glob("task-*/handle.json")
    ]
    for first in range(0, jobs, 100):
        cluster.tool("scontrol", "release", ",".join(numbers[first : first + 100]))
    with node.connect() as connection:
        _wait(lambda: connection.call("GET", f"/v1/tasks?limit=1&{NOT_OVER}") == [])
        told = {event["taskId"]: event["at"] for event in _ends(node)}
        views = connection.call("GET", f"/v1/tasks?view=full&limit={jobs}")
    wrong = [view for view in views if view["outcome"] != "succeeded"]
    if wrong or len(views) != jobs:
        raise ValueError(f"{len(views)} tasks, {len(wrong)} of them not succeeded")
    return [
        (_time(told[view["taskId"]]) - _time(view["finishedAt"])).total_seconds() for view in views
    ]


def _ends(node: Node) -> Iterator[dict[str, str]]:
    connection = HTTPConnection(*node.address)
    connection.request("GET", "/v1/events", headers={"Host": "localhost"})
    events = map(json.loads, connection.getresponse().read().splitlines())
    yield from (event for event in events if event["state"] == "exited")
    connection.close()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {PATIENCE:.0f} s")
        time.sleep(0.1)
