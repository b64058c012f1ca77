"""Every change of state of every task, as a stream that can be resumed."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from task_runner.api.dependencies import Service
from task_runner.api.models import Problem
from task_runner.service.index.event_stream import EventStream

router = APIRouter(prefix="/v1/events", tags=["events"])


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}},
        410: {"model": Problem, "description": "What follows the cursor is not kept any more."},
    },
)
async def events(
    service: Service,
    cursor: Annotated[
        str | None, Query(description="Of an event: what follows it. `now`: only what comes.")
    ] = None,
    follow: Annotated[bool, Query(description="Go on with what happens from now on.")] = False,
) -> StreamingResponse:
    """Stream the changes of state, oldest first, one JSON object a line.

    An event has `cursor taskId state at outcome exitCode`; `state` may also be `deleted`. The
    header `Event-Cursor` is where the answer begins.
    """
    stream = await EventStream.open(service.index, service.changes, cursor)

    async def lines() -> AsyncIterator[bytes]:
        async for batch in stream.read(service.until if follow else None):
            yield b"".join(json.dumps(event).encode() + b"\n" for event in batch)

    headers = {"Event-Cursor": stream.cursor}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)
