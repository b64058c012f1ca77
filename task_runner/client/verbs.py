"""The verbs of tasks: submit, get, list, stop, delete, rerun."""

import json
import re
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from task_runner.client.errors import NotFoundError
from task_runner.client.models import Task
from task_runner.client.pages import pages
from task_runner.client.retry import exchange
from task_runner.client.steps import Node, Request, Steps, Stream, parsed
from task_runner.lib.task import TASK_ID

TASKS = "/v1/tasks"
MAX_PAGE = 1000


def task_path(task_id: str, rest: str = "") -> str:
    """Return the path of a task. Raises NotFoundError when no task can have this identifier."""
    if not re.fullmatch(TASK_ID, task_id):
        raise NotFoundError(404, f"there is no task {task_id!r}")
    return f"{TASKS}/{quote(task_id)}{rest}"


def new_id() -> str:
    """Return an identifier for a task: 12 hexadecimal digits, unlike any other."""
    return uuid.uuid4().hex[:12]


def encoded(value: object) -> bytes:
    """Return a value as JSON. Raises TypeError and ValueError when it cannot be written so."""
    return json.dumps(value, allow_nan=False).encode()


def submit(node: Node, task: Mapping[str, Any]) -> Steps[Task]:
    """Submit a task, an object as the API takes it; return its identifier and state.

    Without a `taskId` it gets one here, so that it is started once however often it has to be sent.
    Raises InvalidRequestError, ConflictError.
    """
    body = encoded({**task, "taskId": task.get("taskId") or new_id()})
    answer = yield from exchange(Request("POST", TASKS, content=body), node)
    return Task.of(parsed(answer.body))


def check(node: Node, task: Mapping[str, Any]) -> Steps[None]:
    """Have a task checked as for `submit`, without storing anything. Raises InvalidRequestError."""
    request = Request("POST", TASKS, (("check", "true"),), encoded(task))
    yield from exchange(request, node)


def rerun(
    node: Node, task_id: str, changes: Mapping[str, Any] = MappingProxyType({})
) -> Steps[Task]:
    """Submit a task once more, as a new one; return that.

    `changes` are fields that are to be different, `taskId` among them; None stands for the default.
    Raises NotFoundError, InvalidRequestError, ConflictError.
    """
    body = encoded({**changes, "taskId": changes.get("taskId") or new_id()})
    request = Request("POST", task_path(task_id, "/rerun"), content=body)
    return Task.of(parsed((yield from exchange(request, node)).body))


def get(node: Node, task_id: str) -> Steps[Task]:
    """Return everything known of a task. Raises NotFoundError."""
    return Task.of(parsed((yield from exchange(Request("GET", task_path(task_id)), node)).body))


def list_(
    node: Node,
    *,
    states: Collection[str] = (),
    machine: str | None = None,
    labels: Collection[str] = (),
    since: datetime | None = None,
    newest_first: bool = False,
    page_size: int = MAX_PAGE,
) -> Stream[Task]:
    """Give the tasks that fit, in the order of submission, page after page as they are wanted.

    `labels` are `name=value` or `name`, all of which must fit; `since` needs a time zone.
    """
    params = [("view", "full"), ("limit", str(page_size))]
    params += [("state", str(state)) for state in states]
    params += [("label", label) for label in labels]
    if machine is not None:
        params.append(("machine", machine))
    if since is not None:
        params.append(("since", since.isoformat()))
    if newest_first:
        params.append(("order", "desc"))
    yield from pages(node, Request("GET", TASKS, tuple(params)), Task.of)


def stop(node: Node, task_id: str) -> Steps[Task]:
    """Ask a task to stop; return it as it is after half a second at most. Raises NotFoundError."""
    request = Request("POST", task_path(task_id, "/stop"))
    return Task.of(parsed((yield from exchange(request, node)).body))


def delete(node: Node, task_id: str) -> Steps[None]:
    """Remove a task that is over, with its files. Raises NotFoundError, ConflictError."""
    try:
        yield from exchange(Request("DELETE", task_path(task_id)), node)
    except NotFoundError as error:
        if not error.repeated:
            raise
