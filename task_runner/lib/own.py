"""TaskRunner on the directory of a task, where another system has started this process.

    python -S -m task_runner.lib.own DIR JOB [END]

The package must be found there (PYTHONPATH, or where it is installed), and DIR be the same
directory as on the machine of the service. JOB is what that system calls this start, END the time
(seconds since the epoch) at which it will be killed; the task is stopped before, with the outcome
`timeout`, so early that its clean-up has time to end.

At most one start gets through, also where locks do not reach from one machine to another: the
first JOB that is in `handle.json` owns the task, whoever wrote it down. A job that was submitted
twice, or is started again after its node has failed, finds another name there, or a task that has
begun.
"""

import os
import signal
import sys
import time

from task_runner.lib.clock import since_boot
from task_runner.lib.handle import claim
from task_runner.lib.runner import FOREVER, TaskRunner
from task_runner.lib.task_dir import PREFIX, TaskDir

MARGIN = 5.0
"""Seconds between the last kill and END."""


def main(path: str, job: str, end: str = "") -> None:
    """Own the task when it is for this job. Raises what TaskRunner raises."""
    os.umask(0o077)
    # A stop may come at any time from here; it waits until TaskRunner can listen.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    directory = TaskDir(path, os.path.basename(path).removeprefix(PREFIX))
    if claim(directory, job) != job:
        print(f"{job} leaves {directory.task_id} alone: another job owns it", file=sys.stderr)
    elif os.path.exists(directory.status):
        print(f"{job} leaves {directory.task_id} alone: it has begun before", file=sys.stderr)
    else:
        left = float(end) - time.time() - MARGIN if end else FOREVER
        TaskRunner(directory, ends_at=since_boot() + left).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
