"""The client whose calls return when they are done."""

import ssl
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx2

from task_runner.client import about, artifacts, streams, verbs, waiting
from task_runner.client.steps import (
    Course,
    Give,
    Head,
    Node,
    Open,
    Pause,
    Reply,
    Steps,
    Stream,
)
from task_runner.client.target import DEFAULT_URL, LIMITS, Target

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


def _returns(
    verb: Callable[Concatenate[Node, P], Steps[T]],
) -> "Callable[Concatenate[Client, P], T]":
    @wraps(verb)
    def method(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        course = Course[object, T](verb(client.node, *args, **kwargs))
        with closing(_Wire(client)) as wire:
            while course.step is not None:
                wire.go(course)
        return course.result

    return method


def _gives(
    verb: Callable[Concatenate[Node, P], Stream[T]],
) -> "Callable[Concatenate[Client, P], Generator[T]]":
    @wraps(verb)
    def method(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        course = Course[T, None](verb(client.node, *args, **kwargs))
        with closing(_Wire(client)) as wire:
            while course.step is not None:
                if isinstance(course.step, Give):
                    yield course.step.value
                    course.reply(None)
                else:
                    wire.go(course)

    return method


class Client:
    """A node, by its API. Use it with `with`, or `close` it. Threads may share it."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        patience: float = Node().patience,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Connect to nothing yet.

        `url` is `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`. A call waits `patience`
        seconds for a node that does not answer or says "not now" (503). `ssl_context` says whom to
        trust, and has the certificate of this client. Raises ValueError.
        """
        self.node = Node(patience)
        self.target = Target.of(url)
        transport = httpx2.HTTPTransport(
            verify=self.target.trust(ssl_context), uds=self.target.socket, limits=LIMITS
        )
        self.http = httpx2.Client(transport=transport, trust_env=False)

    submit = _returns(verbs.submit)
    check = _returns(verbs.check)
    rerun = _returns(verbs.rerun)
    get = _returns(verbs.get)
    list = _gives(verbs.list_)
    wait = _returns(waiting.wait)
    stop = _returns(verbs.stop)
    delete = _returns(verbs.delete)
    logs = _gives(streams.logs)
    entries = _gives(streams.entries)
    files = _gives(artifacts.files)
    file = _gives(artifacts.file)
    archive = _gives(artifacts.archive)
    events = _gives(streams.events)
    ping = _returns(about.ping)
    machines = _returns(about.machines)
    environments = _returns(about.environments)
    isolations = _returns(about.isolations)
    system = _returns(about.system)
    set_aside = _returns(about.set_aside)

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Wire:
    """Performs the steps of one verb; at most one answer is open."""

    def __init__(self, client: Client) -> None:
        self._http = client.http
        self._target = client.target
        self._response: httpx2.Response | None = None
        self._blocks: Iterator[bytes]

    def go(self, course: Course[T, R]) -> None:
        """Take the next step of a course. A failure is for the verb to deal with."""
        try:
            reply = self._perform(course.step)
        except httpx2.RequestError as problem:
            course.fail(self._target.error(problem))
        else:
            course.reply(reply)

    def _perform(self, step: object) -> Reply:
        match step:
            case Open(request):
                return self._open(self._target.request(request))
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case _:
                return next(self._blocks, b"")

    def _open(self, request: httpx2.Request) -> Head:
        self.close()
        self._response = self._http.send(request, stream=True)
        self._blocks = self._response.iter_raw()
        return Head(self._response.status_code, self._response.headers)

    def close(self) -> None:
        """Close what is open."""
        if self._response is not None:
            self._response.close()
