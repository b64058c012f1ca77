"""Ports for the servers that tests start."""

import socket


class Reservation(socket.socket):
    """A port of 127.0.0.1 that nobody else gets until this is closed.

    It is bound and nobody listens: the kernel gives it to none of those that ask for any port, who
    connects is refused, and a server that is told to use it can, as servers set SO_REUSEADDR. A
    port that was only seen to be free is given to the next who asks, and then a test talks to the
    node of another one. See ip(7), socket(7).
    """

    def __init__(self) -> None:
        super().__init__()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.bind(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        return int(self.getsockname()[1])
