"""Errors as problem documents, RFC 9457."""

import errno
import logging
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from task_runner.lib.errors import (
    SHORTAGES,
    CursorGoneError,
    DiskFullError,
    NoSuchFileError,
    StartError,
    StartLaterError,
    StopError,
    TaskActiveError,
    TaskDamagedError,
    TaskExistsError,
    TaskNotFoundError,
    UnreachableError,
    ValidationError,
)

MEDIA_TYPE = "application/problem+json"
STATUS_OF: dict[type[Exception], HTTPStatus] = {
    TaskNotFoundError: HTTPStatus.NOT_FOUND,
    NoSuchFileError: HTTPStatus.NOT_FOUND,
    TaskExistsError: HTTPStatus.CONFLICT,
    TaskActiveError: HTTPStatus.CONFLICT,
    TaskDamagedError: HTTPStatus.CONFLICT,
    CursorGoneError: HTTPStatus.GONE,
    StartError: HTTPStatus.SERVICE_UNAVAILABLE,
    StartLaterError: HTTPStatus.SERVICE_UNAVAILABLE,
    StopError: HTTPStatus.SERVICE_UNAVAILABLE,
    DiskFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    UnreachableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
RETRY_AFTER = {"Retry-After": "2"}

log = logging.getLogger(__name__)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """Make a problem document."""
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of this application with a problem document."""
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(ValidationError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OSError, _system)
    app.add_exception_handler(sqlite3.Error, _index)
    app.add_exception_handler(Exception, _unexpected)
    for error in STATUS_OF:
        app.add_exception_handler(error, _known)


async def _bad_request(request: Request, error: Exception) -> JSONResponse:
    kind = request.headers.get("content-type", "none")
    if request.method == "POST" and "json" not in kind:
        detail = f"the body must be JSON, with `Content-Type: application/json`; it is {kind!r:.80}"
        return problem(HTTPStatus.BAD_REQUEST, detail)
    error = cast("RequestValidationError", error)
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return _no_json(found[0]["ctx"]["error"], error.body, found[0]["loc"][-1])
    errors = [{"field": _field(one["loc"]), "detail": one["msg"]} for one in found]
    first = errors[0]
    detail = f"{first['field']}: {first['detail']}" if first["field"] else first["detail"]
    return problem(HTTPStatus.BAD_REQUEST, detail, errors=errors)


def _no_json(reason: str, body: str, position: int) -> JSONResponse:
    """Tell where a body stops being JSON, and nothing of what is in it."""
    line, column = body.count("\n", 0, position) + 1, position - body.rfind("\n", 0, position)
    detail = f"the body is not JSON, line {line}, column {column}: {reason}"
    one = {"field": "", "detail": detail, "line": line, "column": column}
    return problem(HTTPStatus.BAD_REQUEST, detail, errors=[one])


def _field(location: tuple[int | str, ...]) -> str:
    """Name the member or the query parameter: without the part of the request it stands in."""
    if location and location[-1] == "body":
        return ""
    return ".".join(str(step) for step in location[1:] if not isinstance(step, int))


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    error = cast("ValidationError", error)
    one: dict[str, Any] = {"field": error.field, "detail": error.detail}
    if error.line is not None:
        one |= {"line": error.line, "column": error.column}
    return problem(HTTPStatus.BAD_REQUEST, str(error), errors=[one])


async def _http(request: Request, error: Exception) -> JSONResponse:
    error = cast("HTTPException", error)
    headers, detail = dict(error.headers or {}), error.detail
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_of(request))
    if isinstance(error.__cause__, (ValueError, RecursionError)):  # raised by FastAPI, with less
        detail = f"the body cannot be read as JSON: {error.__cause__}"
    return problem(error.status_code, detail, headers)


def _methods_of(request: Request) -> list[str]:
    """Return all methods of a resource; Starlette tells those of one route for it."""
    scopes = [{**request.scope, "method": method} for method in METHODS]
    routes = request.app.routes
    found = [one for one in scopes if any(r.matches(one)[0] is Match.FULL for r in routes)]
    return [scope["method"] for scope in found]


async def _known(_request: Request, error: Exception) -> JSONResponse:
    # Who raises it may have a more precise one, which this package does not know.
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    is_transient = status == HTTPStatus.SERVICE_UNAVAILABLE
    return problem(status, str(error), RETRY_AFTER if is_transient else None)


async def _system(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return problem(HTTPStatus.INSUFFICIENT_STORAGE, "the disk of the work directory is full")
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error.strerror), RETRY_AFTER)
    return await _unexpected(request, error)


async def _index(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return problem(HTTPStatus.INSUFFICIENT_STORAGE, "the disk of the index is full")
    detail = f"the index cannot be used: {error}"
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, RETRY_AFTER)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; the log has more")
