"""Who is served: without authentication only this machine, and no page of a foreign site."""

import ipaddress
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from task_runner.api.problems import problem

PAGES_REFUSED = "requests made by pages of other sites are refused"
OTHER_SITES = ("cross-site", "same-site")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Refuses clients of other hosts, and requests that name a host we are not.

    A browser sends the name it asked for in `Host`, and in `Origin` the site whose page made the
    request: both keep pages from elsewhere out, also with a name that was rebound to 127.0.0.1.
    A page on another port of this host is told by `Sec-Fetch-Site` (W3C Fetch Metadata); it may
    only lead here, by a link.
    """

    def __init__(
        self, app: ASGIApp, *, allow_remote_clients: bool, host_names: Collection[str]
    ) -> None:
        """Stand in front of `app`."""
        self._app = app
        self._allow_remote_clients = allow_remote_clients
        self._names = LOOPBACK_NAMES | {name.lower() for name in host_names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            status, detail = refusal
            await problem(status, detail)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[HTTPStatus, str] | None:
        headers = Headers(scope=scope)
        if not self._allow_remote_clients and not _is_loopback(scope.get("client")):
            return HTTPStatus.FORBIDDEN, "only clients on this machine are served"
        if not self._is_known(f"//{headers.get('host', '')}"):
            return (
                HTTPStatus.MISDIRECTED_REQUEST,
                "this is not the host that the Host header names; see the setting host_names",
            )
        if "origin" in headers and not self._is_known(headers["origin"]):
            return HTTPStatus.FORBIDDEN, PAGES_REFUSED
        if headers.get("sec-fetch-site") in OTHER_SITES and not _is_link(scope, headers):
            return HTTPStatus.FORBIDDEN, PAGES_REFUSED
        return None

    def _is_known(self, url: str) -> bool:
        try:
            return (urlsplit(url).hostname or "") in self._names
        except ValueError:
            return False


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Say whether the request opens a page in a tab of its own, not in a frame."""
    opens_a_page = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return scope["method"] == "GET" and opens_a_page == ("navigate", "document")


def _is_loopback(client: tuple[str, int] | None) -> bool:
    if client is None or not client[0]:  # a Unix socket
        return True
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
