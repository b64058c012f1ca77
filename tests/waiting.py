"""The one way in which a test waits for something."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_INTERVAL = 0.005

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 60) -> T:
    """Call `condition` until what it returns is true, and return that.

    Raises TimeoutError, with what it returned last, when that takes too long.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            name = getattr(condition, "__name__", condition)
            raise TimeoutError(f"{name} is still {value!r} after {timeout} seconds")
        time.sleep(POLL_INTERVAL)
    return value
