"""The service under fire: two workers, and somebody who starts it again whenever it is down."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from tests.node import ROOT, Node
from tests.task_processes import Process, process

WORKERS = "2"
PAUSE = 0.3
"""Seconds until it is looked at again."""


class Service:
    """Keeps a node running; its processes are found by their parents and command lines."""

    def __init__(self, work_dir: Path, **env: str) -> None:
        self.work_dir = work_dir
        self._node = Node(work_dir, "gunicorn", "--workers", WORKERS, **env)
        # With the disk full it cannot write where the tasks are.
        self._node.log = work_dir.parent / "service.log"
        self.url = f"http://127.0.0.1:{self._node.port}"
        self.starts = 0
        self._closing = threading.Event()
        self._seen: set[Process] = set()
        self._keeper = threading.Thread(target=self._keep, name="keeper")
        self._keeper.start()

    def _keep(self) -> None:
        while not self._closing.is_set():
            server = self._node.process
            if server is None or server.poll() is not None:
                self._start()
            self._closing.wait(PAUSE)

    def _start(self) -> None:
        self.starts += 1
        with self._node.log.open("ab") as log:
            self._node.process = subprocess.Popen(
                self._node.argv,
                cwd=ROOT,
                env=self._node.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def masters(self) -> list[int]:
        """Return the pid of the process that supervises the workers."""
        server = self._node.process
        return [server.pid] if server is not None and server.poll() is None else []

    def workers(self) -> list[int]:
        """Return the pids of the workers."""
        return [pid for master in self.masters() for pid in _children(master)]

    def fork_servers(self) -> list[int]:
        """Return the pids of the fork servers."""
        found = [pid for worker in self.workers() for pid in _children(worker)]
        self._seen.update(filter(None, map(process, found)))
        return found

    def kill(self) -> bool:
        """Kill master and workers at once."""
        for master in self.masters():
            with suppress(ProcessLookupError):
                os.killpg(master, signal.SIGKILL)
            return True
        return False

    def left(self) -> list[Process]:
        """Return the fork servers that live though their workers are gone."""
        working = set(self.fork_servers())
        return [one for one in self._seen if one.pid not in working and process(one.pid) == one]

    def close(self) -> None:
        """Stop the service for good, as an administrator would."""
        self.fork_servers()
        self._closing.set()
        self._keeper.join()
        if self._node.process is not None and self._node.process.poll() is None:
            self._node.terminate()
        self._node.close()


def _children(pid: int) -> list[int]:
    """Return the children of a process, of whichever of its threads."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread or the process has ended
            found += map(int, path.read_text().split())
    return found
