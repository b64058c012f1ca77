"""Searching a log of 1 GB on the server, against `grep -c` on the same file in the same run."""

import os
import statistics
import subprocess
import time
from urllib.parse import quote

from bench.measure import Bench, Row, ratio, spread
from bench.node import Node
from bench.output import FEW_LINES, LINES, run_command

LITERAL = "99999999"
EXPRESSION = "^5[0-9]*55555$"
HARD = "(1|11|111)+2222222$"


def run(bench: Bench) -> list[Row]:
    rounds = bench.amount(3, 1)
    with Node(bench.path("node")) as node:
        with node.connect() as connection:
            view = run_command(connection, FEW_LINES if bench.quick else LINES)
        log = os.path.join(node.work_dir, f"task-{view['taskId']}", "output.log")
        path = f"/v1/tasks/{view['taskId']}/log"
        times = {one: _turns(node, path, log, one, rounds) for one in (LITERAL, EXPRESSION, HARD)}
    ours, floor = times[LITERAL]
    factor = ratio(ours, floor)
    return [
        Row(
            "search of a 1 GB log for a text, against `grep -c`",
            f"{factor:.2f} x",
            "<= 3 x",
            factor <= 3,
            f"grep {statistics.median(floor):.2f} s",
            [
                f"`{pattern}`: {ratio(*pair):.2f} x; {spread(pair[0], 's', 2)}; "
                f"`grep -c` {spread(pair[1], 's', 2)}"
                for pattern, pair in times.items()
            ],
        )
    ]


def _turns(
    node: Node, path: str, log: str, pattern: str, rounds: int
) -> tuple[list[float], list[float]]:
    ours, floor = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        counted = subprocess.run(["grep", "-cE", pattern, log], capture_output=True, check=False)
        floor.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        found = _lines_of(node, f"{path}?grep={quote(pattern)}")
        ours.append(time.perf_counter() - begin)
        if found != int(counted.stdout):
            raise ValueError(f"{pattern}: {found} lines, but grep finds {counted.stdout.decode()}")
    return ours, floor


def _lines_of(node: Node, path: str) -> int:
    """Return how many lines a search gives; the answer is chunked, and its end is read for."""
    with node.connect() as connection:
        first, stream, _ = connection.open_stream(path, "text/plain")
        data = bytearray(first)
        while not data.endswith(b"0\r\n\r\n"):
            if not (block := stream.recv(1 << 20)):
                raise ConnectionError("the search was broken off")
            data += block
    return sum(line.isdigit() for line in _unchunked(bytes(data)).splitlines())


def _unchunked(data: bytes) -> bytes:
    text = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        text, data = text + rest[:length], rest[length + 2 :]
    return text
