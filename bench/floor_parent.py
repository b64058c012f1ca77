"""The floors: what starting a process and writing its files costs at least, in Python.

Executed with `python -S` and nothing but the standard library, of which it has loaded what the
process that owns a task needs: a smaller process is forked faster, but could not do the work. A
request is a line of JSON, and so is the answer: {"kind", "count", "in_flight", "directory"} ->
{"seconds", "each"}.
"""

import ctypes  # noqa: F401
import enum  # noqa: F401
import fcntl  # noqa: F401
import gc
import json
import logging  # noqa: F401
import os
import pwd  # noqa: F401
import re  # noqa: F401
import resource  # noqa: F401
import select  # noqa: F401
import signal  # noqa: F401
import socket  # noqa: F401
import struct  # noqa: F401
import sys
import time
import traceback  # noqa: F401
import typing  # noqa: F401


def write(path: str, content: dict[str, object]) -> None:
    """Replace a file whole, as a status file must be."""
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, json.dumps(content).encode())
    os.close(fd)
    os.rename(temporary, path)


def fork_floor(directory: str) -> None:
    """One process: a directory, a status, an output."""
    os.mkdir(directory, 0o700)
    write(f"{directory}/status", {"process_id": os.getpid(), "at": time.time()})
    write(f"{directory}/output", {})


def pair_floor(directory: str, program: str | None) -> None:
    """Two processes: the first one makes the directory, waits for the second, tells its end."""
    os.mkdir(directory, 0o700)
    pid = os.fork()
    if pid == 0:
        if program is not None:
            os.execv(program, [program])
        os._exit(0)
    status: dict[str, object] = {"process_id": os.getpid(), "machine": pid, "at": time.time()}
    write(f"{directory}/status", status)
    _, code = os.waitpid(pid, 0)
    write(f"{directory}/output", {})
    write(f"{directory}/status", {**status, "exit_code": code, "finished_at": time.time()})


def one(kind: str, directory: str) -> int:
    """Fork a process that does one of the kind; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if kind == "fork":
            fork_floor(directory)
        else:
            pair_floor(directory, "/bin/true" if kind == "exec" else None)
        code = 0
    finally:
        os._exit(code)


def serve(kind: str, count: int, in_flight: int, directory: str) -> dict[str, object]:
    """Do so many, at most `in_flight` at a time; return how long all and each of them took."""
    begun: dict[int, float] = {}
    each = []
    begin = time.perf_counter()
    for number in range(count + in_flight):
        if begun and (number >= count or len(begun) == in_flight):
            pid, code = os.wait()
            if code:
                sys.exit(f"a process of the {kind} floor has failed")
            each.append(time.perf_counter() - begun.pop(pid))
        if number < count:
            now = time.perf_counter()
            begun[one(kind, f"{directory}/{number}")] = now
    return {"seconds": time.perf_counter() - begin, "each": each}


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        print(json.dumps(serve(**json.loads(line))), flush=True)
