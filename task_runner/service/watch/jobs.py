"""Work on tasks that nobody waits for: kept until it is done, its failures told."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Jobs:
    """What runs in the background; see https://docs.python.org/3/library/asyncio-task.html."""

    def __init__(self) -> None:
        """Run nothing yet."""
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, job: Coroutine[Any, Any, None]) -> None:
        """Begin a job."""
        task = asyncio.create_task(job)
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            log.error("watching a task failed", exc_info=problem)

    async def close(self) -> None:
        """Cancel all."""
        jobs = list(self._running)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
