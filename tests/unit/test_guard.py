import asyncio
import json
from collections.abc import Mapping

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope

from task_runner.api.guard import Guard

Client = tuple[str, int] | None
HERE: Client = ("127.0.0.1", 50000)
ELSEWHERE: Client = ("192.0.2.7", 50000)


def answer_to(
    host: str | None = "localhost:8000",
    client: Client = HERE,
    origin: str | None = None,
    *,
    allow_remote_clients: bool = False,
    host_names: tuple[str, ...] = (),
    kind: str = "http",
    method: str = "GET",
    fetch: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Return status and body of the answer; 200 and `served` come from behind the guard."""
    guard = Guard(
        PlainTextResponse("served"),
        allow_remote_clients=allow_remote_clients,
        host_names=host_names,
    )
    headers = {"host": host, "origin": origin, **(fetch or {})}
    scope: Scope = {
        "type": kind,
        "method": method,
        "path": "/",
        "client": client,
        "headers": [
            (name.encode(), value.encode("latin-1"))
            for name, value in headers.items()
            if value is not None
        ],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing needs to be read")

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    start, body = sent
    return start["status"], body["body"]


def is_served(*arguments: Client | str, **options: object) -> bool:
    status, body = answer_to(*arguments, **options)  # type: ignore[arg-type]
    assert (status == 200) == (body == b"served")
    return status == 200


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LocalHost:8000", "127.0.0.1", "127.0.0.1:80", "[::1]:8000"],
)
def test_a_name_of_the_loopback_is_ours(host: str) -> None:
    assert answer_to(host) == (200, b"served")


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":8000",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.2",
        "127.0.0.1.evil.example",
        "0.0.0.0",  # noqa: S104
        "[::2]",
        "[::1",
        "[]",
        "evil.example/@localhost",
        "evil.example?@localhost",
        "evil.example#@localhost",
        "localhost@evil.example",
        "node1.example",
        "\xe4",
    ],
)
def test_another_name_is_not(host: str | None) -> None:
    status, body = answer_to(host)
    problem = json.loads(body)
    assert (status, problem["status"]) == (421, 421)
    assert "host_names" in problem["detail"]


@pytest.mark.parametrize("host", ["node1.example", "Node1.Example:8443", "192.0.2.1:80", "[::2]:1"])
def test_names_can_be_added(host: str) -> None:
    assert answer_to(host)[0] == 421
    names = ("NODE1.example", "192.0.2.1", "::2")
    assert answer_to(host, host_names=names) == (200, b"served")
    assert answer_to("node2.example", host_names=names)[0] == 421
    assert answer_to("localhost", host_names=names)[0] == 200


@pytest.mark.parametrize(
    "client",
    [
        ("127.0.0.1", 1),
        ("127.255.255.254", 1),
        ("::1", 1),
        ("::ffff:127.0.0.1", 1),
        ("0:0:0:0:0:0:0:1", 1),
        ("", 0),  # a Unix socket, as some servers tell it
        None,  # and as others do
    ],
)
def test_clients_on_this_machine_are_served(client: Client) -> None:
    assert answer_to(client=client) == (200, b"served")


@pytest.mark.parametrize(
    "client",
    [
        ("192.0.2.7", 1),
        ("10.0.0.1", 1),
        ("128.0.0.1", 1),
        ("0.0.0.0", 1),  # noqa: S104
        ("::", 1),
        ("fe80::1%eth0", 1),
        ("2001:db8::1", 1),
        ("::ffff:192.0.2.7", 1),
        ("::127.0.0.1", 1),
        ("localhost", 1),
        ("testclient", 1),
        ("127.0.0.1.evil.example", 1),
        ("unknown", 0),
    ],
)
def test_other_clients_are_refused(client: Client) -> None:
    status, body = answer_to(client=client)
    assert status == 403
    assert json.loads(body)["detail"] == "only clients on this machine are served"
    assert answer_to(client=client, allow_remote_clients=True) == (200, b"served")


def test_a_remote_client_needs_a_name_of_ours_as_well() -> None:
    options = {"client": ELSEWHERE, "allow_remote_clients": True}
    assert not is_served("node1.example", **options)
    assert is_served("node1.example", **options, host_names=("node1.example",))
    # A name alone lets nobody in.
    assert not is_served("node1.example", client=ELSEWHERE, host_names=("node1.example",))


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "http://localhost:8000", "https://127.0.0.1:1", "http://[::1]:8000"],
)
def test_our_own_pages_may_ask(origin: str) -> None:
    assert answer_to(origin=origin) == (200, b"served")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "localhost",
        "http://evil.example",
        "http://localhost.evil.example:8000",
        "http://localhost@evil.example",
        "http://[::1",
        "file://",
        "http://node1.example",
    ],
)
def test_pages_of_other_sites_may_not(origin: str) -> None:
    status, body = answer_to(origin=origin)
    assert status == 403
    assert json.loads(body)["detail"] == "requests made by pages of other sites are refused"
    assert answer_to(origin=origin, allow_remote_clients=True)[0] == 403


def test_pages_of_a_name_that_was_added_may_ask() -> None:
    assert is_served(origin="https://node1.example:8443", host_names=("node1.example",))


def test_the_answer_is_a_problem_document_and_names_no_secret() -> None:
    _, body = answer_to("evil.example")
    assert json.loads(body).keys() == {"title", "status", "detail"}
    assert b"evil" not in body


def test_what_is_no_request_passes() -> None:
    passed: list[str] = []

    async def app(scope: Scope, _receive: object, _send: object) -> None:
        passed.append(scope["type"])

    guard = Guard(app, allow_remote_clients=False, host_names=())

    async def nothing(*_: object) -> Message:
        return {}

    asyncio.run(guard({"type": "lifespan"}, nothing, nothing))  # type: ignore[arg-type]
    assert passed == ["lifespan"]


def fetch(site: str, mode: str = "cors", dest: str = "empty") -> dict[str, str]:
    return {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_page_on_another_port_may_ask_for_nothing(site: str, method: str) -> None:
    origin = "http://localhost:9999"
    for mode, dest in [("no-cors", "empty"), ("no-cors", "script"), ("cors", "empty")]:
        assert not is_served(origin=origin, method=method, fetch=fetch(site, mode, dest))
    assert not is_served(method=method, fetch=fetch(site, "navigate", "iframe"))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_on_another_port_may_only_link_here(site: str) -> None:
    assert is_served(fetch=fetch(site, "navigate", "document"))
    assert not is_served(method="POST", fetch=fetch(site, "navigate", "document"))


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_pages_are_served(site: str) -> None:
    assert is_served(method="POST", origin="http://localhost:8000", fetch=fetch(site))
