"""The log of a task: as the bytes it is, or as entries; all of it, a part, or live."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from task_runner.api.dependencies import Service
from task_runner.api.file_answer import Content, file_answer
from task_runner.api.models import Problem
from task_runner.api.tasks import NOT_FOUND
from task_runner.api.times import Time
from task_runner.lib.errors import ValidationError
from task_runner.service.logs.search import Search
from task_runner.service.logs.stream import LogStream

TEXT = "text/plain; charset=utf-8"
NDJSON = "application/x-ndjson"
HEADERS = {"Vary": "Accept", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}

router = APIRouter(prefix="/v1/tasks", tags=["log"])


class Part:
    """Where the answer begins, whether it goes on, and which entries are in it."""

    def __init__(  # noqa: PLR0917  - called by FastAPI, by name
        self,
        follow: Annotated[bool, Query(description="Go on until the task is over.")] = False,
        offset: Annotated[
            int | None, Query(ge=0, lt=1 << 63, description="Begin at this byte.")
        ] = None,
        before: Annotated[
            int | None,
            Query(ge=0, lt=1 << 63, description="Only entries that end at this byte or before."),
        ] = None,
        tail: Annotated[int | None, Query(ge=0, description="Begin so many lines ago.")] = None,
        since: Annotated[
            Time | None, Query(description="Begin with what was written at this time.")
        ] = None,
        level: Annotated[
            Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None,
            Query(description="Only entries of this level or above, and those that have none."),
        ] = None,
        stream: Annotated[
            Literal["output", "stderr"],
            Query(description='`stderr`: of a task with `"stderr":"separate"`.'),
        ] = "output",
    ) -> None:
        """Take the parameters of a request. Raises ValidationError."""
        if [offset, tail, since].count(None) < 2:
            raise ValidationError("offset, tail and since exclude each other", "offset")
        self.follow = follow
        self.offset = offset
        self.before = before
        self.tail = tail
        self.since = since
        self.level = level
        self.stderr = stream == "stderr"

    @property
    def is_whole(self) -> bool:
        """Whether the request is for the log as a file, so that a range of it makes sense."""
        return not self.follow and (self.offset, self.tail, self.since) == (None, None, None)

    async def start(self, log: LogStream) -> int:
        """Return the first byte of the answer."""
        if self.tail is not None:
            return await log.tail_offset(self.tail)
        if self.since is not None:
            return await log.since_offset(self.since.timestamp())
        return self.offset or 0


class Find:
    """What is searched for in the log."""

    def __init__(
        self,
        grep: Annotated[
            str | None, Query(description="Only lines that match: a regular expression of RE2.")
        ] = None,
        literal: Annotated[bool, Query(description="`grep` is a text, not an expression.")] = False,
        ignore_case: Annotated[
            bool, Query(alias="ignoreCase", description="`grep` finds capitals and small letters.")
        ] = False,
        limit: Annotated[
            int | None, Query(ge=1, lt=1 << 31, description="End after so many matches of `grep`.")
        ] = None,
    ) -> None:
        """Take the parameters of a request. Raises ValidationError."""
        if grep is None and (literal or ignore_case or limit is not None):
            raise ValidationError("literal, ignoreCase and limit need it", "grep")
        self.limit = limit
        self.search = None if grep is None else Search(grep, literal, ignore_case)
        if self.search:
            self.search.compiled()


@router.head("/{task_id}/log", include_in_schema=False)
@router.get(
    "/{task_id}/log",
    response_class=StreamingResponse,
    responses={
        **NOT_FOUND,
        200: {"content": {"text/plain": {}, NDJSON: {}}, "description": "The log."},
        206: {"content": {"text/plain": {}}, "description": "A range of the bytes."},
        304: {"description": "It is still what the client has."},
        416: {"model": Problem, "description": "There are no such bytes."},
    },
)
async def log(
    request: Request,
    service: Service,
    task_id: str,
    part: Annotated[Part, Depends()],
    find: Annotated[Find, Depends()],
) -> Response:
    """Give the log as text, or with `Accept: application/x-ndjson` as entries, one a line.

    An entry has `offset time level logger message`; its `offset`, the place after it, resumes the
    stream there. The header `Log-Offset` is where the answer begins. When the task is over, a last
    line `{"end":true, ...}` has its result. As text the bytes are what the task wrote, and `Range`
    and `ETag` work as for a file.

    With `grep` only lines that match are given; their entries have their `start` too. A search that
    ends early, after `limit` matches or for lack of time, says where to go on in a last line
    `{"more":true,"offset":...}`; a text without it is all there is, unless it is broken off.
    """
    entries = NDJSON in request.headers.get("accept", "")
    for name in ("level", "before"):
        if getattr(part, name) is not None and not entries:
            raise ValidationError(f"it needs `Accept: {NDJSON}`", name)
    changed = asyncio.Event()
    stream = await service.open_log(task_id, changed, stderr=part.stderr)
    search = find.search and find.search._replace(as_text=not entries)
    if part.is_whole and not entries and not search:
        return await _file(request, stream)
    start = await part.start(stream)
    if entries or search:
        blocks = stream.entries(
            start,
            part.before,
            follow=part.follow,
            min_level=part.level,
            search=search,
            limit=find.limit,
        )
    else:
        blocks = stream.text(start, follow=part.follow)
    body = _while_watched(service, task_id, changed, blocks)
    headers = {**HEADERS, "Log-Offset": str(start)}
    return StreamingResponse(body, media_type=NDJSON if entries else TEXT, headers=headers)


async def _while_watched(
    service: Service,
    task_id: str,
    changed: asyncio.Event,
    blocks: AsyncGenerator[bytes, None],
) -> AsyncIterator[bytes]:
    with service.changes.of_task(task_id, changed):
        async with aclosing(blocks):
            async for block in blocks:
                yield block


async def _file(request: Request, stream: LogStream) -> Response:
    """Answer as for a file of the size it has now."""
    extent = await stream.extent()
    content = Content(
        name="the log",
        version=f"{extent.inode:x}-{extent.size:x}",
        size=extent.size,
        blocks=stream.text,
    )
    return file_answer(request, content, {**HEADERS, "Content-Type": TEXT})
