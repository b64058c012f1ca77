"""Lists that come in pages."""

import re
from collections.abc import Callable
from typing import Any

from task_runner.client.retry import exchange
from task_runner.client.steps import Give, Node, Request, Stream, T, parsed

_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="next"')


def pages(node: Node, request: Request, made: Callable[[Any], T]) -> Stream[T]:
    """Give what is `made` of the items of all pages; a page is fetched when it is wanted."""
    following: Request | None = request
    while following:
        answer = yield from exchange(following, node)
        for item in parsed(answer.body):
            yield Give(made(item))
        link = _NEXT.search(answer.headers.get("link", ""))
        following = Request("GET", link[1]) if link else None
