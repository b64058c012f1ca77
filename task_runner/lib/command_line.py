"""One task in the foreground: `python -m task_runner.lib.runner FILE`."""

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from task_runner.lib.errors import TaskRunnerError
from task_runner.lib.outcome import Outcome
from task_runner.lib.policy import EVERYTHING
from task_runner.lib.process import Identity
from task_runner.lib.status_file import Record, machine_of
from task_runner.lib.task import Task, accepted, task_from_dict
from task_runner.lib.task_dir import TaskDir, read_json, write_atomic

Run = Callable[[TaskDir], Record | None]
"""What `TaskRunner.run` does: own the task of a directory until it is over."""

TASK_ID = "cli"
USAGE = (
    "usage: python -m task_runner.lib.runner FILE (a JSON file with a task; - is standard input)"
)
REFUSED = 2
EXIT_CODES = {
    Outcome.CANCELED: 130,  # as a shell says of a command that Ctrl-C ended
    Outcome.TIMEOUT: 124,  # as timeout(1)
    Outcome.ERROR: 127,
    Outcome.EXCEPTION: 1,
}


def main(run: Run) -> NoReturn:
    """Run the task of the file named on the command line, exit with its own exit code."""
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(USAGE, file=sys.stderr)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else REFUSED)
    os.umask(0o077)
    try:
        record = run_here(run, _load(sys.argv[1]), os.getcwd())
    except (TaskRunnerError, OSError) as problem:
        print(f"task_runner: {problem}", file=sys.stderr)
        sys.exit(REFUSED)
    _tell(record)
    sys.exit(exit_code_of(record))


def run_here(run: Run, task: Task, directory: str) -> Record:
    """Run a task with its results and its files in `directory`; return its status.

    Raises TaskRunnerError when one runs there already, OSError when the directory cannot be used.
    """
    guard = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TaskRunnerError(f"a task is running in {directory}; use another directory") from None
    scratch = tempfile.mkdtemp(prefix="task_runner-")
    try:
        files = TaskDir(scratch, TASK_ID, results=directory)
        _remove_old_results(files)
        write_atomic(files.task, accepted(task, policy=EVERYTHING))
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        record = run(files)
    finally:
        shutil.rmtree(scratch)
        os.close(guard)
    if record is None:
        raise TaskRunnerError(f"{scratch} was taken by another process")
    return record


def _load(path: str) -> Task:
    """Read a task. Raises ValidationError and, when the file cannot be read, OSError."""
    try:
        if path == "-":
            return task_from_dict(json.load(sys.stdin), EVERYTHING)
        with open(path, "rb") as file:
            return task_from_dict(json.load(file), EVERYTHING)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise TaskRunnerError(f"{path} is not JSON: {problem}") from problem


def _remove_old_results(files: TaskDir) -> None:
    machine = _unfinished_machine(files)
    if machine is not None and machine.is_alive():
        raise TaskRunnerError(
            f"the machine of an earlier run (process {machine.pid}) is still alive "
            f"in {files.files}; its TaskRunner was killed. End it first, or use another directory"
        )
    for path in (files.status, files.output.log, files.stderr.log):
        with suppress(FileNotFoundError):
            os.unlink(path)


def _unfinished_machine(files: TaskDir) -> Identity | None:
    try:
        old = read_json(files.status)
        return machine_of(old) if old and "finished_at" not in old else None
    except (ValueError, KeyError, TypeError):  # damaged; to be replaced like any other old result
        return None


def exit_code_of(record: Record) -> int:
    """Return what a shell is to see: the task's own exit code where it has one that fits."""
    code = EXIT_CODES.get(record["outcome"], record["exit_code"])
    return code if isinstance(code, int) and 0 <= code <= 255 else 1


def _tell(record: Record) -> None:
    if record["outcome"] != Outcome.SUCCEEDED:
        error = f": {record['error']}" if record["error"] else ""
        print(f"task_runner: {record['outcome']}{error}", file=sys.stderr)
