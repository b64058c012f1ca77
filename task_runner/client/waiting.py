"""Waiting for a task. Nothing polls: the node holds its answer, or tells when something changes."""

import math
import time
from collections.abc import Collection

from task_runner.client.errors import NodeSilentError, NodeUnreachableError, WaitTimeoutError
from task_runner.client.live import EVENTS
from task_runner.client.models import Task
from task_runner.client.retry import Patience, exchange, opened
from task_runner.client.steps import NDJSON, Node, Pause, Request, Steps, parsed, read
from task_runner.client.verbs import get, task_path

LONGEST = 60.0
"""Seconds in one request: what stands between may cut a connection that is quiet for longer."""
SHORT = 0.2
EVENTS_PATH = "/v1/events"


class Deadline:
    """When a wait ends; never, when no seconds are given."""

    def __init__(self, task_id: str, seconds: float | None) -> None:
        """Begin to count now."""
        self._task_id, self._seconds = task_id, seconds
        self._end = math.inf if seconds is None else time.monotonic() + seconds

    def next_wait(self) -> float:
        """Return for how long to wait now. Raises WaitTimeoutError when it is too late."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(f"{self._task_id} is not so far after {self._seconds:g} seconds")
        return min(left, LONGEST)

    def patience(self, node: Node) -> Node:
        """Return a node that is not waited for beyond the deadline."""
        return Node(max(0.0, min(node.patience, self._end - time.monotonic())))


def wait(
    node: Node, task_id: str, timeout: float | None = None, states: Collection[str] = ()
) -> Steps[Task]:
    """Return a task once it is over, or in one of `states`.

    Raises NotFoundError; WaitTimeoutError after `timeout` seconds.
    """
    deadline = Deadline(task_id, timeout)
    if not states:
        return (yield from _over(node, task_id, deadline))
    while True:
        there = deadline.patience(node)
        cursor = yield from _now(there)
        task = yield from get(there, task_id)
        if task.is_over or task.state in states:
            return task
        yield from _next_change(there, task_id, cursor, deadline)


def _over(node: Node, task_id: str, deadline: Deadline) -> Steps[Task]:
    task = yield from get(deadline.patience(node), task_id)
    while not task.is_over:
        seconds, begin = deadline.next_wait(), time.monotonic()
        params = (("wait", f"{seconds:.3f}"),)
        request = Request("GET", task_path(task_id), params, timeout=30 + seconds)
        task = Task.of(parsed((yield from exchange(request, deadline.patience(node))).body))
        if not task.is_over and time.monotonic() - begin < min(seconds, SHORT):
            yield Pause(SHORT)  # the node ends its waits when it is about to stop
    return task


def _now(node: Node) -> Steps[str]:
    answer = yield from exchange(Request("GET", EVENTS_PATH, (("cursor", "now"),)), node)
    return answer.headers[EVENTS.header]


def _next_change(node: Node, task_id: str, cursor: str, deadline: Deadline) -> Steps[None]:
    """Come back when something has happened to the task, and sometimes without."""
    params = (("cursor", cursor), ("follow", "true"))
    patience = Patience(node)
    request = Request("GET", EVENTS_PATH, params, accept=NDJSON, timeout=deadline.next_wait())
    yield from opened(request, patience)
    rest = b""
    try:
        while block := (yield from read()):
            *lines, rest = (rest + block).split(b"\n")
            if any(parsed(line)["taskId"] == task_id for line in lines):
                return
            deadline.next_wait()
    except NodeSilentError:
        return
    except NodeUnreachableError:
        pass
    yield Pause(SHORT)
