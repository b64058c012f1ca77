"""Refuses requests while there are hardly any open files left, so that those under way succeed."""

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from task_runner.api.problems import RETRY_AFTER, problem
from task_runner.service.capacity import files_are_short, files_message

HEADERS = {**RETRY_AFTER, "Connection": "close"}
"""Closed, the connection gives back a file."""
PROBES = ("/livez", "/metrics")


class Overload:
    """Answers 503 and closes the connection; who comes back later is served."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in PROBES and files_are_short():
            answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, files_message(), HEADERS)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)
