"""One tree of errors: everything that a client raises."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any


class ClientError(Exception):
    """The Task Runner was asked for something, and it did not come about."""


class NodeUnreachableError(ClientError):
    """No node answers there, or the connection broke."""


class NodeSilentError(NodeUnreachableError):
    """The connection stands, but nothing came for longer than is waited for."""


class NodeNotTrustedError(ClientError):
    """The certificate of the node is not one that is trusted."""


class ProtocolError(ClientError):
    """What answered is not a Task Runner, or one of another time."""


class WaitTimeoutError(ClientError, TimeoutError):
    """The time to wait was over before the task was; the task goes on."""


class RefusedError(ClientError):
    """The node has answered that it will not, or cannot.

    `status` is that of HTTP, `detail` says why, and `errors` of a bad request name each `field`
    and, in a text, `line` and `column`. `repeated`: the same request was sent before and may have
    come through, though its answer did not.
    """

    repeated = False

    def __init__(self, status: int, detail: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors


class InvalidRequestError(RefusedError):
    """Something in what was sent is wrong."""


class NotFoundError(RefusedError, LookupError):
    """There is no such task, or no such file of it."""


class ConflictError(RefusedError):
    """Not in the state that the task is in, or the identifier belongs to another task."""


class CursorGoneError(RefusedError):
    """The events after this cursor are not kept any more: list the tasks, then begin anew."""


class UnavailableError(RefusedError):
    """Not now; later, perhaps."""


_BY_STATUS: dict[int, type[RefusedError]] = {
    HTTPStatus.BAD_REQUEST: InvalidRequestError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: CursorGoneError,
    HTTPStatus.BAD_GATEWAY: UnavailableError,
    HTTPStatus.SERVICE_UNAVAILABLE: UnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: UnavailableError,
}


def refusal(status: int, body: bytes) -> RefusedError:
    """Return the error that an answer is; its body should be a problem document (RFC 9457)."""
    kind = _BY_STATUS.get(status, RefusedError)
    try:
        problem = json.loads(body)
        return kind(status, str(problem["detail"]), problem.get("errors") or ())
    except (ValueError, KeyError, TypeError, AttributeError):  # some proxy on the way
        start = body[:200].decode(errors="replace").strip()
        return kind(status, f"the answer was {status}{': ' + start if start else ''}")
