"""From a line that a machine writes to the same line at 50 clients that follow the log."""

import re
import selectors
import socket
import sys
import time
from collections.abc import Iterable

from bench.measure import Bench, Row, percentile
from bench.node import Node

FOLLOWERS = 50
INTERVAL = 0.05
TEXT, NDJSON = "text/plain", "application/x-ndjson"
MARK = re.compile(rb"written at (\d+)")

# The line says when it was written; it begins when everybody follows, which the file `go` says.
PROGRAM = """
import os, sys, time
while not os.path.exists("go"):
    time.sleep(0.01)
for _ in range(int(sys.argv[1])):
    os.write(1, b"written at %d\\n" % time.time_ns())
    time.sleep(float(sys.argv[2]))
"""


def run(bench: Bench) -> list[Row]:
    count = bench.amount(200, 20)
    with Node(bench.path("node")) as node:
        return [_row(_delays(node, accept, count), accept) for accept in (TEXT, NDJSON)]


def _delays(node: Node, accept: str, count: int) -> list[float]:
    """Return the milliseconds of every line at every follower."""
    argv = [sys.executable, "-S", "-E", "-c", PROGRAM, str(count), str(INTERVAL)]
    task = {"machine": "command", "parameters": {"argv": argv}}
    with node.connect() as connection:
        task_id = connection.call("POST", "/v1/tasks", task, 201)["taskId"]
    connections = [node.connect() for _ in range(FOLLOWERS)]
    streams = [
        connection.open_stream(f"/v1/tasks/{task_id}/log?follow=true", accept)[1]
        for connection in connections
    ]
    with open(f"{node.work_dir}/task-{task_id}/files/go", "w"):
        pass
    delays = list(_receive(streams))
    for connection in connections:
        connection.close()
    if len(delays) != count * FOLLOWERS:
        raise ValueError(f"{len(delays)} lines instead of {count * FOLLOWERS}")
    return delays


def _receive(streams: list[socket.socket]) -> Iterable[float]:
    """Read until every stream has ended. A line is sent whole: nothing is put together here."""
    selector = selectors.DefaultSelector()
    for stream in streams:
        selector.register(stream, selectors.EVENT_READ, stream)
    while selector.get_map():
        for key, _ in selector.select():
            follower: socket.socket = key.data
            data = follower.recv(65536)
            now = time.time_ns()
            if not data or data.endswith(b"0\r\n\r\n"):
                selector.unregister(follower)
            for mark in MARK.finditer(data):
                yield (now - int(mark[1])) / 1e6


def _row(delays: list[float], accept: str) -> Row:
    half, slowest = percentile(delays, 50), percentile(delays, 99)
    return Row(
        f"a line written to the same line at {FOLLOWERS} followers, {accept}, p50 / p99",
        f"{half:.1f} / {slowest:.1f} ms",
        "<= 20 / 100 ms",
        half <= 20 and slowest <= 100,
        notes=[
            f"p50 {half:.2f} ms, p99 {slowest:.2f} ms, most {max(delays):.2f} ms, "
            f"{len(delays)} lines received, {1 / INTERVAL:.0f} written per second"
        ],
    )
