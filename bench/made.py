"""Tasks that are over without ever having run, made with the product's own code."""

import asyncio
import os

from task_runner.environments.work_dir import WorkDir
from task_runner.lib.observe import Observation
from task_runner.lib.outcome import result_of
from task_runner.lib.process import identity_of
from task_runner.lib.state import State
from task_runner.lib.status_file import StatusFile
from task_runner.lib.task import Task, accepted
from task_runner.lib.task_dir import TaskDir
from task_runner.service.index.index import Index

BATCH = 5000
TASK = Task(None, "echo", [])


def finished_directories(path: str, count: int) -> None:
    """Make directories of finished tasks; a node that starts there puts them into its index."""
    work_dir = WorkDir(path)
    for _ in range(count):
        directory, _ = work_dir.create(TASK)
        _finish(directory)
    work_dir.close()


def _finish(directory: TaskDir) -> None:
    me = identity_of(os.getpid())
    status = StatusFile(directory.status, {"task_id": directory.task_id})
    status.begin(me, me)
    status.finish(result_of(None, 0), None, {"output_size": 0})


def finished_rows(path: str, count: int) -> None:
    """Make finished tasks in the index; of their directories only the names exist."""
    work_dir = WorkDir(path)
    asyncio.run(_add_rows(Index(f"{path}/index.sqlite", work_dir.owner), path, count))
    work_dir.close()


async def _add_rows(index: Index, path: str, count: int) -> None:
    record = {"finished_at": "2000-01-01T00:00:00+00:00", "exit_code": 0, "outcome": "succeeded"}
    seen = Observation(State.EXITED, record)
    for begin in range(0, count, BATCH):
        names = [f"{number:08x}" for number in range(begin, min(begin + BATCH, count))]
        for name in names:
            os.mkdir(TaskDir.of(path, name).path, 0o700)
        tasks = [accepted(TASK._replace(task_id=name)) for name in names]
        await asyncio.gather(*(index.add(asked, seen) for asked in tasks))
    index.close()
