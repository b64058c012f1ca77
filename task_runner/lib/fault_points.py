"""Fault points: the named steps of a task's life at which a test can make a process fail for real.

A step stands right before what it is named after. Killed there means: after all that comes before
it. An error there is the error of what was about to be done.

They are off unless the service is started with the setting `fault_points`, a directory. The fork
server gets it as an argument of its own, TaskRunners by the fork. No request, no task and nothing
in the work directory can turn them on. A file in the directory, with the name of a step, is the
plan of what happens there:

    {"fault": "SIGKILL", "path": "task-3df2bb24", "skip": 0, "once": true}

`fault` is a signal the process sends itself or the name of an errno that is raised. The plan is
for steps whose path contains `path` (empty: all), after each process has passed `skip` of them,
`once` or always. What has failed is appended to the file `fired`.
"""

import errno
import json
import os
import signal
from collections import Counter
from enum import StrEnum

from task_runner.lib.process import read_file

FIRED = "fired"


class Step(StrEnum):
    """Every fault point, in the order in which a task meets them."""

    # Service: a submission.
    DRAFT = "draft"
    WRITE = "write"  # any JSON file, by whomever: into a temporary file ...
    RENAME = "rename"  # ... which takes the place of the old one
    PUBLISH = "publish"
    COMMIT = "commit"  # any transaction of the index
    SYNC = "sync"
    SYNC_NAMES = "sync-names"
    LAUNCH = "launch"
    NOTE_START = "note-start"
    ANSWER = "answer"
    # Fork server.
    FORK = "fork"
    # TaskRunner: the start.
    FORK_MACHINE = "fork-machine"
    LOCK = "lock"
    OPEN_STREAMS = "open-streams"
    BEGIN = "begin"
    ANNOUNCE = "announce"
    RELEASE = "release"
    SETTLE = "settle"  # in the machine's process
    # TaskRunner: the output, and the place of one that was killed.
    MARK = "mark"
    MOVE = "move"
    SEGMENT = "segment"  # of what is beyond the limit of the log
    ADOPT = "adopt"
    # A stop: the service, then TaskRunner.
    NOTE_STOP = "note-stop"
    SIGNAL_STOP = "signal-stop"
    BEGIN_STOP = "begin-stop"
    TERMINATE = "terminate"
    # TaskRunner: the end.
    DRAIN = "drain"
    COMPLETE = "complete"  # the log, with the end of what was beyond its limit
    COLLECT = "collect"
    FINISH = "finish"
    TIDY = "tidy"
    # Service: the end, a verdict, a delete.
    NOTE_END = "note-end"
    SYNC_RESULT = "sync-result"
    JUDGE = "judge"
    BURY = "bury"
    REMOVE_FILES = "remove-files"
    FORGET = "forget"


_directory: list[str] = []
_passed: Counter[Step] = Counter()


def switch_on(directory: str) -> None:
    """Follow the plans in a directory; ValueError when somebody else may write there."""
    try:
        stat = os.stat(directory)
    except OSError as problem:
        raise ValueError(f"fault_points: {directory}: {problem.strerror}") from problem
    if stat.st_uid != os.getuid() or stat.st_mode & 0o022:
        raise ValueError(f"fault_points: {directory} can be written by others")
    _directory[:] = [os.path.abspath(directory)]


def switch_off() -> None:
    """Follow no plan any more."""
    _directory.clear()


def plans() -> str:
    """Return the directory that is followed, empty when the fault points are off."""
    return _directory[0] if _directory else ""


def reach(step: Step, path: str = "") -> None:
    """Fail here when a plan says so. Costs nothing when the fault points are off."""
    if _directory:
        _follow(_directory[0], step, path)


def _follow(directory: str, step: Step, path: str) -> None:
    try:
        plan = json.loads(read_file(f"{directory}/{step}"))
    except FileNotFoundError:
        return
    if plan["path"] not in path:
        return
    _passed[step] += 1
    if _passed[step] <= plan["skip"]:
        return
    if plan["once"]:
        try:
            os.unlink(f"{directory}/{step}")
        except FileNotFoundError:  # another process was faster
            return
    _note(f"{directory}/{FIRED}", f"{step} {plan['fault']} {os.getpid()} {path}\n")
    _fail(plan["fault"])


def _note(path: str, line: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def _fail(fault: str) -> None:
    if fault.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[fault])
    else:
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number))
