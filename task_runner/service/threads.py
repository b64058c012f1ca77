"""Work that may block, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(threads: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
    """Call the function in one of the threads, and return what it returns."""
    return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)
