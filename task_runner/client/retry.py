"""Trying again. It is safe for every verb: what changes something names what it is to be.

A task is submitted under an identifier of the client's own, a stop asks for a state that stays, and
a task that is not there any more has been removed.
"""

import random
import time
from collections.abc import Mapping
from typing import NamedTuple

from task_runner.client.errors import (
    ClientError,
    NodeUnreachableError,
    RefusedError,
    UnavailableError,
    refusal,
)
from task_runner.client.steps import Head, Node, Pause, Request, Steps, open_, read_all

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
FEWEST_ERROR = 400


class Answer(NamedTuple):
    """A whole answer."""

    headers: Mapping[str, str]
    body: bytes


class Patience:
    """Pauses that grow, for as long as a node that does not answer is waited for."""

    def __init__(self, node: Node) -> None:
        """Begin to count at the first failure."""
        self._seconds = node.patience
        self._since: float | None = None
        self._next = FIRST_PAUSE

    def restore(self) -> None:
        """Know that the node has answered."""
        self._since, self._next = None, FIRST_PAUSE

    @property
    def has_begun(self) -> bool:
        """Whether something has failed since the node has answered."""
        return self._since is not None

    def pause(self, error: ClientError, at_least: float = 0) -> Steps[None]:
        """Let some time pass after a failure, or raise it when it has been long enough.

        A random part keeps many clients from coming back at the same moment.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        seconds = max(at_least, self._next * random.uniform(0.5, 1))  # noqa: S311  - no secret
        if now + seconds > self._since + self._seconds:
            raise error
        self._next = min(self._next * 2, LONGEST_PAUSE)
        yield Pause(seconds)


def opened(request: Request, patience: Patience) -> Steps[Head]:
    """Send a request until it is answered, and return how the answer begins.

    Raises RefusedError; also, when patience ends, NodeUnreachableError.
    """
    while True:
        at_least = 0.0
        try:
            head = yield from open_(request)
            if head.status < FEWEST_ERROR:
                return head
            error: ClientError = refusal(head.status, (yield from read_all()))
            at_least = _retry_after(head.headers)
        except NodeUnreachableError as problem:
            error = problem
        if isinstance(error, RefusedError) and not isinstance(error, UnavailableError):
            error.repeated = patience.has_begun
            raise error
        yield from patience.pause(error, at_least)


def exchange(request: Request, node: Node) -> Steps[Answer]:
    """Send a request until there is a whole answer, and return that. Raises as `opened`."""
    patience = Patience(node)
    while True:
        head = yield from opened(request, patience)
        try:
            return Answer(head.headers, (yield from read_all()))
        except NodeUnreachableError as error:
            yield from patience.pause(error)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that the node asks for; as a date (RFC 9110) nobody sends them here."""
    seconds = headers.get("retry-after", "")
    return float(seconds) if seconds.isdecimal() else 0
