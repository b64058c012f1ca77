"""A node of its own: started, killed, stopped, and everything it has started ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from bench.client import Address, Connection
from bench.cpu import Group
from task_runner.lib.process import Identity, all_processes, identity_of, send_signal
from task_runner.lib.status_file import machine_of, runner_of
from task_runner.lib.task_dir import PREFIX, TaskDir, read_json
from tests.ports import Reservation

PATIENCE = 120.0


class Node:
    """One gunicorn with one worker on a work directory; use it with `with`."""

    def __init__(
        self, work_dir: str, prefix: Sequence[str] = (), settings: Mapping[str, str] = {}
    ) -> None:
        """`prefix` is a command that executes the server, with other limits perhaps.

        `settings` are variables for it, besides those that are not about the Task Runner.
        """
        os.makedirs(work_dir, 0o700, exist_ok=True)
        self.work_dir = work_dir
        self.group = Group(os.path.basename(work_dir))
        self._prefix = prefix
        self._settings = settings
        self._server: subprocess.Popen[bytes] | None = None
        self._reservation = Reservation()
        self.address: Address = ("127.0.0.1", self._reservation.port)

    def start(self) -> float:
        """Start the server; return the seconds from its exec to the first 200 of /readyz."""
        argv = [
            *self._prefix,
            sys.executable,
            "-m",
            "gunicorn",
            "-b",
            f"127.0.0.1:{self.address[1]}",
        ]
        argv += ["-k", "uvicorn.workers.UvicornWorker", "task_runner.api.star_app:create_app"]
        settings = {k: v for k, v in os.environ.items() if not k.startswith("TASK_RUNNER_")}
        settings |= self._settings
        begin = time.perf_counter()
        with open(f"{self.work_dir}.log", "ab") as log:
            self._server = subprocess.Popen(
                self.group.command(argv),
                env={**settings, "TASK_RUNNER_WORK_DIR": self.work_dir},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready(self._server)
        return time.perf_counter() - begin

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with self.connect() as connection:
                    connection.call("GET", "/readyz")
                return
            except (OSError, ValueError):
                if server.poll() is not None or time.monotonic() > until:
                    with open(f"{self.work_dir}.log") as log:
                        raise RuntimeError(f"the node does not start:\n{log.read()}") from None
                time.sleep(0.002)

    def connect(self) -> Connection:
        return Connection(self.address)

    def workers(self) -> list[int]:
        """Return the pids of the worker processes."""
        if self._server is None:
            return []
        master = self._server.pid
        return [entry.pid for entry in all_processes() if entry.parent == master]

    def kill(self) -> None:
        """SIGKILL the master and the workers, and wait until they are gone; the tasks go on."""
        if self._server is None:
            return
        workers = [identity_of(pid) for pid in self.workers()]
        self._server.kill()
        self._server.wait()
        self._server = None
        for worker in workers:
            send_signal(worker, signal.SIGKILL)
        for worker in workers:
            while worker.is_alive():
                time.sleep(0.001)

    def processes_of_tasks(self) -> list[Identity]:
        """Return every TaskRunner and every machine of a task that has no result yet."""
        found = []
        for directory in self.directories():
            record = read_json(directory.status)
            if record is not None and "finished_at" not in record:
                found += [runner_of(record), machine_of(record)]
        return found

    def directories(self) -> Iterator[TaskDir]:
        """Yield the directory of every task."""
        for entry in os.scandir(self.work_dir):
            if entry.name.startswith(PREFIX):
                yield TaskDir(entry.path, entry.name.removeprefix(PREFIX))

    def close(self) -> None:
        """End the server, then all tasks; the files stay, see `Bench.directory`."""
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(10)
                self._server = None
        self.kill()
        # Without a service nobody launches a new TaskRunner for one that is killed.
        for process in self.processes_of_tasks():
            send_signal(process, signal.SIGKILL)
        self.group.close()
        self._reservation.close()

    def __enter__(self) -> "Node":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
