"""TaskRunner on the directory of a task, where another system has started this process.

    python -S -m task_runner.lib.own DIR JOB [END]

The package must be found there (PYTHONPATH, or where it is installed), and DIR be the same
directory as on the machine of the service. JOB is what that system calls this start, END the time
(seconds since the epoch) at which it will be killed; the task is stopped before, with the outcome
`timeout`, so early that its clean-up has time to end.

At most one start gets through, also where locks do not reach from one machine to another: the
first JOB that is in `handle.json` owns the task, whoever wrote it down. A job that was submitted
twice, or is started again after its node has failed, finds another name there, or a task that has
begun on another machine.

A TaskRunner that was killed is replaced by another one, which goes on with the same machine.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from task_runner.lib import process
from task_runner.lib.clock import since_boot
from task_runner.lib.handle import claim
from task_runner.lib.outcome import signal_name
from task_runner.lib.output import make_fifo
from task_runner.lib.runner import FOREVER, TaskRunner
from task_runner.lib.task_dir import PREFIX, TaskDir

MARGIN = 5.0
"""Seconds between the last kill and END."""
STARTS = 10
"""TaskRunners that are started at most: what kills them all kills the next one too."""


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
        ends_at = since_boot() + left
        # Else what a machine writes between two TaskRunners would vanish when it ends.
        fifos = [make_fifo(files.fifo) for files in (directory.output, directory.stderr)]
        sys.exit(_restarted(lambda: TaskRunner(directory, ends_at=ends_at).run(), fifos))


def _restarted(run: Callable[[], object], held: Sequence[int]) -> int:
    """Call `run` in a process of its own, again while that is killed; return its exit code.

    The processes of a killed one become children of this one, and so stay with the job. It has
    the descriptors `held` open all the time, and `run` has not.
    """
    process.become_subreaper()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would tell of no end: wait(2)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGCHLD))
    for _ in range(STARTS):
        pid = os.fork()
        if pid == 0:
            process.end_with_parent()  # without it, the job is over
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
            for fd in held:
                os.close(fd)
            run()
            return 0
        code = _exit_code(pid)
        if code >= 0:
            return code
        print(f"TaskRunner was killed: {signal_name(-code)}", file=sys.stderr, flush=True)
    return 1


def _exit_code(pid: int) -> int:
    """Wait for the end of a child, passing stops on; negative is the signal that has ended it."""
    while True:
        if signal.sigwait((signal.SIGTERM, signal.SIGCHLD)) == signal.SIGTERM:
            os.kill(pid, signal.SIGTERM)
        while (ended := _reap()) is not None:
            if ended[0] == pid:
                return os.waitstatus_to_exitcode(ended[1])


def _reap() -> tuple[int, int] | None:
    """Return pid and status of a child that has ended, or of one that was left to this process."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


if __name__ == "__main__":
    main(*sys.argv[1:])
