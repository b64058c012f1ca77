import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.types import Message, Receive, Scope, Send

from task_runner.api import problems
from task_runner.api.body_limit import BodyLimit

LIMIT = 1024


def application() -> tuple[FastAPI, list[int]]:
    """Return an application behind the limit, and the sizes of what reached it."""
    app = FastAPI()
    problems.install(app)
    app.add_middleware(BodyLimit, limit=LIMIT)
    seen: list[int] = []

    @app.post("/bytes")
    async def take_bytes(request: Request) -> int:
        seen.append(len(await request.body()))
        return seen[-1]

    @app.post("/json")
    async def take_json(body: list[Any]) -> int:
        seen.append(len(body))
        return len(body)

    return app, seen


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100):
        yield data[start : start + 100]


def post(path: str, data: bytes, *, announced: bool) -> tuple[httpx2.Response, list[int]]:
    app, seen = application()

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            content = data if announced else in_pieces(data)
            headers = {"content-type": "application/json"}
            return await client.post(path, content=content, headers=headers)

    answer = asyncio.run(ask())
    assert ("content-length" in answer.request.headers) == announced
    return answer, seen


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/bytes", "/json"])
def test_a_body_at_the_limit_is_read(path: str, announced: bool) -> None:
    data = b"[" + b" " * (LIMIT - 2) + b"]"
    answer, seen = post(path, data, announced=announced)
    assert answer.status_code == 200, answer.text
    assert seen == [LIMIT if path == "/bytes" else 0]


@pytest.mark.parametrize("more", [1, 1000, 1_000_000])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/bytes", "/json"])
def test_one_byte_more_is_not(path: str, announced: bool, more: int) -> None:
    data = b"[" + b" " * (LIMIT - 2 + more) + b"]"
    answer, seen = post(path, data, announced=announced)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "max_body_bytes" in answer.json()["detail"]
    assert str(LIMIT) in answer.json()["detail"]
    assert seen == []


class Raw:
    """A request by hand: its parts, and how many of them were read."""

    def __init__(self, *parts: bytes, **headers: str) -> None:
        self.parts = list(parts)
        self.read = 0
        self.status: int | None = None
        self.reached: Scope | None = None
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": "/bytes",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in names.items()],
        }

    async def receive(self) -> Message:
        part = self.parts[self.read]
        self.read += 1
        return {"type": "http.request", "body": part, "more_body": self.read < len(self.parts)}

    async def send(self, message: Message) -> None:
        self.status = message.get("status", self.status)

    def ask(self) -> "Raw":
        app, _ = application()
        asyncio.run(app(self.scope, self.receive, self.send))
        return self


def test_what_is_announced_too_large_is_not_read_at_all() -> None:
    request = Raw(b"x" * 10, content_length=str(LIMIT + 1)).ask()
    assert (request.status, request.read) == (413, 0)


def test_who_announces_less_than_he_sends_is_counted() -> None:
    request = Raw(*[b"x" * 500] * 10, content_length="10").ask()
    assert (request.status, request.read) == (413, 3)


def test_reading_stops_at_the_limit() -> None:
    request = Raw(*[b"x" * 500] * 10).ask()
    assert (request.status, request.read) == (413, 3)


@pytest.mark.parametrize("announced", ["", "-1", "many", "1e9"])
def test_an_odd_announcement_is_no_way_around(announced: str) -> None:
    request = Raw(*[b"x" * 500] * 10, content_length=announced).ask()
    assert (request.status, request.read) == (413, 3)


def test_an_empty_body_is_none_too_many() -> None:
    assert Raw(b"").ask().status == 200


def test_what_is_no_request_passes() -> None:
    passed: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope["type"])

    request = Raw()
    asyncio.run(BodyLimit(app, limit=LIMIT)({"type": "lifespan"}, request.receive, request.send))
    assert passed == ["lifespan"]
