"""The client of the fork server: starts it, and starts another when it is gone."""

import errno
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, NamedTuple

from task_runner.lib import fault_points
from task_runner.lib.errors import SHORTAGES, StartError, StartLaterError
from task_runner.lib.process import has_ended, short_environment
from task_runner.lib.task_dir import TaskDir

OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""The soft limit as this process found it, before it raised its own."""

ATTEMPTS = 3
LAST_MOMENTS = 5.0
"""Seconds that a TaskRunner may take from its last word to its end."""
PATIENCE = 60.0
"""Seconds until an answer; a machine that swaps is slow, and launching again is safe anyway."""
ANSWER_LIMIT = 262144
WANT = SHORTAGES | {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""What passes: a full disk, too many files or processes, no memory."""

PACKAGE_PARENT = os.path.abspath(f"{__file__}/../../..")
"""Installed editable, the package is found by a hook that `python -S` does not load."""

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from task_runner.environments.fork_server import serve; "
    "serve(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)


class Launch(NamedTuple):
    """What came of launching a TaskRunner on a directory."""

    record: dict[str, Any] | None
    """The status file as it is now; None when another TaskRunner owns the task."""
    pidfd: int
    """Of the TaskRunner that was launched; the caller closes it."""


class ForkClient:
    """Launches TaskRunners; any thread may."""

    def __init__(self) -> None:
        """Start nothing yet: the fork server is started by the first launch."""
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def launch(self, directory: TaskDir) -> Launch:
        """Launch a TaskRunner on the directory and wait until it owns the task, or has no need to.

        Safe to repeat: the TaskRunner itself decides, under the lock of the task, what is to be
        done. Raises StartError when it could not even begin after several attempts;
        StartLaterError when that may be another time.
        """
        problem, is_temporary = "", False
        for _ in range(ATTEMPTS):
            try:
                answer, pidfd = self._ask(directory)
            except OSError as error:
                problem, is_temporary = f"the fork server does not answer: {error}", True
                continue
            if "error" not in answer:
                return Launch(answer.get("started"), pidfd)
            if answer["is_ending"]:  # until then it may hold the lock of the task
                has_ended(pidfd, LAST_MOMENTS)
            os.close(pidfd)
            problem, is_temporary = str(answer["error"]), answer["errno"] in WANT
        failure = StartLaterError if is_temporary else StartError
        raise failure(f"{directory.task_id} could not be started: {problem}")

    def _ask(self, directory: TaskDir) -> tuple[dict[str, Any], int]:
        request = json.dumps({"path": directory.path, "task_id": directory.task_id}).encode()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.settimeout(PATIENCE)
            with theirs:
                self._send(request, theirs)
            data, fds, _, _ = socket.recv_fds(ours, ANSWER_LIMIT, 1)
        if data and not fds:  # it came, and there was no room for it in this process
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if not data:
            raise ConnectionError("TaskRunner ended before it could say anything")
        return json.loads(data), fds[0]

    def _send(self, request: bytes, reply: socket.socket) -> None:
        with self._lock:
            control = self._control or self._start()
            try:
                socket.send_fds(control, [request], [reply.fileno()])
            except OSError:  # it was killed; a new one does as well
                self._drop()
                socket.send_fds(self._start(), [request], [reply.fileno()])

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = json.dumps([*(os.path.abspath(path) for path in sys.path), PACKAGE_PARENT])
        arguments = (str(OPEN_FILES), fault_points.plans())
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-S", "-c", BOOT, paths, str(theirs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=short_environment(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._control = ours
        return ours

    def _drop(self) -> None:
        if self._control is not None:
            # A close alone would not be seen while a process that was forked meanwhile has it open.
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
            self._control = None
        if self._server is not None:
            self._server.wait()
            self._server = None

    def close(self) -> None:
        """End the fork server. What it has started goes on."""
        with self._lock:
            self._drop()
