"""Ends open streams when the server is told to stop.

The lifespan's shutdown comes too late for that: uvicorn waits for open responses first, see
https://github.com/encode/uvicorn/issues/1579.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

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
