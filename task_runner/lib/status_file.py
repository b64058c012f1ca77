"""The status file of a task: who runs it, since when, and what came of it."""

import json
import os
from collections.abc import Mapping
from typing import Any

from task_runner.lib.clock import timestamp
from task_runner.lib.outcome import Result
from task_runner.lib.process import Identity
from task_runner.lib.task_dir import write_atomic

Record = dict[str, Any]
"""What a status file holds."""

STATUS_LIMIT = 65536
"""Bytes of what a machine may say of itself."""

NO_JSON = b"\0"
TYPES: dict[str, Any] = {
    **dict.fromkeys(("process_id", "start_ticks"), int),
    **dict.fromkeys(("exit_code", "return_code", "output_size"), int | None),
    **dict.fromkeys(("task_id", "started_at", "updated_at", "host", "boot_id"), str),
    **dict.fromkeys(("finished_at", "outcome", "signal", "error"), str | None),
    **dict.fromkeys(("machine", "status", "stop"), dict),
    "usage": dict | None,
}
"""Of the members that are read; others may be of a later version."""


class StatusFile:
    """Written by TaskRunner alone, whole each time, and touched as a heartbeat."""

    def __init__(self, path: str, record: Record) -> None:
        """Continue the record of an earlier TaskRunner, or begin one."""
        self._path = path
        self.record = record
        self._line = b""

    def begin(self, runner: Identity, machine: Identity) -> None:
        """Write that the task is started."""
        self.record["started_at"] = timestamp()
        self.take_over(runner)
        self.record["machine"] = {"pid": machine.pid, "start_ticks": machine.start_ticks}
        self.write()

    def follow(self, machine: Identity) -> bool:
        """Note which process is the machine; say whether it was another one before."""
        noted = self.record["machine"]
        self.record["machine"] = {"pid": machine.pid, "start_ticks": machine.start_ticks}
        return bool(noted != self.record["machine"])

    def take_over(self, runner: Identity) -> None:
        """Note which TaskRunner writes from now on."""
        self.record |= {
            "process_id": runner.pid,
            "start_ticks": runner.start_ticks,
            "host": runner.host,
            "boot_id": runner.boot_id,
        }

    def write(self) -> None:
        """Write the file anew."""
        self.record["updated_at"] = timestamp()
        write_atomic(self._path, self.record)

    def touch(self) -> None:
        """Show that TaskRunner lives; the cheapest write there is."""
        os.utime(self._path)

    def begin_stop(self, reason: str) -> None:
        """Write that the task is being stopped, and why, before anything is signalled."""
        self.record["stop"] = {"reason": reason, "at": timestamp()}
        self.write()

    def hear(self, fd: int) -> bool:
        """Take in what the machine says of itself: JSON objects, one a line; the newest wins.

        Members are replaced one by one, so a machine may report them apart. Returns whether
        something changed; it is not written yet. What is no JSON object is left out.
        """
        try:
            data = self._line + os.read(fd, STATUS_LIMIT)
        except BlockingIOError:
            return False
        *lines, self._line = data.split(b"\n")
        if len(self._line) > STATUS_LIMIT:
            self._line = NO_JSON  # so that nothing is made of its beginning and its end
        said = [value for line in lines if isinstance(value := _json(line), dict)]
        status = dict(self.record.get("status", {}))
        for value in said:
            status |= value
        if not said or len(json.dumps(status)) > STATUS_LIMIT:
            return False
        self.record["status"] = status
        return True

    def finish(
        self, result: Result, usage: dict[str, Any] | None, sizes: Mapping[str, int]
    ) -> None:
        """Write the end of the task. After this, nothing of it changes any more.

        `sizes` has the bytes of each log: `output_size`, and what else is known.
        """
        self.record |= {
            "finished_at": timestamp(),
            "exit_code": result.exit_code,
            "outcome": result.outcome,
            "return_code": result.return_code,
            "signal": result.signal,
            "error": result.error,
            "usage": usage,
            **sizes,
        }
        self.write()


def check_types(record: Record) -> None:
    """Raise ValueError when a member, of a status file or a verdict, is not of its type."""
    for name, value in record.items():
        expected = TYPES.get(name, object)
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not object):
            raise ValueError(f"{name!r} is of another type")


def machine_of(record: Record) -> Identity:
    """Return the identity of the machine that a status file tells of."""
    machine = record["machine"]
    return Identity(record["host"], record["boot_id"], machine["pid"], machine["start_ticks"])


def runner_of(record: Record) -> Identity:
    """Return the identity of the TaskRunner that a status file tells of."""
    return Identity(record["host"], record["boot_id"], record["process_id"], record["start_ticks"])


def _json(line: bytes) -> Any:
    try:
        value = json.loads(line)
        # Python takes more than others can read: NaN, numbers without end, half surrogate pairs.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value
