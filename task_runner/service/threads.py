"""Work that may block, off the event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from task_runner.lib.errors import SHORTAGES

T = TypeVar("T")
PAUSE = 0.1
"""Seconds until something is tried again."""


def start_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Return a pool whose threads run already: later, the system may have no more of them.

    Raises RuntimeError when that is so now.
    """
    threads = ThreadPoolExecutor(count, name)
    together = threading.Barrier(count + 1)  # a thread that was free would be used again
    try:
        for _ in range(count):
            threads.submit(together.wait)
    except RuntimeError:
        together.abort()  # else those that have begun would wait for ever
        raise
    together.wait()
    return threads


async def patiently(threads: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
    """Call as `in_thread` does, and again while the system is short of files or memory for it."""
    while True:
        try:
            return await in_thread(threads, function, *arguments)
        except OSError as problem:
            if problem.errno not in SHORTAGES:
                raise
        await asyncio.sleep(PAUSE)


async def in_thread(threads: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
    """Call the function in one of the threads, and return what it returns."""
    return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)


class _Steps:
    """A generator that one thread at a time goes on with, or closes."""

    def __init__(self, blocks: Generator[bytes, None, None]) -> None:
        self._blocks = blocks
        self._lock = threading.Lock()

    def take(self) -> bytes | None:
        with self._lock:
            return next(self._blocks, None)

    def close(self) -> None:
        with self._lock:
            self._blocks.close()


async def in_steps(
    threads: ThreadPoolExecutor, blocks: Generator[bytes, None, None]
) -> AsyncGenerator[bytes, None]:
    """Give what a generator gives, each step of which runs in one of the threads.

    Between two steps it occupies none. When it is left early, the generator is closed as soon as
    the step is over that may be under way.
    """
    steps = _Steps(blocks)
    try:
        while (block := await in_thread(threads, steps.take)) is not None:
            if block:
                yield block
    finally:
        with suppress(RuntimeError):  # the service is closed, and the process about to end
            threads.submit(steps.close)
