"""Ends a Slurm cluster of the tests when they are gone: also when they were killed.

    python -m tests.slurm_keeper SLURM_CONF

Its standard input is a pipe that the tests hold open; its end is their end. Whatever has been
started for the cluster, down to the jobs, has the path of its configuration in its environment,
and nothing else has.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.waiting import wait_until


def with_configuration(conf: Path) -> list[int]:
    """Return the processes of the cluster with this configuration."""
    mark = f"SLURM_CONF={conf}\0".encode()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if mark in environment_of(pid)]


def environment_of(pid: int) -> bytes:
    """Return the environment of a process as it was when it started; empty when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def end_all_of(conf: Path) -> None:
    """Kill all of them; those that are started meanwhile too."""

    def all_gone() -> bool:
        left = with_configuration(conf)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(all_gone)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_all_of(Path(sys.argv[1]))
