"""The init of a container: the one of the sandbox, told what to do by other means.

It is executed by the Python of the host (host_python.py), so the image needs nothing. What the
program is to find is told in an order: an environment of the task's making reaches neither the
tool nor its arguments.
"""

from __future__ import annotations

import marshal
import os

from task_runner.isolation import container_memory
from task_runner.isolation.sandbox_init import begin

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

OWN_VARIABLES = ("PYTHONHOME",)


def main(order: str) -> None:
    """Be the init; `order` is the number of a descriptor, or a path."""
    os.umask(0o077)
    # The kernel drops what the first process of a namespace neither handles nor blocks.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    with open(int(order) if order.isdigit() else order, "rb") as file:
        words = marshal.load(file)  # noqa: S302  - from the TaskRunner
    for number, path in words["open"].items():
        fd = os.open(path, os.O_RDWR | (os.O_APPEND if number == words["report"] else 0))
        _put(fd, number)
    stdin = os.memfd_create("stdin")
    os.write(stdin, words["input"])
    os.lseek(stdin, 0, os.SEEK_SET)
    _put(stdin, 0)
    # A pipe that never ends: only podman, or the last process, ends a container.
    lifeline, _hold = os.pipe()
    of_the_image = {k: v for k, v in os.environ.items() if k not in OWN_VARIABLES}
    begin({**words, "env": {**of_the_image, **words["env"]}, "lifeline": lifeline}, _last_words)


def _last_words() -> bytes:
    return b'{"kills_for_memory":%d}\n' % container_memory.kills()


def _put(fd: int, number: int) -> None:
    """Give a descriptor this number, for the program too; it may have it by chance."""
    if fd == number:
        os.set_inheritable(fd, True)
        return
    os.dup2(fd, number)
    os.close(fd)
