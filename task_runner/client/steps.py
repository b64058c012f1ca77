"""What the verbs want to have done, without doing it: they are generators of steps.

A verb is written once, as a generator that yields steps and gets the replies; `Client` performs
them with blocking calls and `AsyncClient` with awaits. (psycopg has its two faces in this way.)
"""

import json
from collections.abc import Callable, Generator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

from task_runner.client.errors import ClientError, ProtocolError

T = TypeVar("T")
R = TypeVar("R")
Params = tuple[tuple[str, str], ...]

JSON = "application/json"
NDJSON = "application/x-ndjson"
TEXT = "text/plain"


class Node(NamedTuple):
    """What every verb has to know of how it is to go about it."""

    patience: float = 30.0
    """Seconds for which a node is waited for that does not answer, or says "not now"."""


class Request(NamedTuple):
    """An HTTP request. `content` is JSON; None: there is no body."""

    method: str
    path: str
    params: Params = ()
    content: bytes | None = None
    accept: str = JSON
    headers: Params = ()
    timeout: float = 30.0
    """Seconds without a byte of the answer before the node counts as silent."""


class Head(NamedTuple):
    """How an answer begins; the names of the headers are in small letters."""

    status: int
    headers: Mapping[str, str]


class Open(NamedTuple):
    """Send a request. Reply: its Head. An answer that is open is closed first."""

    request: Request


class Read(NamedTuple):
    """Read on. Reply: the next bytes of the body, empty at its end."""


class Pause(NamedTuple):
    """Let time pass. Reply: None."""

    seconds: float


class Give(NamedTuple, Generic[T]):
    """Hand this out to the caller of the verb. Reply: None, when the caller wants more."""

    value: T


Step = Open | Read | Pause
Reply = Head | bytes | None
Steps = Generator[Step, Reply, R]
"""Steps that end in a result."""
Stream = Generator[Step | Give[T], Reply, None]
"""Steps that hand out things on the way."""


class Course(Generic[T, R]):
    """A generator of steps on its way: the next step, and its result after the last one."""

    def __init__(self, steps: Generator[Step | Give[T], Reply, R]) -> None:
        """Go to the first step."""
        self._steps = steps
        self.step: Step | Give[T] | None = None
        self.result: R
        """What the steps have ended in, once there is no next step."""
        self.reply(None)

    def reply(self, reply: Reply) -> None:
        """Go on with the reply to the step."""
        self._advance(self._steps.send, reply)

    def fail(self, error: ClientError) -> None:
        """Go on after the step has failed."""
        self._advance(self._steps.throw, error)

    def _advance(self, go: Callable[[Any], Step | Give[T]], value: object) -> None:
        try:
            self.step = go(value)
        except StopIteration as end:
            self.step, self.result = None, end.value


def open_(request: Request) -> Steps[Head]:
    """Send a request, return how the answer begins."""
    return cast("Head", (yield Open(request)))


def read() -> Steps[bytes]:
    """Return the next bytes of an answer, empty at its end."""
    return cast("bytes", (yield Read()))


def read_all() -> Steps[bytes]:
    """Return the rest of an answer."""
    blocks = []
    while block := (yield from read()):
        blocks.append(block)
    return b"".join(blocks)


def parsed(body: bytes) -> Any:
    """Return what an answer says. Raises ProtocolError."""
    try:
        return json.loads(body)
    except ValueError as problem:
        raise ProtocolError(f"the answer is not JSON: {body[:200]!r}") from problem
