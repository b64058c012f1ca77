"""A connection not to be relied on: a proxy that answers itself, or cuts what comes back."""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

BLOCK = 64 << 10


class Cut(NamedTuple):
    """Pass everything on, but of what comes back no more than so many bytes; then hang up."""

    after: int


class Say(NamedTuple):
    """Answer the first request oneself, with these bytes, and hang up."""

    answer: bytes


Fault = Cut | Say


class FlakyProxy:
    """Serves one connection after the other with the faults of a plan; then without any."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._plan: list[Fault] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def plan(self, faults: Iterable[Fault]) -> None:
        """Have these faults from now on; connections that are open are cut."""
        self._plan = [*faults]
        for client in self._open:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._open.clear()
        self.connections = 0

    def close(self) -> None:
        self.plan([])
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._open.append(client)
                fault = self._plan.pop(0) if self._plan else None
                threading.Thread(target=self._serve, args=(client, fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault: Fault | None) -> None:
        with client, suppress(OSError):
            if isinstance(fault, Say):
                client.recv(BLOCK)
                client.sendall(fault.answer)
                return
            with socket.create_connection(("127.0.0.1", self._port)) as node:
                threading.Thread(target=pump, args=(client, node), daemon=True).start()
                pump(node, client, fault.after if fault else None)
                # close() alone would leave the other thread with a socket that still works
                client.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, sink: socket.socket, most: int | None = None) -> None:
    """Move bytes until there are no more, or as many as may be."""
    with suppress(OSError):
        while most is None or most > 0:
            data = source.recv(BLOCK if most is None else min(BLOCK, most))
            if not data:
                break
            sink.sendall(data)
            most = most and most - len(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def flaky_proxy(port: int) -> Iterator[FlakyProxy]:
    proxy = FlakyProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
