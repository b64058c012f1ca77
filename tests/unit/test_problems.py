import asyncio
import errno
import logging
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from task_runner.api import problems
from task_runner.isolation.container_client import ToolError
from task_runner.lib import errors

SECRET = "/srv/secret-path"


class Body(BaseModel):
    number: int
    inner: dict[str, int] = {}


def answer(raised: Exception) -> httpx2.Response:
    """Return the answer of an application whose route raises."""

    async def fail() -> None:
        raise raised

    return ask(lambda app: app.get("/fail")(fail), "GET", "/fail")


def ask(
    make_route: Callable[[FastAPI], object], method: str, path: str, **request: Any
) -> httpx2.Response:
    app = FastAPI()
    problems.install(app)
    make_route(app)

    async def send() -> httpx2.Response:
        # An unexpected error is raised once more behind the answer, for the log of the server.
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **request)

    return asyncio.run(send())


def problem_of(response: httpx2.Response, status: int, title: str) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"]) == (status, status)
    assert problem["title"] == title
    assert problem["detail"]
    return problem


KNOWN = [
    (errors.TaskNotFoundError("told"), 404, "Not Found"),
    (errors.NoSuchFileError("told"), 404, "Not Found"),
    (errors.TaskExistsError("told"), 409, "Conflict"),
    (errors.TaskActiveError("told"), 409, "Conflict"),
    (errors.TaskDamagedError("told"), 409, "Conflict"),
    (errors.CursorGoneError("told"), 410, "Gone"),
    (errors.StartError("told"), 503, "Service Unavailable"),
    (errors.StartLaterError("told"), 503, "Service Unavailable"),
    (errors.StopError("told"), 503, "Service Unavailable"),
    (errors.DiskFullError("told"), 507, "Insufficient Storage"),
    (errors.UnreachableError("told"), 503, "Service Unavailable"),
    (ToolError("told"), 503, "Service Unavailable"),
    (errors.ValidationError("told"), 400, "Bad Request"),
    (HTTPException(418, "told"), 418, "I'm a Teapot"),
]


@pytest.mark.parametrize(("raised", "status", "title"), KNOWN)
def test_what_is_wrong_is_told(raised: Exception, status: int, title: str) -> None:
    assert problem_of(answer(raised), status, title)["detail"] == "told"


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_no_error_of_ours_is_forgotten() -> None:
    ours = {
        kind for kind in subclasses(errors.TaskRunnerError) if kind.__module__ == errors.__name__
    }
    # A node whose work directory cannot be used does not even start.
    assert ours - {type(raised) for raised, _, _ in KNOWN} == {errors.WorkDirError}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(number: int) -> None:
    problem = problem_of(answer(OSError(number, "full", SECRET)), 507, "Insufficient Storage")
    assert SECRET not in str(problem)


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.EMFILE, "too many", SECRET),
        BlockingIOError(errno.EAGAIN, "again", SECRET),
        errors.StartLaterError("again"),
        sqlite3.OperationalError("locked"),
    ],
)
def test_who_is_refused_for_now_is_told_when_to_come_back(raised: Exception) -> None:
    response = answer(raised)
    assert SECRET not in str(problem_of(response, 503, "Service Unavailable"))
    assert int(response.headers["retry-after"]) > 0


def test_a_full_disk_of_the_index() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("CREATE TABLE a (b)")
    connection.close()
    assert "index" in problem_of(answer(caught.value), 507, "Insufficient Storage")["detail"]


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError(SECRET),
        KeyError(SECRET),
        OSError(errno.EIO, "I/O error", SECRET),
        FileNotFoundError(errno.ENOENT, "missing", SECRET),
        PermissionError(errno.EACCES, "denied", SECRET),
        OSError(SECRET),
        errors.WorkDirError(SECRET),
        ValueError(SECRET),
    ],
)
def test_the_unexpected_is_in_the_log_only(
    raised: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    problem = problem_of(answer(raised), 500, "Internal Server Error")
    assert SECRET not in str(problem)
    [record] = [one for one in caplog.records if one.name == problems.__name__]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is raised
    assert "GET /fail" in record.getMessage()


@pytest.mark.parametrize(
    "raised",
    [sqlite3.OperationalError("database is locked"), sqlite3.DatabaseError("malformed")],
)
def test_an_index_that_cannot_be_used(raised: Exception, caplog: pytest.LogCaptureFixture) -> None:
    problem = problem_of(answer(raised), 503, "Service Unavailable")
    assert str(raised) in problem["detail"]
    assert "GET /fail" in caplog.text


@pytest.mark.parametrize(
    ("raised", "detail", "one"),
    [
        (
            errors.ValidationError("too long", "name"),
            "name: too long",
            {"field": "name", "detail": "too long"},
        ),
        (
            errors.ValidationError("unknown", "parameters", 3, 7),
            "parameters, line 3, column 7: unknown",
            {"field": "parameters", "detail": "unknown", "line": 3, "column": 7},
        ),
        (
            errors.ValidationError("unknown", "parameters", 3),
            "parameters, line 3: unknown",
            {"field": "parameters", "detail": "unknown", "line": 3, "column": None},
        ),
    ],
)
def test_a_refused_task_names_the_place(
    raised: Exception, detail: str, one: dict[str, Any]
) -> None:
    problem = problem_of(answer(raised), 400, "Bad Request")
    assert problem["detail"] == detail
    assert problem["errors"] == [one]


def take(app: FastAPI) -> object:
    async def route(body: Body, limit: int = 0) -> int:
        return body.number + limit

    return app.post("/take")(route)


@pytest.mark.parametrize(
    ("body", "query", "fields"),
    [
        (b'{"number": "x"}', "", ["number"]),
        (b"{}", "", ["number"]),
        (b'{"number": 1, "inner": {"a": "x"}}', "", ["inner.a"]),
        (b'{"number": "x"}', "limit=y", ["limit", "number"]),
        (b'{"number": 1}', "limit=y", ["limit"]),
        (b"{", "", [""]),
        (b"", "", [""]),
        (b"[]", "", [""]),
    ],
)
def test_a_bad_request_names_every_field(body: bytes, query: str, fields: list[str]) -> None:
    headers = {"content-type": "application/json"}
    response = ask(take, "POST", f"/take?{query}", content=body, headers=headers)
    problem = problem_of(response, 400, "Bad Request")
    assert sorted(one["field"] for one in problem["errors"]) == fields
    assert all(one["detail"] for one in problem["errors"])
    first = problem["errors"][0]
    words = [first["field"], first["detail"]] if first["field"] else [first["detail"]]
    assert problem["detail"] == ": ".join(words)


def test_a_body_that_is_no_json_is_told_where_it_stops_being_so() -> None:
    headers = {"content-type": "application/json"}
    body = b'{"number": 1,\n "inner": {"a" "secret"}}'
    problem = problem_of(
        ask(take, "POST", "/take", content=body, headers=headers), 400, "Bad Request"
    )
    assert "line 2, column 16: Expecting ':'" in problem["detail"]
    [one] = problem["errors"]
    assert (one["line"], one["column"]) == (2, 16)
    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'"\xff"', "utf-8"),
        (b"[" * 100_000, "recursion"),
        (b'{"number": ' + b"9" * 5000 + b"}", "digits"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_why(body: bytes, reason: str) -> None:
    headers = {"content-type": "application/json"}
    response = ask(take, "POST", "/take", content=body, headers=headers)
    assert reason in problem_of(response, 400, "Bad Request")["detail"]


def test_a_path_that_is_not_there() -> None:
    problem_of(ask(take, "GET", "/elsewhere"), 404, "Not Found")


def test_a_verb_that_is_not_there_tells_which_are() -> None:
    response = ask(take, "GET", "/take")
    problem_of(response, 405, "Method Not Allowed")
    assert response.headers["allow"] == "POST"


def test_headers_and_members_can_be_added() -> None:
    made = problems.problem(416, "the log has 3 bytes", {"Content-Range": "bytes */3"}, size=3)
    assert (made.status_code, made.headers["content-range"]) == (416, "bytes */3")
    assert made.media_type == problems.MEDIA_TYPE
    assert b'"size":3' in made.body
