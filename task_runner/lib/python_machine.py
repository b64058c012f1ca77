"""A Python machine at work, in a process that does nothing else."""

import functools
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from task_runner.lib import fork_hooks
from task_runner.lib.clock import timestamp
from task_runner.lib.machine import TaskCanceled
from task_runner.lib.report import HEARD, describe, say
from task_runner.lib.task import Task

if TYPE_CHECKING:
    import io

CODES = range(-(2**31), 2**31)
"""What a machine may return: more is no exit code, and not every reader of JSON can take it."""

LOG_FORMAT = "%(asctime)s %(levelname)s [%(name)s] %(message)s"
CANCELED_EXIT_CODE = 128 + signal.SIGTERM


def run_machine(machine: Any, task: Task, report: int) -> int:
    """Run the machine and its clean-up, report how it ended; return the exit code."""
    _open_texts(task)
    gc.enable()  # the fork server had no use for these two
    fork_hooks.register()
    words = _words_of(lambda: _cancelable(machine.run, task, report))
    if hasattr(machine, "cleanup"):
        ending = _words_of(lambda: machine.cleanup(task))
        if "exception" in ending and "returned" in words:
            words = ending
    with suppress(Exception):  # the machine may have closed or replaced it
        sys.stdout.flush()
    say(report, **words)
    return _exit_code(words)


def _cancelable(run: Callable[[Task], object], task: Task, report: int) -> object:
    """Run with the main thread ready for one TaskCanceled, which can only come from in here."""

    def ignore(_number: int, _frame: object) -> None:
        """Let a clean-up go on; unlike SIG_IGN, a program started by it does not inherit this."""

    def cancel(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, ignore)
        with suppress(OSError):  # TaskRunner was killed
            os.write(report, HEARD)
        raise TaskCanceled

    signal.signal(signal.SIGTERM, cancel)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        return run(task)
    finally:
        signal.signal(signal.SIGTERM, ignore)


def _words_of(function: Callable[[], Any]) -> dict[str, Any]:
    """Call the function and say how it ended, in the words of a report."""
    try:
        return {"returned": _as_code(function())}
    except TaskCanceled:
        return {"canceled": True}
    except SystemExit as ending:
        return {"returned": _as_exit_code(ending.code)}
    except BaseException as problem:  # whatever it is, it is the end of the task
        _show(traceback.format_exc())
        return {"exception": describe(problem)}


def _as_code(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and value in CODES:
        return int(value)
    raise TypeError(f"a machine returns None or an integer of 32 bits, not {_shown(value)}")


def _shown(value: object) -> str:
    return f"one of {value.bit_length()}" if isinstance(value, int) else f"{value!r:.100}"


def _as_exit_code(value: object) -> int:
    """Do as Python does with what sys.exit is given: a text is a last word, and a failure."""
    if value is None or (isinstance(value, int) and value in CODES):
        return _as_code(value)
    _show(f"{value}\n")
    return 1


def _show(text: str) -> None:
    with suppress(Exception):  # the machine may have closed or replaced it
        sys.stderr.write(text)


def _exit_code(words: Mapping[str, Any]) -> int:
    if "canceled" in words:
        return CANCELED_EXIT_CODE
    code = words.get("returned", 1)
    return code if 0 <= code <= 255 else 1


class _LineFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return timestamp(record.created)


@functools.cache
def output_stream() -> "io.TextIOWrapper":
    """Return a text stream to descriptor 1, which shows every line at once, as a terminal does.

    It may be made before descriptor 1 is what it will be; the fork server does so for all.
    """
    return _text_stream(1)


def _text_stream(fd: int) -> "io.TextIOWrapper":
    return open(fd, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


@functools.cache
def output_handler() -> logging.Handler:
    """Return the handler that makes log records lines of the output."""
    handler = logging.StreamHandler(output_stream())
    handler.setFormatter(_LineFormatter(LOG_FORMAT))
    return handler


def _open_texts(task: Task) -> None:
    """Give Python its streams. Log records are output also where stderr has a log of its own."""
    sys.stdout = output_stream()
    sys.stderr = _text_stream(2) if task.has_stderr else sys.stdout
    logging.root.handlers = [output_handler()]
    logging.root.setLevel(logging.DEBUG)
