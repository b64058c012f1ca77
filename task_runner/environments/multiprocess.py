"""Tasks as local processes, without any server: the environment as a library.

    environment = MultiprocessEnvironment("/tmp/tasks")
    entry = environment.register_task(task_from_dict({"machine": "echo", "parameters": "ECHO hi"}))
    environment.start_task(entry.task_id)
    print(environment.wait_completion(entry.task_id).exit_code)

All it knows is in the directories: a second process that opens the same one sees the same tasks.
"""

import logging
import os
import signal
import time
from contextlib import suppress
from typing import NamedTuple

from task_runner.environments.base import (
    Capabilities,
    Usability,
    refuse_options,
    remove_isolation,
    verdict,
)
from task_runner.environments.fork_client import LAST_MOMENTS, ForkClient, Launch
from task_runner.environments.work_dir import WorkDir
from task_runner.lib import limits
from task_runner.lib.clock import since_boot, timestamp
from task_runner.lib.errors import (
    StopError,
    TaskActiveError,
    TaskNotFoundError,
    TaskRunnerError,
)
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.observe import Observation, machine_alive, observe
from task_runner.lib.outcome import Outcome
from task_runner.lib.policy import NOTHING, Policy
from task_runner.lib.process import has_ended, host
from task_runner.lib.state import State
from task_runner.lib.task import Task
from task_runner.lib.task_dir import TaskDir, create_exclusive

log = logging.getLogger(__name__)

PAUSE = 0.02
"""Seconds until a removal is tried again."""


class Entry(NamedTuple):
    """A task of this environment; `work_dir` is its own directory."""

    task_id: str
    work_dir: str
    state: State
    exit_code: int | None


class MultiprocessEnvironment:
    """Registers, starts, stops and watches tasks; any thread may, and every method blocks."""

    capabilities = Capabilities(elsewhere=False, limits=None)

    def __init__(
        self,
        work_dir: str | os.PathLike[str],
        allow_arbitrary_paths: bool = False,
        policy: Policy = NOTHING,
    ) -> None:
        """Use a work directory, which is made when needed. Raises WorkDirError.

        `allow_arbitrary_paths` lets `register_task` put a task outside of it; `policy` is what
        tasks may ask of their isolation.
        """
        self.work_dir = WorkDir(work_dir, policy)
        self._allow_arbitrary_paths = allow_arbitrary_paths
        self._elsewhere: dict[str, TaskDir] = {}
        self._forks = ForkClient()

    def register_task(self, task: Task, path: str | os.PathLike[str] | None = None) -> Entry:
        """Make the directory of a task, on disk for good; it does not run yet.

        `path` asks for a directory outside of the work directory; it must not exist, and only this
        object knows of it later. Raises TaskExistsError, TaskRunnerError when `path` is not
        allowed, and OSError.
        """
        if path is not None and not self._allow_arbitrary_paths:
            raise TaskRunnerError("this environment keeps every task in its work directory")
        directory, _ = self.work_dir.create(task, os.path.abspath(path) if path else None)
        self.work_dir.sync(directory)
        self.work_dir.sync_names(directory)
        if path is not None:
            self._elsewhere[directory.task_id] = directory
        return self.get_task_data(directory.task_id)

    def start_task(self, task_id: str) -> Entry:
        """Start a registered task; one that was started before is left alone.

        Raises TaskNotFoundError, StartError.
        """
        directory = self._directory(task_id)
        os.close(self.launch(directory).pidfd)
        self.work_dir.sync_names(directory)
        return self.get_task_data(task_id)

    def stop_task(self, task_id: str) -> Entry:
        """Ask a task to stop, without waiting for it. A task that is over stays as it is.

        Raises TaskNotFoundError, StartError, StopError.
        """
        directory = self._directory(task_id)
        self.ask_to_stop(directory)
        return self.get_task_data(task_id)

    def wait_completion(self, task_id: str, timeout: float | None = None) -> Entry:
        """Wait until a task is over, at most `timeout` seconds; return how it is then.

        Raises TaskNotFoundError, and TaskRunnerError when it was never started.
        """
        directory = self._directory(task_id)
        deadline = None if timeout is None else since_boot() + timeout
        while not (entry := self.get_task_data(task_id)).state.is_over:
            if entry.state is State.CREATED and directory.lock_holder() is None:
                raise TaskRunnerError(f"{task_id} was not started")
            pidfd = directory.open_holder()
            if pidfd is None:  # its TaskRunner was killed; another one goes on
                pidfd = self.launch(directory).pidfd
            left = None if deadline is None else max(0.0, deadline - since_boot())
            ready = has_ended(pidfd, left)
            os.close(pidfd)
            if not ready:
                return self.get_task_data(task_id)
        return entry

    def get_task_data(self, task_id: str) -> Entry:
        """Return a task as it is now. Raises TaskNotFoundError, ValueError when it is damaged."""
        directory = self._directory(task_id)
        seen = observe(directory)
        return Entry(task_id, directory.path, seen.state, seen.exit_code)

    def get_all_tasks(self) -> list[Entry]:
        """Return every task that can be read, whoever registered it."""
        entries = []
        for task_id in [*self.work_dir.task_ids(), *self._elsewhere]:
            with suppress(TaskNotFoundError, ValueError):
                entries.append(self.get_task_data(task_id))
        return entries

    def get_active_tasks(self) -> list[Entry]:
        """Return the tasks that are not over."""
        return [entry for entry in self.get_all_tasks() if not entry.state.is_over]

    def unregister_task(self, task_id: str) -> None:
        """Remove a task that is over, or was never started, with its directory.

        Raises TaskNotFoundError, TaskActiveError.
        """
        directory = self._directory(task_id)
        self.remove(directory)
        self._elsewhere.pop(task_id, None)

    def _directory(self, task_id: str) -> TaskDir:
        directory = self._elsewhere.get(task_id) or TaskDir.of(self.work_dir.path, task_id)
        if "/" in task_id or not os.path.exists(directory.task):
            raise TaskNotFoundError(f"there is no task {task_id!r}")
        return directory

    # The same by directory, for the service, which has looked the task up already; see base.py.

    @staticmethod
    def validate(task: Task) -> None:
        """See Environment: there are no options."""
        refuse_options(task)

    def admit(self, task: Task) -> None:
        """See Environment: what is valid can run here."""

    def usability(self) -> Usability:
        """See Environment."""
        return Usability(usable=True)

    def launch(self, directory: TaskDir) -> Launch:
        """Launch a TaskRunner, to start the task or to go on with it. Raises StartError.

        StartLaterError is one of them: the same may do another time.
        """
        reach(Step.LAUNCH, directory.path)
        return self._forks.launch(directory)

    def ask_to_stop(self, directory: TaskDir) -> None:
        """Note that a stop is wanted, then tell the TaskRunner, or launch one to hear it.

        The note comes first: a TaskRunner takes its lock, then looks for the note; so either the
        note is found, or the lock is, and with it the process to signal. Raises StartError, and
        StopError when it cannot be noted; a TaskRunner that lives hears of it all the same.
        """
        if observe(directory).state.is_over:
            return
        trouble = None
        try:
            reach(Step.NOTE_STOP, directory.path)
            note = {"at": timestamp(), "host": host()}
            create_exclusive(directory.stop, note, self.work_dir.aside(directory))
        except OSError as problem:  # the disk is full, perhaps because of this very task
            trouble = problem
        pidfd = directory.open_holder()
        if pidfd is not None:
            _tell_to_stop(directory, pidfd)
        elif trouble is None:
            os.close(self.launch(directory).pidfd)
        if trouble is not None:  # the next TaskRunner, should this one be killed, would not know
            raise StopError(f"the stop cannot be noted, ask again: {trouble}") from trouble

    def judge(
        self, directory: TaskDir, state: State, outcome: Outcome, error: str | None
    ) -> Observation:
        """Pass a verdict on a task that has no result and cannot get one; return how it is now.

        Under the lock, so that no TaskRunner begins in the same moment. Whoever is alive, or has
        left a result, is not judged.
        """
        with directory.keep_out() as alone:
            if alone and _is_hopeless(directory):
                reach(Step.JUDGE, directory.path)
                judged = verdict(state, outcome, error)
                create_exclusive(directory.verdict, judged, self.work_dir.aside(directory))
        return observe(directory)

    def tidy(self, directory: TaskDir) -> None:
        """Remove what a TaskRunner left that was killed when it had already written the result."""
        if not os.path.exists(directory.output.fifo):
            return
        with directory.keep_out() as alone:
            if alone and observe(directory, lock_is_mine=True).state is State.EXITED:
                directory.tidy()

    def remove(self, directory: TaskDir) -> None:
        """See Environment."""
        _let_go(directory)
        deadline = since_boot() + LAST_MOMENTS
        while not self._remove(directory):
            if since_boot() > deadline:
                raise TaskActiveError(f"somebody is at work on {directory.task_id}; ask again")
            time.sleep(PAUSE)

    def _remove(self, directory: TaskDir) -> bool:
        """Remove a task; False when somebody else removes it, or tidies up in it, just now."""
        with directory.keep_out() as alone:
            seen = observe(directory, lock_is_mine=alone).state
            if not (seen.is_over or (alone and seen is State.CREATED)):
                raise TaskActiveError(f"{directory.task_id} is {seen}; stop it first")
            if alone:
                remove_isolation(directory)
                limits.forget(directory, log.warning)
                self.work_dir.remove(directory)
        return alone

    def close(self) -> None:
        """Let go; every task goes on."""
        self._forks.close()
        self.work_dir.close()


def _tell_to_stop(directory: TaskDir, task_runner: int) -> None:
    try:
        reach(Step.SIGNAL_STOP, directory.path)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(task_runner, signal.SIGTERM)
            signal.pidfd_send_signal(task_runner, signal.SIGCONT)  # it may have been stopped
    finally:
        os.close(task_runner)


def _let_go(directory: TaskDir) -> None:
    """Wait for a TaskRunner that has written the result, and is about to end."""
    pidfd = directory.open_holder()
    if pidfd is not None:
        over = observe(directory).state is State.EXITED
        has_ended(pidfd, LAST_MOMENTS if over else 0)
        os.close(pidfd)


def _is_hopeless(directory: TaskDir) -> bool:
    seen = observe(directory, lock_is_mine=True)
    if seen.state is State.CREATED:
        return True
    return seen.state is not State.EXITED and machine_alive(directory, seen.record) is False
