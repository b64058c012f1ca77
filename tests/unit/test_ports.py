import socket

import pytest

from tests.ports import Reservation


def test_a_reserved_port_is_for_the_server_that_is_told_of_it() -> None:
    with Reservation() as mine, Reservation() as other:
        assert mine.port != other.port
        address = ("127.0.0.1", mine.port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for _ in range(2):  # a node that is started again has its port still
            with socket.create_server(address), socket.create_connection(address):
                pass
        with socket.socket() as stranger, pytest.raises(OSError, match="already in use"):
            stranger.bind(address)
