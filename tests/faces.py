"""Both clients, called in one way, so that one suite tests either."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from task_runner.client import AsyncClient, Client

KINDS = ("sync", "async")


class Face:
    """`call` a verb, or go through `each` of what it gives."""

    def __init__(self, kind: str, url: str, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "async" else None
        self.client = AsyncClient(url, **options) if self._runner else Client(url, **options)

    def call(self, verb: str, *args: Any, **options: Any) -> Any:
        result = getattr(self.client, verb)(*args, **options)
        return self._runner.run(result) if self._runner else result

    def each(self, verb: str, *args: Any, **options: Any) -> Iterator[Any]:
        given = getattr(self.client, verb)(*args, **options)
        if self._runner is None:
            yield from given
            return
        end = object()

        async def following() -> Any:
            return await anext(given, end)

        try:
            while (item := self._runner.run(following())) is not end:
                yield item
        finally:
            self._runner.run(given.aclose())

    def close(self) -> None:
        if self._runner is None:
            self.call("close")
        else:
            self.call("aclose")
            self._runner.close()


@contextmanager
def face_of(kind: str, url: str, **options: Any) -> Iterator[Face]:
    face = Face(kind, url, **options)
    try:
        yield face
    finally:
        face.close()
