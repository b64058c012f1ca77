"""Ends what is open when the server is told to stop, or its master is gone.

For open streams the lifespan's shutdown comes too late: uvicorn waits for open responses first.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from task_runner.lib.process import read_file

Handler = Callable[[int, FrameType | None], object]


def set_on_signals(closing: asyncio.Event) -> None:
    """Set the event at SIGTERM and SIGINT, besides what the server itself does with them.

    Call it in the lifespan's startup, when the handlers of the server stand. Elsewhere than in the
    main thread there are no signals to handle, and nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        standing = signal.getsignal(number)
        if callable(standing):
            signal.signal(number, _both(standing, loop, closing))


def _both(standing: Handler, loop: asyncio.AbstractEventLoop, closing: asyncio.Event) -> Handler:
    def handler(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(closing.set)
        standing(number, frame)

    return handler


def end_with_supervisor() -> None:
    """Stop this worker when the process that supervises it is killed, or was killed already.

    gunicorn's and uvicorn's workers go on without their master, and keep the port from the next
    one. A server that runs alone is left alone: its parent is just who happened to start it.
    """
    loop = asyncio.get_running_loop()
    if "gunicorn.arbiter" in sys.modules:
        supervisor, is_orphan = os.getppid(), not _is_our_master(os.getppid())
    elif (parent := multiprocessing.parent_process()) is not None and parent.pid is not None:
        supervisor, is_orphan = parent.pid, os.getppid() != parent.pid
    else:
        return
    if is_orphan:
        loop.call_soon(signal.raise_signal, signal.SIGTERM)
        return
    pidfd = os.pidfd_open(supervisor)

    def stop() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(pidfd, stop)


def _is_our_master(pid: int) -> bool:
    """Say whether a process is the gunicorn that forked this one: it has the same command line.

    Where `setproctitle` is installed both have a title instead, `gunicorn: master [...]`.
    """
    try:
        theirs, ours = (read_file(f"/proc/{one}/cmdline") for one in (pid, "self"))
    except OSError:  # gone
        return False
    return theirs == ours or theirs.startswith(b"gunicorn: master")
