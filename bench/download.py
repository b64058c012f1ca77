"""The memory of the service while a client downloads a log of 1 GB."""

import time

from bench.measure import MIB, Bench, Row
from bench.node import Node
from bench.output import FEW_LINES, LINES, run_command

PAUSE = 1.0
"""Seconds that the client stops reading: a server that reads ahead of it fills its memory then."""


def run(bench: Bench) -> list[Row]:
    with Node(bench.path("node")) as node:
        with node.connect() as connection:
            view = run_command(connection, FEW_LINES if bench.quick else LINES)
        node.group.settle()
        (worker,) = node.workers()
        before = reset_peak(worker)
        seconds, size = _download(node, f"/v1/tasks/{view['taskId']}/log")
        growth = (memory_of(worker, "VmHWM") - before) / MIB
    if size != view["outputSize"]:
        raise ValueError(f"{size} bytes instead of {view['outputSize']}")
    return [
        Row(
            "download of a 1 GB log, service memory growth",
            f"{growth:.1f} MiB",
            "<= 20 MiB",
            growth <= 20,
            notes=[
                f"worker {before / MIB:.1f} MiB before, at most {growth:.1f} MiB more; "
                f"{size / 1e6:.0f} MB in {seconds:.2f} s, {size / 1e6 / seconds:.0f} MB/s, "
                f"after a client's pause of {PAUSE:.0f} s"
            ],
        )
    ]


def reset_peak(pid: int) -> int:
    """Let the peak be the size of now, see proc_pid_clear_refs(5); return that in bytes."""
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")
    return memory_of(pid, "VmRSS")


def memory_of(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/status") as file:
        sizes = dict(line.split(":", 1) for line in file)
    return int(sizes[name].split()[0]) * 1024


def _download(node: Node, path: str) -> tuple[float, int]:
    """Return the seconds (without the pause), and how many bytes came."""
    with node.connect() as connection:
        first, stream, total = connection.open_stream(path, "text/plain")
        time.sleep(PAUSE)
        buffer = bytearray(MIB)
        begin = time.perf_counter()
        size = len(first)
        if total is None:
            raise ValueError("the length of the log is not told")
        while size < total:
            got = stream.recv_into(buffer)
            if not got:
                raise ConnectionError("the download was cut off")
            size += got
        return time.perf_counter() - begin, size
