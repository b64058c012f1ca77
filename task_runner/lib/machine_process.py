"""The process of a machine: from the fork, over the release, to the work itself."""

import fcntl
import functools
import gc
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from task_runner.lib import fork_hooks, process, registry
from task_runner.lib.clock import timestamp
from task_runner.lib.execute import NOT_STARTED_EXIT_CODE, execute
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.machine import Command, TaskCanceled
from task_runner.lib.task import Task
from task_runner.lib.task_dir import TaskDir

if TYPE_CHECKING:
    import io

STATUS_FD = 3
REPORT_FD = 4
REPORT_SIZE = 65536
REPORT_LIMIT = 2000
"""Characters of an error that are reported: the report is written at once into an empty pipe."""

HEARD = b'{"heard":true}\n'
"""What a Python machine reports at once when it is told to end."""
WORDS: Mapping[str, type] = {
    "returned": int,
    "exception": str,
    "canceled": bool,
    "not_started": str,
    "heard": bool,
    "entered": bool,
    "status": int,
    "python": bool,
}
"""What can be reported; the last three come from isolations. Who runs inside may write anything."""
PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python raises exceptions instead; programs it starts get the default, see subprocess."""
PASSED_ON = ("SLURM", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""How the variables begin with which Slurm tells a job what it has got."""
CODES = range(-(2**31), 2**31)
"""What a machine may return: more is no exit code, and not every reader of JSON can take it."""

LOG_FORMAT = "%(asctime)s %(levelname)s [%(name)s] %(message)s"
CANCELED_EXIT_CODE = 128 + signal.SIGTERM


class MachineProcess:
    """A machine that was forked and waits; it does nothing before `release`.

    It waits on a pipe and with SIGTERM blocked: when TaskRunner dies, the pipe ends and the
    machine exits without having done anything; a SIGTERM that comes early stays pending until
    somebody can handle it.
    """

    def __init__(self, task: Task, directory: TaskDir) -> None:
        """Fork. The caller has SIGTERM blocked."""
        released, self._release = os.pipe()
        self._report, report = os.pipe()
        self._reported = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._release)
            _child(task, directory, released, report)
        os.close(released)
        os.close(report)

    def release(self) -> None:
        """Let the machine begin."""
        with suppress(BrokenPipeError):  # it was killed while it waited; its end will be seen
            os.write(self._release, b"!")
        os.close(self._release)

    def abandon(self) -> None:
        """End the machine, which was not released and has done nothing."""
        os.close(self._release)
        with suppress(ChildProcessError):  # reaped by the kernel, where SIGCHLD is ignored
            os.waitpid(self.pid, 0)

    def has_heard(self) -> bool:
        """Say whether the machine has noticed a SIGTERM, or is a program, which does so anyway.

        The end of the report stays open, and without that word, in one that has not.
        """
        return self._is_report_closed() or HEARD in self._reported

    def _is_report_closed(self) -> bool:
        os.set_blocking(self._report, False)  # a daemon it left behind may hold the other end
        data = b"?"
        with suppress(BlockingIOError):
            while data and len(self._reported) < REPORT_SIZE:
                data = os.read(self._report, REPORT_SIZE)
                self._reported += data
        return not data

    def report(self) -> dict[str, Any]:
        """Return its last words, of those in WORDS. Call it when the machine is over.

        Lines that are no JSON are returned as "said": the last words of other programs.
        """
        self._is_report_closed()
        return words_of_report(self._reported)


def words_of_report(report: bytes) -> dict[str, Any]:
    """Return the words in a report, see `MachineProcess.report`."""
    words: dict[str, Any] = {}
    for line in report.splitlines():
        try:
            words |= {k: v for k, v in json.loads(line).items() if type(v) is WORDS.get(k)}
        except (ValueError, AttributeError, RecursionError):
            words["said"] = words.get("said", "") + line.decode(errors="replace") + "\n"
    return words


def _child(task: Task, directory: TaskDir, released: int, report: int) -> NoReturn:
    code = NOT_STARTED_EXIT_CODE
    try:
        os.setsid()
        _default_signals()
        if os.read(released, 1):
            reach(Step.SETTLE, directory.path)
            _settle(task, directory)
            report = _keep_only(report)
            code = _work(task, directory, report)
    except BaseException as problem:  # nothing may climb up into TaskRunner's code
        _say(report, not_started=_describe(problem))
    finally:
        os._exit(code)


def _default_signals() -> None:
    """Forget TaskRunner's handlers; SIGTERM stays blocked, whatever else was."""
    signal.set_wakeup_fd(-1)
    process.restore_signals(keep=PYTHON_IGNORES, block=(signal.SIGTERM,))


def _work(task: Task, directory: TaskDir, report: int) -> int:
    environment = environment_of(task, directory)
    machine = _load(task)
    if task.isolation != "none":
        _execute(_wrapped(machine, task, directory, environment), report)
    if hasattr(machine, "command"):
        _execute(_in_full(machine.command(task, directory.path), environment), report)
    _set_environment(environment)
    return _run(machine, task, report)


def _load(task: Task) -> Any:
    return registry.load(task.machine, registry.MACHINES, registry.MACHINE_ENTRY_POINTS)


def _in_full(command: Command, environment: Mapping[str, str]) -> Command:
    return command._replace(env={**environment, **command.env})


def _wrapped(
    machine: Any, task: Task, directory: TaskDir, environment: Mapping[str, str]
) -> Command:
    """Return the program that runs the machine in the isolation of the task."""
    from task_runner.lib import inside
    from task_runner.lib.isolation import Work

    is_python = not hasattr(machine, "command")
    if is_python:
        command = inside.program_of(task, environment)
        os.set_inheritable(REPORT_FD, True)
    else:
        command = _in_full(machine.command(task, directory.path), environment)
    return registry.isolation_of(task.isolation).wrap(Work(task, directory, command, is_python))


def run_python_machine(task: Task, report: int) -> NoReturn:
    """Run the Python machine of a task in this process, which is nothing else, and end it."""
    code = NOT_STARTED_EXIT_CODE
    try:
        os.set_inheritable(report, False)
        code = _run(_load(task), task, report)
    except BaseException as problem:  # as in `_child`
        _say(report, not_started=_describe(problem))
    finally:
        os._exit(code)


def _settle(task: Task, directory: TaskDir) -> None:
    """Give the process the streams and the directory of the task."""
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(directory.output.fifo, os.O_RDWR)
    stderr = os.open(directory.stderr.fifo, os.O_RDWR) if task.has_stderr else output
    status = os.open(directory.status_fifo, os.O_RDWR)
    # Numbers above those that are about to be given away.
    streams = [_above(fd, 10) for fd in (null, output, stderr, status)]
    for number, fd in enumerate(streams):  # the last one becomes STATUS_FD
        os.dup2(fd, number)
    os.chdir(directory.files)


def environment_of(task: Task, directory: TaskDir) -> dict[str, str]:
    """Return the environment a machine starts with."""
    return {
        **process.short_environment(),
        **{name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)},
        "PYTHONUNBUFFERED": "1",
        **task.env,
        "TASK_RUNNER_TASK_ID": directory.task_id,
        "TASK_RUNNER_DIR": directory.path,
        "TASK_RUNNER_STATUS_FD": str(STATUS_FD),
    }


def _set_environment(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _above(fd: int, lowest: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def _keep_only(report: int) -> int:
    """Close everything but the streams and the report, whose new number is returned."""
    os.dup2(_above(report, 10), REPORT_FD, inheritable=False)
    os.closerange(REPORT_FD + 1, os.sysconf("SC_OPEN_MAX"))
    return REPORT_FD


def _execute(command: Command, report: int) -> NoReturn:
    """Become a program whose environment is told in full."""
    if command.stdin:
        stdin = memory_file(command.stdin)
        os.dup2(stdin, 0)
        os.close(stdin)
    process.restore_signals(block=command.blocked)
    execute(command.argv, command.env, report)


def memory_file(data: bytes) -> int:
    """Return a descriptor to read the data from."""
    fd = os.memfd_create("stdin")
    _write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _run(machine: Any, task: Task, report: int) -> int:
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
    _say(report, **words)
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
        return {"exception": _describe(problem)}


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


def _describe(problem: BaseException) -> str:
    text = "".join(traceback.format_exception_only(problem)).strip()
    # Half of a surrogate pair, as in the name of a file, could not be shown to anybody.
    return text[:REPORT_LIMIT].encode(errors="backslashreplace").decode()


def _say(report: int, **words: Any) -> None:
    with suppress(OSError):  # TaskRunner was killed: nobody is going to read it
        os.write(report, json.dumps(words).encode() + b"\n")
