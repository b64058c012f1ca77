"""Five gigabytes of log, followed while the service is killed and started again; and a limit."""

import shutil
import socket
import time
import zlib
from contextlib import suppress
from typing import Any

from bench.client import Connection
from bench.download import memory_of, reset_peak
from bench.measure import MIB, Bench, Row, ratio, spread
from bench.node import Node
from bench.output import FEW_LINES, LINES, run_command
from task_runner.lib.task_dir import TaskDir, read_json

SCRIPT = """
mkfifo go
seq {numbers}
for line in 1 2 3 4 5; do head -c 10000000 /dev/zero | tr '\\0' x; echo; done
printf '\\xff\\xfe\\0\\r\\0'
read word < go
"""
NUMBERS, FEW_NUMBERS = 520_000_000, 5_000_000
ROOM = 8_000_000_000
SERVICE, TASK_RUNNER = 20, 4
"""MiB that each may grow by."""


def run(bench: Bench) -> list[Row]:
    if not bench.quick and shutil.disk_usage(bench.directory).free < ROOM:
        raise OSError(f"{bench.directory} has less than {ROOM} bytes free")
    return [_followed(bench), _limited(bench)]


def _followed(bench: Bench) -> Row:
    script = SCRIPT.format(numbers=bench.amount(NUMBERS, FEW_NUMBERS))
    with Node(bench.path("node")) as node:
        follower = _Follower(node, {"script": script})
        begin = time.perf_counter()
        follower.read(bench.amount(2_500_000_000, 10_000_000))
        first = follower.growth()
        node.kill()
        node.start()
        follower.read(None)
        seconds = time.perf_counter() - begin
        service, task_runner = max(first, follower.growth()), follower.growth_of_task_runner()
    good = follower.is_whole and service <= SERVICE and task_runner <= TASK_RUNNER
    size = follower.position
    return Row(
        f"{size / 1e9:.1f} GB of log followed over a kill of the service, memory growth of service "
        "/ TaskRunner",
        f"{service:.1f} / {task_runner:.1f} MiB",
        f"<= {SERVICE} / {TASK_RUNNER} MiB",
        good,
        notes=[
            f"{size / 1e6 / seconds:.0f} MB/s, with lines of 10 MB, NUL and what is no UTF-8; "
            + ("every byte came once" if follower.is_whole else "WRONG BYTES")
        ],
    )


class _Follower:
    """Reads a log as it comes, and goes on where it was when the connection breaks."""

    def __init__(self, node: Node, parameters: dict[str, Any]) -> None:
        self._node = node
        self.position = 0
        self.is_whole = False
        self._sum = 0
        task = {"machine": "command", "parameters": parameters}
        with node.connect() as connection:
            self._task_id = connection.call("POST", "/v1/tasks", task, 201)["taskId"]
        self._directory = TaskDir.of(node.work_dir, self._task_id)
        self._task_runner = int((read_json(self._directory.status) or {})["process_id"])
        self._runner_before = reset_peak(self._task_runner)
        self._before = 0

    def read(self, until: int | None) -> None:
        """Read up to a place; None lets the task end when it has said all, and reads the rest."""
        (worker,) = self._node.workers()
        self._before = reset_peak(worker)
        with self._node.connect() as connection:
            path = f"/v1/tasks/{self._task_id}/log?follow=true&offset={self.position}"
            data, stream, _ = connection.open_stream(path, "text/plain")
            chunks = _Chunks(stream, data)
            while until is None or self.position < until:
                block = chunks.read()
                if not block:
                    break
                self._sum = zlib.crc32(block, self._sum)
                self.position += len(block)
                if until is None and block.endswith(b"\r\0"):
                    self._end()
        if until is None:
            self.is_whole = (self.position, self._sum) == self._on_disk()

    def _end(self) -> None:
        self._runner_peak = memory_of(self._task_runner, "VmHWM")
        with open(f"{self._directory.files}/go", "w") as file:
            file.write("go\n")

    def _on_disk(self) -> tuple[int, int]:
        size = found = 0
        with open(self._directory.output.log, "rb") as file:
            while block := file.read(MIB):
                found = zlib.crc32(block, found)
                size += len(block)
        return size, found

    def growth(self) -> float:
        """Return the MiB that the worker has needed more than before."""
        (worker,) = self._node.workers()
        return (memory_of(worker, "VmHWM") - self._before) / MIB

    def growth_of_task_runner(self) -> float:
        return (self._runner_peak - self._runner_before) / MIB


class _Chunks:
    """The content of an answer in chunks (RFC 9112, section 7.1), piece by piece."""

    def __init__(self, stream: socket.socket, data: bytes) -> None:
        self._file = stream.makefile("rb")
        self._data = data
        self._left = 0

    def read(self) -> bytes:
        """Return some bytes; none at the end."""
        if not self._left:
            self._left = int(self._line(), 16)
            if not self._left:
                return b""
        block = self._take(min(self._left, MIB))
        self._left -= len(block)
        if not self._left:
            self._line()
        return block

    def _line(self) -> bytes:
        if b"\n" in self._data:
            line, _, self._data = self._data.partition(b"\n")
            return line
        line, self._data = self._data + self._file.readline(), b""
        return line

    def _take(self, count: int) -> bytes:
        if self._data:
            block, self._data = self._data[:count], self._data[count:]
            return block
        return self._file.read1(count)


def _limited(bench: Bench) -> Row:
    """Compare a log with a limit that is far away to one that is exceeded at once."""
    argv = FEW_LINES if bench.quick else LINES
    whole, limited = [], []
    with Node(bench.path("limit")) as node, node.connect() as connection:
        for _ in range(bench.amount(5, 1)):
            whole.append(_seconds(connection, argv, 1 << 40))
            limited.append(_seconds(connection, argv, 1 << 20))
    factor = ratio(limited, whole)
    return Row(
        "1 GB of output, run time with `maxOutput` of 1 MiB against without",
        f"{factor:.2f} x",
        "<= 1.1 x",
        factor <= 1.1,
        notes=[f"with {spread(limited, 's', 2)}, without {spread(whole, 's', 2)}"],
    )


def _seconds(connection: Connection, argv: list[str], limit: int) -> float:
    begin = time.perf_counter()
    view = run_command(connection, argv, maxOutput=limit)
    seconds = time.perf_counter() - begin
    with suppress(ValueError):
        connection.call("DELETE", f"/v1/tasks/{view['taskId']}")
    return seconds
