"""What a task leaves: listed, fetched one by one, or all in an archive."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from task_runner.client.errors import ConflictError, NodeUnreachableError
from task_runner.client.pages import pages
from task_runner.client.retry import Patience, opened
from task_runner.client.steps import Give, Node, Request, Stream, read
from task_runner.client.verbs import task_path

PARTIAL = 206


class File(NamedTuple):
    """A file, directory or symlink below `files/`. Only files have a size and an `href`."""

    path: str
    type: str
    size: int | None
    modified_at: datetime
    href: str | None
    """Where it is on the node, whatever is in its name."""
    data: Mapping[str, Any]
    """The same under the names of the API."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read an answer of the API."""
        at = datetime.fromisoformat(data["modifiedAt"])
        return cls(data["path"], data["type"], data["size"], at, data["href"], data)


def files(node: Node, task_id: str) -> Stream[File]:
    """Give what a task has left so far, sorted. Raises NotFoundError."""
    yield from pages(node, Request("GET", task_path(task_id, "/files")), File.of)


def file(node: Node, task_id: str, path: str | File) -> Stream[bytes]:
    """Give the bytes of a file in blocks; over broken connections each byte comes once.

    Raises NotFoundError; ConflictError when it was changed while it was read.
    """
    href = path.href if isinstance(path, File) else None
    where = href or task_path(task_id, f"/files/{quote(str(path), errors='surrogateescape')}")
    patience, position, version = Patience(node), 0, ""
    while True:
        rest = (("Range", f"bytes={position}-"), ("If-Range", version)) if position else ()
        head = yield from opened(Request("GET", where, headers=rest), patience)
        if position and head.status != PARTIAL:
            raise ConflictError(409, f"{where} has changed while it was read")
        version = head.headers.get("etag", "")
        patience.restore()
        try:
            while block := (yield from read()):
                position += len(block)
                yield Give(block)
        except NodeUnreachableError as error:
            yield from patience.pause(error)
            continue
        return


def archive(node: Node, task_id: str) -> Stream[bytes]:
    """Give all that a task has left, as a tar.gz that is made meanwhile.

    It cannot go on after a broken connection. Raises NotFoundError, NodeUnreachableError.
    """
    yield from opened(Request("GET", task_path(task_id, "/files.tar.gz")), Patience(node))
    while block := (yield from read()):
        yield Give(block)
