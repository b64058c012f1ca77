"""Looking at a task from outside: collect the facts of its directory and decide its state."""

import errno
import os
import time
from typing import Any, NamedTuple

from task_runner.lib import process
from task_runner.lib.state import Facts, State, state_of
from task_runner.lib.status_file import Record, check_types, machine_of
from task_runner.lib.task_dir import TaskDir, read_json


class Observation(NamedTuple):
    """What a task's directory says at one moment."""

    state: State
    record: Record
    """The status file, or the verdict in the same words; empty when there is neither."""

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while there is none, and when nobody knows it."""
        code = self.record.get("exit_code")
        return code if isinstance(code, int) else None

    @property
    def is_unjudged(self) -> bool:
        """Whether it is lost and no verdict says so: what is left of its log may yet be moved."""
        return self.state is State.LOST and "judged_at" not in self.record


def observe(directory: TaskDir, *, lock_is_mine: bool = False) -> Observation:
    """Look at a task now; `lock_is_mine` when the caller keeps every TaskRunner out.

    Raises ValueError when one of its files is damaged.
    """
    try:
        return _observe(directory, lock_is_mine)
    except (KeyError, TypeError) as problem:
        raise ValueError(f"the status in {directory.path} is damaged: {problem!r}") from problem


def _observe(directory: TaskDir, lock_is_mine: bool) -> Observation:
    status, heartbeat_age = _read_status(directory, lock_is_mine=lock_is_mine)
    if status is not None and "finished_at" in status:
        return Observation(State.EXITED, status)
    verdict = _read_checked(directory.verdict)
    # The lock before the machine: a TaskRunner that goes between the two has left a result.
    locked = not lock_is_mine and directory.lock_holder() is not None
    facts = Facts(
        status=status,
        heartbeat_age=heartbeat_age,
        locked=locked,
        machine_alive=None if locked or status is None else machine_alive(directory, status),
        stop_asked=os.path.exists(directory.stop),
        verdict=verdict,
    )
    state = state_of(facts)
    if state is State.LOST and verdict is None:
        # The result may have come after the status was read.
        again, _ = _read_status(directory, lock_is_mine=lock_is_mine)
        if again is not None and "finished_at" in again:
            return Observation(State.EXITED, again)
    return Observation(state, {**(status or {}), **(verdict or {})})


def _read_checked(path: str) -> Record | None:
    record = read_json(path)
    try:
        check_types(record or {})
    except ValueError as problem:
        raise ValueError(f"{path} is damaged: {problem}") from problem
    return record


def _read_status(directory: TaskDir, *, lock_is_mine: bool) -> tuple[dict[str, Any] | None, float]:
    try:
        status = _read_checked(directory.status)
    except ValueError as problem:
        if not lock_is_mine and directory.lock_holder() is not None:
            raise
        # Nobody lives who could write it again, and what it said of the machine is gone.
        return {"error": str(problem)}, 0.0
    if status is None:
        return None, 0.0
    try:
        return status, time.time() - os.stat(directory.status).st_mtime
    except FileNotFoundError:  # the whole task was removed in between
        return None, 0.0


def machine_alive(directory: TaskDir, record: Record) -> bool | None:
    """Say whether the machine of a started task lives; None when it cannot be known from here."""
    try:
        machine = machine_of(record)
    except (KeyError, TypeError):  # the status file is damaged
        return _is_open_somewhere(directory.output.fifo)
    if machine.host == process.host():
        return machine.is_alive()
    if machine.boot_id == process.boot_id():
        return _is_open_somewhere(directory.output.fifo)
    return None


def _is_open_somewhere(fifo: str) -> bool:
    """Say whether any process of this kernel has the FIFO open, in whatever container it runs.

    A machine holds its output open for reading too, and opening a FIFO for writing fails when
    nobody reads it, see fifo(7).
    """
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as problem:
        if problem.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    return True
