"""The command lines of Slurm's tools: what is known of a task in, argv out.

The options used are those that every release since 20.11 has; see sbatch(1), squeue(1),
scancel(1), sacct(1).
"""

import secrets
from collections.abc import Sequence

from task_runner.lib.task_dir import TaskDir

QUEUE_FORMAT = "%i|%j|%T|%N|%r"
"""Number, name, state, nodes and, last as it may hold anything, the reason."""


def new_name(task_id: str) -> str:
    """Return a name that no other job has.

    A number is not enough: a controller that was killed forgets the last numbers it gave, and gives
    them again.
    """
    return f"task-{task_id}-{secrets.token_hex(8)}"


def submit(
    directory: TaskDir, name: str, options: Sequence[str], script: str, start: Sequence[str]
) -> list[str]:
    """Submit a job that starts TaskRunner on the directory; prints its number.

    `start` are the arguments of the batch script.
    """
    return [
        "sbatch",
        "--parsable",
        "--no-requeue",
        "--nodes=1",
        "--ntasks=1",
        f"--job-name={name}",
        f"--chdir={directory.path}",
        f"--output={directory.runner_log.replace('%', '%%')}",
        "--open-mode=append",
        "--export=ALL",  # of the short environment that sbatch is given; none of the service's own
        "--propagate=NONE",
        *options,
        script,
        *start,
    ]


def find(name: str, user: str) -> list[str]:
    """Look for a job by its name, over or not; prints a line of the queue."""
    return [*queue(user), f"--name={name}"]


def queue(user: str) -> list[str]:
    """Show all jobs of a user, also those that are over and that Slurm still remembers."""
    return ["squeue", "--noheader", f"--user={user}", "--states=all", f"--format={QUEUE_FORMAT}"]


def terminate(job: str, name: str) -> list[str]:
    """Send SIGTERM to TaskRunner, and to nobody else: it takes its time and cleans up.

    Only to a job that runs: with one that waits, scancel tries again for minutes.
    """
    return ["scancel", "--signal=TERM", "--batch", "--state=RUNNING", f"--name={name}", job]


def unqueue(job: str, name: str) -> list[str]:
    """Take a job out of the queue; one that runs is left alone."""
    return ["scancel", "--state=PENDING", f"--name={name}", job]


def account(jobs: Sequence[str]) -> list[str]:
    """Show what the accounting knows of jobs that Slurm itself has forgotten."""
    return [
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        f"--jobs={','.join(jobs)}",
        "--format=JobIDRaw,JobName%100,State,NodeList",
    ]


VERSION = ["sbatch", "--version"]
CONFIGURATION = ["scontrol", "show", "config"]
PARTITIONS = ["sinfo", "--noheader", "--format=%R"]
