"""What the process of a machine does when it is released: it becomes a program, or runs Python."""

import fcntl
import os
from collections.abc import Mapping
from typing import Any, NoReturn

from task_runner.lib import process, registry
from task_runner.lib.execute import execute
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.machine import Command
from task_runner.lib.python_machine import run_machine
from task_runner.lib.report import REPORT_FD
from task_runner.lib.task import Task
from task_runner.lib.task_dir import TaskDir

STATUS_FD = 3
PASSED_ON = ("SLURM", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""How the variables begin with which Slurm tells a job what it has got."""


def work(task: Task, directory: TaskDir) -> int:
    """Do the work of a task in this process; return its exit code unless it becomes a program."""
    reach(Step.SETTLE, directory.path)
    _settle(task, directory)
    environment = environment_of(task, directory)
    machine = registry.machine_of(task.machine)
    if task.isolation != "none":
        _execute(_wrapped(machine, task, directory, environment))
    if hasattr(machine, "command"):
        _execute(_in_full(machine.command(task, directory.path), environment))
    _set_environment(environment)
    return run_machine(machine, task, REPORT_FD)


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
    work = Work(task, directory, command, is_python)
    program: Command = registry.isolation_of(task.isolation).wrap(work)
    return program


def _settle(task: Task, directory: TaskDir) -> None:
    """Give the process the streams and the directory of the task, and close all else it has."""
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(directory.output.fifo, os.O_RDWR)
    stderr = os.open(directory.stderr.fifo, os.O_RDWR) if task.has_stderr else output
    status = os.open(directory.status_fifo, os.O_RDWR)
    # Numbers above those that are about to be given away.
    streams = [_above(fd, 10) for fd in (null, output, stderr, status)]
    for number, fd in enumerate(streams):  # the last one becomes STATUS_FD
        os.dup2(fd, number)
    os.closerange(REPORT_FD + 1, os.sysconf("SC_OPEN_MAX"))
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


def _execute(command: Command) -> NoReturn:
    """Become a program whose environment is told in full."""
    if command.stdin:
        stdin = memory_file(command.stdin)
        os.dup2(stdin, 0)
        os.close(stdin)
    process.restore_signals(block=command.blocked)
    execute(command.argv, command.env, REPORT_FD)


def memory_file(data: bytes) -> int:
    """Return a descriptor to read the data from."""
    fd = os.memfd_create("stdin")
    _write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
