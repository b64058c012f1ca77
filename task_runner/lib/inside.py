"""A Python machine as a program of its own, for isolations: it cannot be forked into them.

The program reads what it is to do from its standard input, where nobody else sees it: the files of
the task are hidden from inside.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from task_runner.lib.execute import NOT_STARTED_EXIT_CODE
from task_runner.lib.machine import Command
from task_runner.lib.python_machine import run_machine
from task_runner.lib.registry import machine_of
from task_runner.lib.report import REPORT_FD, describe, say
from task_runner.lib.task import Task, task_from_record

PACKAGE_PARENT = os.path.abspath(f"{__file__}/../../..")
BOOT = (
    "import json, sys; words = json.load(sys.stdin); sys.path[:] = words['path'] or sys.path; "
    "from task_runner.lib.inside import main; main(words)"
)


def program_of(task: Task, environment: Mapping[str, str]) -> Command:
    """Return the program that runs the Python machine of a task, with this very Python.

    An isolation with a Python of its own replaces `argv` by `("python3", "-c", BOOT)` and `stdin`
    by `words_of(task, [])`.
    """
    argv = (sys.executable, "-S", "-c", BOOT)
    words = words_of(task, [*sys.path, PACKAGE_PARENT])
    return Command(argv, environment, words, blocked=(signal.SIGTERM,))


def words_of(task: Task, path: list[str]) -> bytes:
    """Return what the program reads; `path` is its `sys.path`, its own when there is none."""
    return json.dumps({"path": path, "task": task.to_dict()}).encode()


def main(words: Mapping[str, Any]) -> NoReturn:
    """Run the machine, report on REPORT_FD how it ended, and end with its exit code."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    code = NOT_STARTED_EXIT_CODE
    try:
        os.set_inheritable(REPORT_FD, False)
        task = task_from_record(words["task"])
        code = run_machine(machine_of(task.machine), task, REPORT_FD)
    except BaseException as problem:  # the end of the process: reported
        say(REPORT_FD, not_started=describe(problem))
    finally:
        os._exit(code)
