"""Work that may block, off the event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


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
