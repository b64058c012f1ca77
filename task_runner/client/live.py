"""An answer that is read on and on: when it breaks, it is asked for again where it was."""

from typing import NamedTuple

from task_runner.client.errors import NodeSilentError, NodeUnreachableError, ProtocolError
from task_runner.client.retry import Patience, opened
from task_runner.client.steps import Node, Params, Request, Steps, read


class Places(NamedTuple):
    """How places in a stream are named."""

    parameter: str
    """Begin after this place."""
    header: str
    """At which place the answer begins, also when it was asked for in another way."""


LOG = Places("offset", "log-offset")
EVENTS = Places("cursor", "event-cursor")


class Live:
    """A stream with a place in it, which whoever reads it moves on as he uses what he has read."""

    def __init__(self, node: Node, places: Places, request: Request, begin: Params) -> None:
        """Ask for nothing yet; `begin` are the parameters that say where to begin."""
        self.place = ""
        self._places = places
        self._request = request
        self._begin = begin
        self._patience = Patience(node)
        self._is_open = False
        self._rest = b""

    def read(self) -> Steps[bytes]:
        """Return the next bytes; none at the end of an answer.

        After that, another one is asked for. Raises RefusedError; also, when patience ends,
        NodeUnreachableError.
        """
        while True:
            if not self._is_open:
                yield from self._open()
            self._is_open = False
            try:
                block = yield from read()
            except NodeSilentError:  # so may be a task; but whether the node lives is to be known
                continue
            except NodeUnreachableError as error:
                yield from self._patience.pause(error)
                continue
            self._is_open = bool(block)
            return block

    def lines(self) -> Steps[list[bytes] | None]:
        """Return the lines that are complete with the next bytes; None at the end of an answer."""
        block = yield from self.read()
        if not block:
            return None
        *lines, self._rest = (self._rest + block).split(b"\n")
        return lines

    def pause(self) -> Steps[None]:
        """Let time pass when an answer has ended that should not: the node is about to stop."""
        yield from self._patience.pause(NodeUnreachableError("the node has ended the stream"))

    def _open(self) -> Steps[None]:
        place = ((self._places.parameter, self.place),) if self.place else self._begin
        request = self._request._replace(params=(*place, *self._request.params))
        head = yield from opened(request, self._patience)
        self._patience.restore()
        self._rest = b""
        try:
            self.place = head.headers[self._places.header]
        except KeyError:
            raise ProtocolError(f"the answer has no header {self._places.header}") from None
