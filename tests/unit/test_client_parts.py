"""What of the client needs no node: addresses, answers, errors, pauses."""

import ssl
from typing import Any

import httpx2
import pytest

from task_runner.client.errors import (
    ClientError,
    ConflictError,
    InvalidRequestError,
    NodeNotTrustedError,
    NodeSilentError,
    NodeUnreachableError,
    ProtocolError,
    RefusedError,
    UnavailableError,
    refusal,
)
from task_runner.client.models import Event, LogEntry, Task
from task_runner.client.retry import LONGEST_PAUSE, Patience
from task_runner.client.steps import Course, Give, Node, Pause, Request, Stream
from task_runner.client.target import Target


@pytest.mark.parametrize(
    ("url", "base", "socket"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", None),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000", None),
        ("https://[::1]:8443", "https://[::1]:8443", None),
        ("http://proxy.example/node-1/", "http://proxy.example/node-1", None),
        ("unix:///run/task%20runner.sock", "http://localhost", "/run/task runner.sock"),
    ],
)
def test_targets(url: str, base: str, socket: str | None) -> None:
    assert Target.of(url) == (base, socket)


def test_only_tls_loads_certificates() -> None:
    assert Target.of("http://a").trust(None) is False
    assert Target.of("https://a").trust(None) is True
    context = ssl.create_default_context()
    assert Target.of("https://a").trust(context) is context


def test_a_request() -> None:
    target = Target.of("http://a:1")
    asked = Request("POST", "/v1/tasks", (("check", "true"),), b"{}", headers=(("Range", "x"),))
    request = target.request(asked)
    assert str(request.url) == "http://a:1/v1/tasks?check=true"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["range"] == "x"
    assert request.content == b"{}"
    link = target.request(Request("GET", "/v1/tasks?cursor=5&limit=2"))
    assert str(link.url) == "http://a:1/v1/tasks?cursor=5&limit=2"
    assert "content-type" not in link.headers


def failed(kind: type[httpx2.RequestError], cause: Exception | None = None) -> httpx2.RequestError:
    error = kind("why")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (failed(httpx2.ConnectError), NodeUnreachableError),
        (failed(httpx2.ConnectError, ssl.SSLCertVerificationError()), NodeNotTrustedError),
        (failed(httpx2.ReadTimeout), NodeSilentError),
        (failed(httpx2.ReadError), NodeUnreachableError),
        (failed(httpx2.RemoteProtocolError), NodeUnreachableError),
        (failed(httpx2.DecodingError), ProtocolError),
    ],
)
def test_what_a_broken_connection_means(
    problem: httpx2.RequestError, kind: type[ClientError]
) -> None:
    for url in ("https://a:1", "unix:///x.sock"):
        error = Target.of(url).error(problem)
        assert type(error) is kind
        assert url in str(error)


PROBLEM = b'{"detail": "no", "errors": [{"field": "machine", "detail": "no"}]}'


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (409, ConflictError),
        (413, RefusedError),
        (503, UnavailableError),
        (507, RefusedError),
    ],
)
def test_refusals(status: int, kind: type[RefusedError]) -> None:
    error = refusal(status, PROBLEM)
    assert type(error) is kind
    assert (str(error), error.status) == ("no", status)
    assert error.errors[0]["field"] == "machine"
    for body in (b"", b"<html>", b"[]", b'{"title": 1}', b"\xff", b"null"):
        other = refusal(status, body)
        assert type(other) is kind
        assert f"the answer was {status}" in str(other)


VIEW: dict[str, Any] = {"taskId": "a", "state": "running"}


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        ({"progress": 0.25}, 0.25),
        ({"progress": 1}, 1.0),
        ({"progress": 7}, 1.0),
        ({"progress": -1}, 0.0),
        ({"progress": "half"}, None),
        ({}, None),
        (None, None),
        ("half", None),
    ],
)
def test_progress(status: object, progress: float | None) -> None:
    assert Task.of({**VIEW, "status": status}).progress == progress


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"taskId": "a"}, {**VIEW, "state": "asleep"}, {**VIEW, "createdAt": 7}]
)
def test_what_describes_no_task(answer: object) -> None:
    with pytest.raises(ProtocolError, match="does not describe a task"):
        Task.of(answer)


def test_lines_have_the_names_of_the_wire_too() -> None:
    line = {"offset": 3, "time": None, "level": None, "logger": None, "message": "hi"}
    assert LogEntry.of(line) == (3, None, None, None, "hi", line)
    event = {"cursor": "a-1", "taskId": "x", "state": "deleted", "at": "2026-11-24T09:00:00+00:00"}
    assert Event.of(event).data is event


def test_pauses_grow_and_end() -> None:
    patience, error = Patience(Node(1e9)), NodeUnreachableError("gone")
    pauses = [next(patience.pause(error)).seconds for _ in range(12)]  # type: ignore[union-attr]
    assert 0.05 <= pauses[0] <= 0.1
    assert LONGEST_PAUSE / 2 <= pauses[-1] <= LONGEST_PAUSE
    assert pauses[6] > pauses[0]
    patience.restore()
    assert not patience.has_begun
    assert next(patience.pause(error, at_least=9)) == Pause(9)
    with pytest.raises(NodeUnreachableError, match="gone"):
        next(Patience(Node(0)).pause(error))


def test_a_course_goes_on_with_replies_and_failures() -> None:
    def steps() -> Stream[str]:
        try:
            yield Pause(1)
        except NodeUnreachableError as error:
            yield Give(str(error))

    course = Course[str, None](steps())
    taken: list[object] = [course.step]
    course.fail(NodeUnreachableError("gone"))
    taken.append(course.step)
    course.reply(None)
    taken.append(course.step)
    assert taken == [Pause(1), Give("gone"), None]
