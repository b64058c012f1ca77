"""The handle of a task that runs elsewhere: which job of another system owns it.

The first job that is written down owns the task, whoever writes it: the service that has submitted
it, or the job itself. link(2) makes sure of that on any file system, also where locks do not reach
from one machine to another.
"""

from task_runner.lib.clock import timestamp
from task_runner.lib.task_dir import TaskDir, create_exclusive, read_json


def claim(directory: TaskDir, job: str | None, draft: str | None = None) -> str | None:
    """Write down which job owns the task, unless it has an owner; return the one it has.

    None is the owner of a task that was stopped before it was handed over: no job gets through
    then. `draft` is as for `create_exclusive`. Raises FileNotFoundError when the task was removed,
    ValueError when the file is damaged.
    """
    if create_exclusive(directory.handle, {"job": job, "at": timestamp()}, draft):
        return job
    return owner(directory)


def owner(directory: TaskDir) -> str | None:
    """Return the job that owns a task; None when it was stopped before. Raises ValueError."""
    handle = read_json(directory.handle)
    if handle is None or "job" not in handle:
        raise ValueError(f"{directory.handle} is missing or damaged")
    job: str | None = handle["job"]
    return job
