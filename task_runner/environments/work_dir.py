"""The work directory: one directory per task in it, each there completely or not at all."""

import errno
import os
import pwd
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress

from task_runner.lib.clock import timestamp
from task_runner.lib.errors import TaskExistsError, WorkDirError
from task_runner.lib.process import Identity, identity_of
from task_runner.lib.task import Task
from task_runner.lib.task_dir import PREFIX, TaskDir, sync_directory, write_atomic

STAGING = ".staging"


class WorkDir:
    """Where the tasks live; any number of services may share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Make the directory when it is not there. Raises WorkDirError with what to do."""
        self.path = os.path.abspath(path)
        me = identity_of(os.getpid())
        owner = f"{me.host}.{me.boot_id[:8]}.{me.pid}.{me.start_ticks}"
        self._staging = f"{self.path}/{STAGING}/{owner}"
        try:
            os.makedirs(self.path, 0o700, exist_ok=True)
            os.makedirs(self._staging, 0o700, exist_ok=True)
        except OSError as problem:
            raise WorkDirError(_advice(self.path, problem)) from problem

    def create(self, task: Task, path: str | None = None) -> TaskDir:
        """Make the directory of a new task; it appears whole. Call `sync` before it is answered.

        Without an identifier the task gets one of 8 hexadecimal digits. `path` puts the directory
        somewhere else. Raises TaskExistsError when the identifier is taken.
        """
        while True:
            task_id = task.task_id or secrets.token_hex(4)
            directory = TaskDir(path, task_id) if path else TaskDir.of(self.path, task_id)
            draft = TaskDir(f"{self._staging}/{secrets.token_hex(8)}", task_id)
            os.mkdir(draft.path, 0o700)
            record = {**task.to_dict(), "taskId": task_id, "createdAt": timestamp()}
            write_atomic(draft.task, record)
            if self._publish(draft.path, directory.path):
                return directory
            if task.task_id:
                raise TaskExistsError(f"there is a task {task_id!r} already")

    def _publish(self, draft: str, path: str) -> bool:
        try:
            os.rename(draft, path)
        except OSError as problem:
            shutil.rmtree(draft)
            # rename(2) replaces an empty directory only, and no task's directory is empty.
            if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def sync(self, directory: TaskDir) -> None:
        """Make a new task survive a power cut."""
        fd = os.open(directory.task, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(directory.path)
        sync_directory(os.path.dirname(directory.path))

    def remove(self, directory: TaskDir) -> None:
        """Remove a task and all its files; it disappears whole. Raises FileNotFoundError."""
        grave = f"{self._staging}/{secrets.token_hex(8)}"
        os.rename(directory.path, grave)
        sync_directory(self.path)
        shutil.rmtree(grave, onerror=_make_writable_and_retry)

    def task_ids(self) -> Iterator[str]:
        """Yield the identifier of every task there is."""
        for entry in os.scandir(self.path):
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                yield entry.name.removeprefix(PREFIX)

    def sweep(self) -> None:
        """Remove the drafts of processes that are gone."""
        for name in os.listdir(f"{self.path}/{STAGING}"):
            owner = _owner_of(name)
            if owner is not None and owner.is_alive() is False:
                shutil.rmtree(f"{self.path}/{STAGING}/{name}", onerror=_make_writable_and_retry)

    def close(self) -> None:
        """Remove this process's own staging area, which is empty unless something is under way."""
        with suppress(OSError):
            os.rmdir(self._staging)


def _owner_of(name: str) -> Identity | None:
    """Return whose staging directory this is; None when that cannot be told from here."""
    from task_runner.lib.process import boot_id

    try:
        host, boot, pid, ticks = name.rsplit(".", 3)
        owner = Identity(
            host, boot_id() if boot_id().startswith(boot) else boot, int(pid), int(ticks)
        )
    except ValueError:
        return None
    return owner if host == socket.gethostname() else None


def _make_writable_and_retry(function: object, path: str, _info: object) -> None:
    """Remove what a task has made read-only; anything else is an error."""
    parent = os.path.dirname(path)
    os.chmod(parent, 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        os.chmod(path, 0o700)
        shutil.rmtree(path)
    elif callable(function):
        function(path)


def _advice(path: str, problem: OSError) -> str:
    user = str(os.getuid())
    with suppress(KeyError):
        user = pwd.getpwuid(os.getuid()).pw_name
    return (
        f"the work directory {path} cannot be used: {problem.strerror}.\n"
        f"Create it:\n"
        f"    sudo install -d -m 0700 -o {user} {path}\n"
        f"or choose another one:\n"
        f"    export TASK_RUNNER_WORK_DIR=$HOME/task_runner"
    )
