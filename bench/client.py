"""HTTP/1.1 by hand: what a client library costs would be measured as the product's.

`Connection` blocks and is for latencies; `submit_all` is one asyncio process with several
connections, for throughput.
"""

import asyncio
import json
import socket
from collections.abc import Iterable
from typing import Any

import uvloop

CONNECTIONS = 8
NOT_OVER = "state=created&state=running&state=stalled&state=stopping"

Address = tuple[str, int]


def request_bytes(
    method: str, path: str, body: object = None, accept: str = "application/json"
) -> bytes:
    """Return a whole request; `body` becomes JSON."""
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def parse_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Return the status and the headers, names in lower case, of the head of an answer."""
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    return int(first.split(b" ", 2)[1]), {key.lower(): value for key, value in headers.items()}


class Connection:
    """A blocking connection that is kept alive."""

    def __init__(self, address: Address, timeout: float = 120.0) -> None:
        self._socket = socket.create_connection(address, timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, method: str, path: str, body: object = None, expected: int = 200) -> Any:
        """Send a request, return what the answer holds. Raises ValueError for another status."""
        self._socket.sendall(request_bytes(method, path, body))
        head, _, data = self._read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        status, headers = parse_head(head)
        while len(data) < int(headers[b"content-length"]):
            data += self._receive()
        if status != expected:
            raise ValueError(f"{method} {path}: {status} {data.decode()}")
        return json.loads(data) if b"json" in headers[b"content-type"] else data

    def open_stream(self, path: str, accept: str) -> tuple[bytes, socket.socket, int | None]:
        """Ask for what is read as it comes; return its first bytes, the socket, and its length."""
        self._socket.sendall(request_bytes("GET", path, accept=accept))
        head, _, data = self._read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        status, headers = parse_head(head)
        if status != 200:
            raise ValueError(f"GET {path}: {head.decode()}")
        length = headers.get(b"content-length")
        return data, self._socket, None if length is None else int(length)

    def _read_until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data:
            data += self._receive()
        return data

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def submit_all(address: Address, tasks: list[dict[str, Any]], *, until_over: bool = False) -> None:
    """Submit tasks over several connections; with `until_over` wait until none is under way."""
    uvloop.run(_submit_all(address, tasks, until_over))


async def _submit_all(address: Address, tasks: list[dict[str, Any]], until_over: bool) -> None:
    requests = iter([request_bytes("POST", "/v1/tasks", task) for task in tasks])
    await asyncio.gather(*(_submit_from(address, requests) for _ in range(CONNECTIONS)))
    if until_over:
        # All were accepted, so none being under way says that each is over; the caller checks how.
        reader, writer = await asyncio.open_connection(*address)
        question = request_bytes("GET", f"/v1/tasks?limit=1&{NOT_OVER}")
        while (await _exchange(reader, writer, question))[1] != b"[]":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        writer.close()


async def _submit_from(address: Address, requests: Iterable[bytes]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for request in requests:
        status, data = await _exchange(reader, writer, request)
        if status != 201:
            raise ValueError(f"POST /v1/tasks: {status} {data.decode()}")
    writer.close()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    writer.write(request)
    status, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
    return status, await reader.readexactly(int(headers[b"content-length"]))
