"""A small preloaded process that forks a TaskRunner for every request.

Forking from here costs a fraction of starting Python, and shares its memory. It runs in a single
thread, which is what makes fork safe, with the standard library alone, and knows nothing: a request
is the directory of a task and a socket to answer on. It ends when its client does.
"""

import gc
import importlib
import json
import os
import resource
import signal
import socket
import traceback
from contextlib import suppress
from typing import NoReturn

from task_runner.lib import fault_points, fork_hooks
from task_runner.lib.fault_points import Step, reach

REQUEST_LIMIT = 16384


def serve(control_fd: int, open_files: int, plans: str) -> None:
    """Answer requests until the other end of the control socket is closed.

    `open_files` is the soft limit of open files that tasks get: the service raises its own. `plans`
    is the directory of fault points, empty when they are off.
    """
    control = socket.socket(fileno=control_fd)
    _prepare(open_files)
    if plans:
        fault_points.switch_on(plans)
    while True:
        data, fds, _, _ = socket.recv_fds(control, REQUEST_LIMIT, 1)
        if not data:
            return
        reply = socket.socket(fileno=fds[0])
        request = json.loads(data)
        try:
            reach(Step.FORK, request["path"])
            pid = os.fork()
        except OSError as problem:
            error = f"fork: {problem.strerror}"
            _answer(reply, error=error, errno=problem.errno, is_ending=False)
            pid = -1
        if pid == 0:
            control.close()
            _become_task_runner(request, reply)
        reply.close()


def _prepare(open_files: int) -> None:
    """Load what every task needs, once, and leave the signals as TaskRunner wants to find them."""
    with fork_hooks.postponed():
        import logging  # noqa: F401
    import task_runner.lib.runner  # noqa: F401
    from task_runner.lib import process, python_machine, registry

    for target in registry.MACHINES.values():
        importlib.import_module(target.partition(":")[0])

    # What a killed TaskRunner leaves behind comes here and is reaped, also where init does not.
    process.become_subreaper()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, most))
    os.umask(0o077)
    # Nobody waits for a TaskRunner: its result is in a file.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A stop may come right after the fork; it waits until TaskRunner can listen.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    # Remembered here, and so found out or made once for all tasks.
    process.host(), process.boot_id(), process.short_environment(), process.unusual_signals()
    python_machine.output_handler()
    # A collection in a child would write to, and so copy, every page that is shared.
    gc.collect()
    gc.freeze()
    gc.disable()


def _become_task_runner(request: dict[str, str], reply: socket.socket) -> NoReturn:
    from task_runner.lib.runner import TaskRunner
    from task_runner.lib.task_dir import TaskDir

    directory = TaskDir(request["path"], request["task_id"])
    try:
        os.setsid()
        _let_go_of_stderr()

        def started(record: dict[str, object]) -> None:
            _answer(reply, started=record)
            reply.close()

        if TaskRunner(directory).run(started) is None:
            _answer(reply, held=True)
    except ValueError as problem:  # a damaged file; who asked tells of it
        _answer(reply, error=str(problem), errno=None, is_ending=True)
    except BaseException as problem:  # the end of the process: reported, to whoever still listens
        with suppress(OSError), open(directory.runner_log, "a") as log:
            log.write(traceback.format_exc())
        number = getattr(problem, "errno", None)
        error = f"{type(problem).__name__}: {problem}"
        _answer(reply, error=error, errno=number, is_ending=True)
    finally:
        os._exit(0)


def _let_go_of_stderr() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)


def _answer(reply: socket.socket, **answer: object) -> None:
    """Answer together with a pidfd of this process; the client may have gone, or have heard all."""
    with suppress(OSError):
        pidfd = os.pidfd_open(os.getpid())
        socket.send_fds(reply, [json.dumps(answer).encode()], [pidfd])
        os.close(pidfd)
