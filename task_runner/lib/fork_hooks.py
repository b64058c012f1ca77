"""What modules do after every fork, kept for those processes that need it.

`threading` and `logging` make all their locks anew after a fork, in case another thread held one. A
process with a single thread has no use for that, and it would copy some 130 pages for each process
of each task. A Python machine may start threads and fork; it gets the hooks back.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_postponed: list[dict[str, Callable[[], Any]]] = []


@contextmanager
def postponed() -> Iterator[None]:
    """Keep the hooks of what is imported in here for `register`."""
    register_at_fork = os.register_at_fork
    os.register_at_fork = lambda **hooks: _postponed.append(hooks)
    try:
        yield
    finally:
        os.register_at_fork = register_at_fork


def register() -> None:
    """Register what was postponed, for the forks that this process makes from now on."""
    while _postponed:
        os.register_at_fork(**_postponed.pop(0))
