"""Tasks for the tests, and what came of them, read from their directories."""

import json
from pathlib import Path
from typing import Any

from task_runner.environments.multiprocess import Entry, MultiprocessEnvironment
from task_runner.lib.state import State
from task_runner.lib.task import Task, task_from_dict
from tests.waiting import wait_until


def script(text: str, **fields: Any) -> Task:
    """Return a task that runs a script of bash."""
    return task_from_dict({"machine": "command", "parameters": {"script": text}, **fields})


def program(*argv: str, **fields: Any) -> Task:
    return task_from_dict(
        {"machine": "command", "parameters": {"argv": argv and [*argv]}, **fields}
    )


def echo(*lines: str, **fields: Any) -> Task:
    return task_from_dict({"machine": "echo", "parameters": [*lines], **fields})


def begin(environment: MultiprocessEnvironment, task: Task, said: bytes = b"") -> Entry:
    """Start a task and return when its output holds `said`."""
    entry = environment.start_task(environment.register_task(task).task_id)
    wait_until(lambda: said in output_of(entry))
    return entry


def run(environment: MultiprocessEnvironment, task: Task) -> Entry:
    """Start a task and return when it is over."""
    return finish(environment, begin(environment, task))


def stop(environment: MultiprocessEnvironment, entry: Entry) -> Entry:
    """Stop a task and return when it is over."""
    environment.stop_task(entry.task_id)
    return finish(environment, entry)


def finish(environment: MultiprocessEnvironment, entry: Entry) -> Entry:
    entry = environment.wait_completion(entry.task_id, timeout=30)
    assert entry.state.is_over
    return entry


def wait_until_tidy(entry: Entry) -> None:
    """Wait until no FIFO is left: the result is there before that is done."""
    wait_until(lambda: not list(Path(entry.work_dir).glob("*.fifo")))


def ending(entry: Entry) -> tuple[str, int | None]:
    """Return outcome and exit code, as the status file has them."""
    assert entry.state is State.EXITED
    record = record_of(entry)
    assert record["exit_code"] == entry.exit_code
    return record["outcome"], record["exit_code"]


def record_of(entry: Entry) -> dict[str, Any]:
    path = Path(entry.work_dir, f"{entry.task_id}.result")
    record: dict[str, Any] = json.loads(path.read_bytes())
    return record


def output_of(entry: Entry) -> bytes:
    path = Path(entry.work_dir, "output.log")
    return path.read_bytes() if path.exists() else b""


def left_in(entry: Entry, name: str) -> bytes:
    """Return what the task wrote to a file in its current directory; nothing when it did not."""
    path = Path(entry.work_dir, "files", name)
    return path.read_bytes() if path.exists() else b""
