"""A file as an answer: conditional requests and ranges, RFC 9110 sections 13 and 14."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from task_runner.api.byte_range import UNSATISFIABLE, requested_range
from task_runner.api.problems import problem

Blocks = Callable[[int, int], AsyncGenerator[bytes, None]]


class Stream(StreamingResponse):
    """Blocks that are closed at the end, also when the client goes away in the middle."""

    def __init__(
        self,
        blocks: AsyncGenerator[bytes, None],
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send `blocks`; what they are is told by the `Content-Type` in `headers`."""
        super().__init__(blocks, status, headers)
        self._blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then close."""
        async with aclosing(self._blocks):
            await super().__call__(scope, receive, send)


class Content(NamedTuple):
    """What is answered: bytes that do not change as long as the `version` is the same."""

    name: str
    version: str
    size: int
    blocks: Blocks
    """Gives the bytes from a place on, before another; fewer of them break the answer off."""
    modified: float | None = None
    """Seconds since the epoch; None where that says nothing about the content."""


def file_answer(request: Request, content: Content, headers: Mapping[str, str]) -> Response:
    """Answer with all of a file, a range, its head alone, or that the client has it already.

    `headers` are those of every answer, `Content-Type` among them.
    """
    tag = f'"{content.version}"'
    headers = {**headers, "ETag": tag, "Accept-Ranges": "bytes"}
    if content.modified is not None:
        headers["Last-Modified"] = formatdate(content.modified, usegmt=True)
    if _is_current(request.headers, tag, content.modified):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(content.size)})
    found = requested_range(request.headers, tag, content.size)
    if found is UNSATISFIABLE:
        return problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"{content.name} has {content.size} bytes",
            {"Content-Range": f"bytes */{content.size}"},
        )
    start, stop = found or (0, content.size)
    headers["Content-Length"] = str(stop - start)
    status = HTTPStatus.OK
    if found:
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Stream(content.blocks(start, stop), status, headers)


def _is_current(headers: Mapping[str, str], tag: str, modified: float | None) -> bool:
    """Say whether the client has what there is: by its tags, or by the time if it has none."""
    known = headers.get("if-none-match")
    if known is not None:
        tags = {one.strip().removeprefix("W/") for one in known.split(",")}
        return "*" in tags or tag in tags
    try:
        since = parsedate_to_datetime(headers["if-modified-since"]).timestamp()
    except (KeyError, ValueError):  # not asked for, or no date: to be ignored
        return False
    return modified is not None and int(modified) <= since
