"""The work directory: one directory per task in it, each there completely or not at all."""

import errno
import fcntl
import logging
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from task_runner.lib.errors import TaskExistsError, WorkDirError
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.policy import NOTHING, Policy
from task_runner.lib.task import TASK_ID, Task, accepted
from task_runner.lib.task_dir import PREFIX, TaskDir, sync_file, write_atomic

STAGING = ".staging"
PROBE = "probe-"
STAGED = rf"[0-9a-f]{{16}}|{PROBE}.*"
"""What is in there: a directory for each process, and probes of those that begin."""
INDEX = "index.sqlite"

log = logging.getLogger(__name__)


class WorkDir:
    """Where the tasks live; any number of services may share it."""

    def __init__(self, path: str | os.PathLike[str], policy: Policy = NOTHING) -> None:
        """Make the directory when it is not there. Raises WorkDirError with what to do.

        `policy` is stored with each task; the work directory is hidden by it in any case.
        """
        self.path = os.path.abspath(path)
        self.policy = policy._replace(hidden=(self.path, *policy.hidden))
        prepare(self.path)
        self.owner, self._guard = self._stage()
        self._staging = f"{self.path}/{STAGING}/{self.owner}"

    def _stage(self) -> tuple[str, int]:
        """Make a staging directory, locked for as long as this process lives."""
        while True:
            owner = secrets.token_hex(8)
            path = f"{self.path}/{STAGING}/{owner}"
            os.mkdir(path, 0o700)
            try:
                guard = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:  # taken for a dead one already
                continue
            fcntl.flock(guard, fcntl.LOCK_EX)
            if os.path.exists(path):  # nobody took it for a dead one before it was locked
                return owner, guard
            os.close(guard)

    def is_alive(self, owner: str) -> bool:
        """Say whether the process with this staging directory lives, on whatever host."""
        if owner == self.owner:
            return True
        guard = self._lock_of_dead(owner)
        if guard is not None:
            os.close(guard)
        return guard is None and os.path.exists(f"{self.path}/{STAGING}/{owner}")

    def _lock_of_dead(self, owner: str) -> int | None:
        """Return the locked staging directory of a process that is gone; None when it is not."""
        try:
            guard = os.open(
                f"{self.path}/{STAGING}/{owner}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(guard)
            return None
        return guard

    def create(
        self, task: Task, path: str | None = None, max_output: int | None = None
    ) -> tuple[TaskDir, dict[str, Any]]:
        """Make the directory of a new task, and return it with what was stored in it.

        It appears whole; call `sync` before it is answered. Without an identifier the task gets
        one of 8 hexadecimal digits. `path` puts the directory somewhere else;
        `max_output` is as for `accepted`. Raises TaskExistsError when the identifier is taken.
        """
        while True:
            task_id = task.task_id or secrets.token_hex(4)
            directory = TaskDir(path, task_id) if path else TaskDir.of(self.path, task_id)
            record = accepted(task._replace(task_id=task_id), max_output, self.policy)
            if self._publish(self._draft(record, directory), directory.path):
                return directory, record
            if path:
                raise TaskExistsError(f"{path} exists already")
            if task.task_id:
                raise TaskExistsError(f"there is a task {task_id!r} already")

    def _draft(self, record: dict[str, Any], directory: TaskDir) -> str:
        draft = TaskDir(self.aside(directory), directory.task_id)
        reach(Step.DRAFT, directory.path)
        os.mkdir(draft.path, 0o700)
        try:
            write_atomic(draft.task, record)
        except OSError:
            os.rmdir(draft.path)
            raise
        return draft.path

    def aside(self, directory: TaskDir) -> str:
        """Return a new name on the same file system; what is left there, `sweep` removes."""
        parent, name = os.path.split(directory.path)
        if parent == self.path:
            return f"{self._staging}/{secrets.token_hex(8)}"
        return f"{parent}/.{name}.{secrets.token_hex(8)}"

    def _publish(self, draft: str, path: str) -> bool:
        try:
            reach(Step.PUBLISH, path)
            os.rename(draft, path)
        except OSError as problem:
            shutil.rmtree(draft)
            # rename(2) replaces an empty directory only, and no task's directory is empty.
            if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def sync(self, directory: TaskDir) -> None:
        """Make a new task survive a power cut, together with `sync_names`."""
        reach(Step.SYNC, directory.path)
        sync_file(directory.task)
        sync_file(os.path.dirname(directory.path))

    def sync_names(self, directory: TaskDir) -> None:
        """Make the files of a task survive a power cut; with the status file, that it has begun.

        Else it would begin again.
        """
        reach(Step.SYNC_NAMES, directory.path)
        with suppress(FileNotFoundError):  # the task may have removed all of it
            sync_file(directory.path)

    def remove(self, directory: TaskDir) -> None:
        """Remove a task and all its files; it disappears whole. Raises FileNotFoundError."""
        grave = self.aside(directory)
        reach(Step.BURY, directory.path)
        os.chmod(directory.path, 0o700)  # to move a directory takes the right to write into it
        os.rename(directory.path, grave)
        try:
            sync_file(os.path.dirname(directory.path))
            reach(Step.REMOVE_FILES, directory.path)
            _remove_tree(grave)
        except OSError as problem:  # the task is gone all the same; `sweep` tries again, one day
            log.warning("not all of %s can be removed: %s", directory.task_id, problem)

    def task_ids(self) -> Iterator[str]:
        """Yield the identifier of every task there is."""
        for entry in os.scandir(self.path):
            task_id = entry.name.removeprefix(PREFIX)
            is_named = entry.name.startswith(PREFIX) and re.fullmatch(TASK_ID, task_id)
            if is_named and entry.is_dir(follow_symlinks=False):
                yield task_id

    def strangers(self) -> Iterator[tuple[str, str]]:
        """Yield the names of what is there and no task, and why it is left alone."""
        for entry in os.scandir(self.path):
            if entry.name.startswith(PREFIX):
                if not entry.is_dir(follow_symlinks=False):
                    yield entry.name, "it is no directory"
                elif not re.fullmatch(TASK_ID, entry.name.removeprefix(PREFIX)):
                    yield entry.name, "its name has no identifier of a task"
            elif entry.name != STAGING and not entry.name.startswith(INDEX):
                yield entry.name, "it is nothing of the Task Runner"
        for name in os.listdir(f"{self.path}/{STAGING}"):
            if not re.fullmatch(STAGED, name):
                yield f"{STAGING}/{name}", "it is nothing of the Task Runner"

    def sweep(self) -> bool:
        """Remove the drafts of processes that are gone; say whether there were any."""
        found = False
        for owner in os.listdir(f"{self.path}/{STAGING}"):
            if not re.fullmatch(STAGED, owner):
                continue
            guard = None if owner == self.owner else self._lock_of_dead(owner)
            if guard is None:
                continue
            try:
                _remove_tree(f"{self.path}/{STAGING}/{owner}")
                found = True
            except FileNotFoundError:  # a probe of `prepare`, which removes it as well
                pass
            except OSError as problem:
                log.warning("what a process that is gone left cannot be removed: %s", problem)
            finally:
                os.close(guard)
        return found

    def close(self) -> None:
        """Remove this process's own staging area, which is empty unless something is under way."""
        with suppress(OSError):
            os.rmdir(self._staging)
        os.close(self._guard)


def prepare(path: str) -> None:
    """Make a work directory when it is not there. Raises WorkDirError when it cannot be used."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        _make_staging(f"{path}/{STAGING}")
        probe = tempfile.mkdtemp(prefix=PROBE, dir=f"{path}/{STAGING}")
        with suppress(FileNotFoundError):  # somebody's `sweep` was faster
            os.rmdir(probe)
    except OSError as problem:
        raise WorkDirError(_advice(path, problem)) from problem


def _make_staging(path: str) -> None:
    """Make it, and move out of the way what is in its place and no directory."""
    if os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
        os.rename(path, f"{path}.{secrets.token_hex(4)}")
    os.makedirs(path, 0o700, exist_ok=True)


def _remove_tree(path: str) -> None:
    """Remove a directory and everything in it, also what a task has locked up. Raises OSError."""
    try:
        shutil.rmtree(path)
    except PermissionError:
        _unlock(path)
        shutil.rmtree(path)
    except RecursionError:  # deeper than Python can count; rm(1) has no limit
        subprocess.run(["rm", "-rf", "--", path], check=False)


def _unlock(path: str) -> None:
    locked = [path]
    while locked:
        directory = locked.pop()
        os.chmod(directory, 0o700)
        entries = os.scandir(directory)
        locked += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


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
