"""The processes that belong to tasks below a directory, found without the code under test."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.waiting import wait_until


class Process(NamedTuple):
    """A process that is not a zombie; the start ticks tell it from a later one with its pid."""

    pid: int
    start_ticks: str


def process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in b"ZX" else Process(pid, fields[19].decode())


def parent_of(pid: int) -> int:
    """Return the parent of a process; 0 when it is gone."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat[stat.rindex(b")") + 2 :].split()[1])
    return 0


def is_running(pid: int) -> bool:
    return process(pid) is not None


def is_stopped(pid: int) -> bool:
    """Say whether SIGSTOP has got there: a SIGCONT before would go past it."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].startswith(b"T")


def processes_of(directory: Path) -> set[Process]:
    """Return every process that works for a task in `directory` or below it."""
    found = {*_marked(directory), *_recorded(directory), *_lock_holders(directory)}
    return found - {process(os.getpid())}


def _marked(directory: Path) -> Iterator[Process]:
    mark = b"TASK_RUNNER_DIR=" + bytes(directory)
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and mark in Path(f"/proc/{name}/environ").read_bytes():
                yield from filter(None, [process(int(name))])


def _recorded(directory: Path) -> Iterator[Process]:
    for path in filter(Path.is_file, directory.rglob("*.result")):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            record = json.loads(path.read_bytes())
            for pid, start_ticks in (
                (record["process_id"], record["start_ticks"]),
                (record["machine"]["pid"], record["machine"]["start_ticks"]),
            ):
                if (found := process(pid)) and found.start_ticks == str(start_ticks):
                    yield found


def _lock_holders(directory: Path) -> Iterator[Process]:
    files = {_name_in_locks(path.stat()) for path in directory.rglob("lock")}
    for line in Path("/proc/locks").read_text().splitlines():
        fields = [field for field in line.split() if field != "->"]
        kind, pid, file = fields[1], int(fields[4]), fields[5]
        if kind == "POSIX" and file in files and (found := process(pid)):
            yield found


def _name_in_locks(stat: os.stat_result) -> str:
    return f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"


def kill_all_of(directory: Path) -> set[Process]:
    """Kill whatever belongs to a task below `directory`; return what that was."""
    killed: set[Process] = set()

    def all_gone() -> bool:
        left = processes_of(directory)
        killed.update(left)
        for victim in left:
            with suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
        return not left

    wait_until(all_gone)
    return killed
