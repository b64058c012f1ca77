"""The verbs of tasks: submit, list, view, wait, stop, delete."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from task_runner.api.dependencies import Service
from task_runner.api.models import (
    EXAMPLES,
    RERUN_EXAMPLES,
    Problem,
    Success,
    TaskRequest,
    TaskState,
    TaskView,
    Valid,
)
from task_runner.api.times import Time
from task_runner.lib.errors import ValidationError
from task_runner.lib.state import State
from task_runner.service.index.page import Page

MAX_PAGE = 1000
MAX_WAIT = 3600.0
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is no such task."}
}
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "Not in the state that the task is in."}
}
NO_ROOM: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": "The request is too large."},
    503: {
        "model": Problem,
        "description": "No open files, processes or memory for another task now. Nothing was "
        "stored, and nothing runs: try again after `Retry-After` seconds.",
    },
    507: {"model": Problem, "description": "The disk is too full. Nothing was stored."},
}

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=TaskState,
    responses={
        200: {"model": Valid, "description": "With `check`: the task would be accepted."},
        400: {"model": Problem, "description": "Something in the task is wrong."},
        409: {"model": Problem, "description": "The identifier belongs to another task."},
        **NO_ROOM,
    },
)
async def submit(
    service: Service,
    task: Annotated[TaskRequest, Body(openapi_examples=EXAMPLES)],
    check: Annotated[bool, Query(description="Only check the task: nothing is stored.")] = False,
) -> Response:
    """Accept a task and start it, or let it wait when as many run as may.

    What was accepted is on disk. Sending the same task with the same `taskId` again gives the same
    answer and starts nothing.
    """
    fields = task.model_dump(exclude_unset=True)
    if check:
        await service.submission.check(fields)
        return JSONResponse({"valid": True})
    return _accepted(*await service.submission.submit(fields))


def _accepted(task_id: str, state: str) -> Response:
    return JSONResponse(
        {"taskId": task_id, "state": state},
        HTTPStatus.CREATED,
        {"Location": f"/v1/tasks/{task_id}"},
    )


async def the_page(  # noqa: PLR0917  - called by FastAPI, by name
    state: Annotated[list[State] | None, Query(description="Only these states.")] = None,
    machine: Annotated[str | None, Query(description="Only tasks of this machine.")] = None,
    label: Annotated[
        list[str] | None, Query(description="`name=value` or `name`; all of them must fit.")
    ] = None,
    since: Annotated[
        Time | None, Query(description="Only tasks submitted at this time or later.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    order: Annotated[
        Literal["asc", "desc"], Query(description="By submission: oldest or newest first.")
    ] = "asc",
    cursor: Annotated[
        int | None, Query(ge=0, lt=1 << 63, description="From the link to the next page.")
    ] = None,
) -> Page:
    """Return which tasks are asked for."""
    return Page(
        states=state or (),
        machine=machine,
        labels=[_label(one) for one in label or ()],
        since=_utc(since),
        after=cursor,
        descending=order == "desc",
        limit=limit,
    )


def _label(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def _utc(time: datetime | None) -> str | None:
    if time is None:
        return None
    try:
        return time.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError as problem:
        raise ValidationError("it is out of range", "since") from problem


@router.get("", response_model=list[TaskState] | list[TaskView])
async def list_tasks(
    request: Request,
    service: Service,
    page: Annotated[Page, Depends(the_page)],
    view: Annotated[Literal["plain", "full"], Query(description="How much of each.")] = "plain",
) -> Response:
    """List tasks, oldest first. A link with `rel="next"` leads to the next page."""
    tasks: list[tuple[int, dict[str, Any]]]
    if view == "full":
        tasks = await service.views_of(page)
    else:
        rows = await service.states_of(page)
        tasks = [(seq, {"taskId": task_id, "state": state}) for seq, task_id, state in rows]
    headers = {}
    if len(tasks) == page.limit:
        headers["Link"] = _next_link(request, tasks[-1][0])
    return JSONResponse([task for _, task in tasks], headers=headers)


def _next_link(request: Request, cursor: int) -> str:
    query = [item for item in request.query_params.multi_items() if item[0] != "cursor"]
    return f'<{request.url.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


@router.get("/{task_id}", response_model=TaskView, responses=NOT_FOUND)
async def view_task(
    request: Request,
    service: Service,
    task_id: str,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT, description="Hold the answer until it is over.")
    ] = 0,
) -> Response:
    """Tell everything known of a task; with `wait`, once it is over or the seconds have passed."""
    if not wait:
        return JSONResponse(await service.view(task_id))
    return JSONResponse(await _while_connected(request, service.view(task_id, wait)))


async def _while_connected(
    request: Request, waiting: Coroutine[Any, Any, dict[str, Any]]
) -> dict[str, Any] | None:
    """Wait for something, but no longer than the client does."""
    done = asyncio.ensure_future(waiting)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
        return done.result() if done.done() else None
    finally:
        done.cancel()
        gone.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.post(
    "/{task_id}/stop",
    response_model=TaskView,
    responses={
        **NOT_FOUND,
        503: {
            "model": Problem,
            "description": "It was passed on, but might be forgotten: ask again.",
        },
    },
)
async def stop(service: Service, task_id: str) -> Response:
    """Ask a task to stop; tells, after half a second at most, how far it is.

    It gets SIGTERM, its grace period to clean up, then everything it started is killed. A waiting
    task never runs. A task that is over stays as it is.
    """
    return JSONResponse(await service.stop(task_id))


@router.post(
    "/{task_id}/rerun",
    status_code=HTTPStatus.CREATED,
    response_model=TaskState,
    responses={
        **NOT_FOUND,
        409: {"model": Problem, "description": "The taskId is taken."},
        **NO_ROOM,
    },
)
async def rerun(
    service: Service,
    task_id: str,
    changes: Annotated[dict[str, Any] | None, Body(openapi_examples=RERUN_EXAMPLES)] = None,
) -> Response:
    """Submit a task once more: a new task, whose `rerunOf` names the original.

    The body may have fields that replace those of the original; null stands for the default. A
    `taskId` in it makes it safe to send the request again. The values of `env`, which are never
    shown, are used again; a list of names in place of an `env` uses those alone. It does not
    matter whether the original is over.
    """
    return _accepted(*await service.submission.rerun(task_id, changes or {}))


@router.delete("/{task_id}", response_model=Success, responses={**NOT_FOUND, **CONFLICT})
async def delete(service: Service, task_id: str) -> Response:
    """Remove a task that is over, with its directory."""
    await service.delete(task_id)
    return JSONResponse({"success": True})
