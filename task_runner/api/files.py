"""What a task left in its `files/`: listed, given one by one, or packed.

The content comes from the task, and the console is on the same origin: nothing here may ever run
as a page or script of this node. So a browser is told to save it, not to guess its type, and to
treat it as a stranger.
"""

import mimetypes
from typing import Annotated, Any
from urllib.parse import quote, unquote_to_bytes, urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.convertors import Convertor, register_url_convertor

from task_runner.api.dependencies import Service
from task_runner.api.file_answer import Content, Stream, file_answer
from task_runner.api.models import FileEntry, Problem
from task_runner.api.tasks import MAX_PAGE, NOT_FOUND
from task_runner.lib.clock import timestamp
from task_runner.lib.errors import NoSuchFileError, ValidationError
from task_runner.service.files.beneath import Entry, Parts, shown

ANY = "*/*"
UNKNOWN = "application/octet-stream"
GZIP = "application/gzip"
HARMLESS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Anything(Convertor[str]):
    """The rest of a path. Starlette's own `path` ends at a line break."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Take it as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Take it as it is."""
        return value


register_url_convertor("anything", Anything())
router = APIRouter(prefix="/v1/tasks", tags=["files"])


@router.get("/{task_id}/files", response_model=list[FileEntry], responses=NOT_FOUND)
async def list_files(
    service: Service,
    task_id: str,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    cursor: Annotated[str, Query(description="From the link to the next page.")] = "",
) -> Response:
    """List what the task has left, sorted; what is in a directory follows it.

    A link with `rel="next"` leads to the next page. Bytes of a name that are no UTF-8 are replaced
    in `path`; `href` leads to the file whatever its name is. Symlinks are listed, never followed.
    """
    entries = await service.files.list(task_id, _after(cursor), limit)
    url = f"/v1/tasks/{task_id}/files"
    headers = {}
    if len(entries) == limit:
        query = urlencode({"limit": limit, "cursor": _quoted(entries[-1].path)})
        headers["Link"] = f'<{url}?{query}>; rel="next"'
    return JSONResponse([_view(url, entry) for entry in entries], headers=headers)


def _view(url: str, entry: Entry) -> dict[str, Any]:
    is_file = entry.kind == "file"
    return {
        "path": shown(entry.path),
        "type": entry.kind,
        "size": entry.size if is_file else None,
        "modifiedAt": timestamp(entry.modified),
        "href": f"{url}/{_quoted(entry.path)}" if is_file else None,
    }


def _after(cursor: str) -> Parts:
    try:
        return _parts(cursor) if cursor else ()
    except NoSuchFileError as problem:
        raise ValidationError("it is not from a link to a next page", "cursor") from problem


def _quoted(path: Parts) -> str:
    return "/".join(quote(name, safe="") for name in path)


def _parts(text: str) -> Parts:
    """Return the names of a percent-encoded path. Raises NoSuchFileError for `..` and the like."""
    path = tuple(map(unquote_to_bytes, text.split("/")))
    for name in path:
        if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
            raise NoSuchFileError(f"there cannot be a file {shown(path)!r}")
    return path


async def the_path(
    request: Request, path: Annotated[str, Path(description="Of a file, below `files/`.")]
) -> Parts:
    """Return the path as it was sent: decoded, it has lost all that is no UTF-8."""
    scope = request.scope
    raw = bytes(scope["raw_path"]).decode("ascii").removeprefix(scope.get("root_path", ""))
    steps = raw.split("/", 5)  # "", "v1", "tasks", the task, "files", the rest
    if len(steps) < 6 or steps[4] != "files":  # an encoded slash, which is no separator
        raise NoSuchFileError(f"there cannot be a file {path!r}")
    return _parts(steps[5])


@router.head("/{task_id}/files/{path:anything}", include_in_schema=False)
@router.get(
    "/{task_id}/files/{path:anything}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {ANY: {}}, "description": "The file; its type is guessed."},
        206: {"content": {ANY: {}}, "description": "A range of the bytes."},
        304: {"description": "It is still what the client has."},
        404: {"model": Problem, "description": "There is no such task or file."},
        416: {"model": Problem, "description": "There are no such bytes."},
    },
)
async def give_file(
    request: Request, service: Service, task_id: str, path: Annotated[Parts, Depends(the_path)]
) -> Response:
    """Give a file that the task has left, as it is when the answer begins.

    `Range`, `ETag` and `Last-Modified` work as everywhere. Only regular files are given, symlinks
    are not followed. A file that becomes shorter meanwhile breaks the answer off.
    """
    file = await service.files.open(task_id, path)
    content = Content(
        name=repr(shown(path)),
        version=file.version,
        size=file.size,
        blocks=lambda start, stop: service.files.read(file, start, stop),
        modified=file.modified,
    )
    return file_answer(
        request, content, {**_saved_as(path[-1]), "Content-Type": _type_of(path[-1])}
    )


def _type_of(name: bytes) -> str:
    guessed, encoding = mimetypes.guess_type(shown((name,)))
    return UNKNOWN if guessed is None or encoding else guessed


def _saved_as(name: bytes) -> dict[str, str]:
    """Return headers that let a browser save it under its name, see RFC 6266."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return {**HARMLESS, "Content-Disposition": disposition}


@router.get(
    "/{task_id}/files.tar.gz",
    response_class=StreamingResponse,
    responses={**NOT_FOUND, 200: {"content": {GZIP: {}}, "description": "The archive."}},
)
async def archive(service: Service, task_id: str) -> Response:
    """Give all that the task has left as one archive, made while it is sent.

    Everything is below a directory with the name of the task. Symlinks are packed as such. What
    could not be packed as it was is told in a last member, `<taskId>.incomplete.txt`.
    """
    blocks = await service.files.pack(task_id)
    return Stream(blocks, headers={**_saved_as(f"{task_id}.tar.gz".encode()), "Content-Type": GZIP})
