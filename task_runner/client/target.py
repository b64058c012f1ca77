"""Where a node is, in terms of httpx2; and what goes wrong there, in terms of this package."""

import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httpx2

from task_runner.client.errors import (
    ClientError,
    NodeNotTrustedError,
    NodeSilentError,
    NodeUnreachableError,
    ProtocolError,
)
from task_runner.client.steps import Request

DEFAULT_URL = "http://127.0.0.1:8000"
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
CONNECT_TIMEOUT = 10.0


class Target(NamedTuple):
    """Base URL, and the path of the Unix socket that it is reached by, if it is."""

    url: str
    socket: str | None

    @classmethod
    def of(cls, url: str) -> "Target":
        """Read `http://host:port`, `https://host:port` or `unix:///path`. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path and not parts.netloc:
            return cls("http://localhost", unquote(parts.path))
        if parts.scheme in ("http", "https") and parts.hostname:
            return cls(url.rstrip("/"), None)
        raise ValueError(f"{url!r} is none of http://HOST:PORT, https://HOST:PORT, unix:///PATH")

    def trust(self, context: ssl.SSLContext | None) -> ssl.SSLContext | bool:
        """Return whom to trust. Without TLS nobody: to load certificates takes time."""
        return context or self.url.startswith("https:")

    def request(self, request: Request) -> httpx2.Request:
        """Return a request for httpx2."""
        headers = {"Accept": request.accept, "Accept-Encoding": "identity", **dict(request.headers)}
        if request.content is not None:
            headers["Content-Type"] = "application/json"
        timeout = httpx2.Timeout(request.timeout, connect=CONNECT_TIMEOUT)
        return httpx2.Request(
            request.method,
            f"{self.url}{request.path}",
            params=request.params or None,
            headers=headers,
            content=request.content,
            extensions={"timeout": timeout.as_dict()},
        )

    def error(self, problem: httpx2.RequestError) -> ClientError:
        """Return what a problem of the connection means."""
        where = f"unix://{self.socket}" if self.socket else self.url
        why = str(problem) or type(problem).__name__
        if _is_about_trust(problem):
            return NodeNotTrustedError(f"the certificate of {where} is not trusted: {why}")
        if isinstance(problem, httpx2.ReadTimeout):
            return NodeSilentError(f"the node at {where} has been silent for too long")
        if isinstance(problem, httpx2.ConnectError | httpx2.ConnectTimeout):
            return NodeUnreachableError(f"no node answers at {where}: {why}")
        if isinstance(problem, httpx2.TransportError):
            return NodeUnreachableError(f"the connection to {where} broke: {why}")
        return ProtocolError(f"what answers at {where} is no Task Runner: {why}")


def _is_about_trust(problem: BaseException | None) -> bool:
    while problem is not None:
        if isinstance(problem, ssl.SSLCertVerificationError):
            return True
        problem = problem.__cause__ or problem.__context__
    return False
