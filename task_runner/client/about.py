"""What a node is: its machines, its versions, its capacity."""

from typing import Any

from task_runner.client.retry import exchange
from task_runner.client.steps import Node, Params, Request, Steps, parsed


def ping(node: Node) -> Steps[None]:
    """Return when the node has answered."""
    yield from _told(node, "/v1/")


def machines(node: Node) -> Steps[list[dict[str, Any]]]:
    """Return what can be run: `name`, `description`, JSON `schema` of the parameters, `error`."""
    found: list[dict[str, Any]] = yield from _told(node, "/v1/machines")
    return found


def environments(node: Node) -> Steps[list[dict[str, Any]]]:
    """Return where tasks can run: `name`, `usable`, `why` not, what to `install`, capabilities."""
    found: dict[str, list[dict[str, Any]]] = yield from _told(node, "/v1/environments")
    return found["environments"]


def isolations(node: Node) -> Steps[list[dict[str, Any]]]:
    """Return what can stand around tasks: `name`, `usable`, `why` not, what to `install`."""
    found: dict[str, list[dict[str, Any]]] = yield from _told(node, "/v1/environments")
    return found["isolations"]


def system(node: Node) -> Steps[dict[str, Any]]:
    """Return versions, host, uptime, tasks by state, capacity, disk and limits of the node."""
    found: dict[str, Any] = yield from _told(node, "/v1/system")
    return found


def set_aside(node: Node) -> Steps[list[dict[str, str]]]:
    """Return what is in the work directory and cannot be used: each has `path` and `reason`."""
    ready: dict[str, list[dict[str, str]]] = yield from _told(node, "/readyz", (("verbose", ""),))
    return ready["setAside"]


def _told(node: Node, path: str, params: Params = ()) -> Steps[Any]:
    return parsed((yield from exchange(Request("GET", path, params), node)).body)
