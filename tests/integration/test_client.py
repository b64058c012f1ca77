"""The Python client against a real node: every verb of both faces."""

import ssl
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import trustme

from task_runner.client import (
    AsyncClient,
    Client,
    ClientError,
    ConflictError,
    CursorGoneError,
    InvalidRequestError,
    NodeNotTrustedError,
    NodeUnreachableError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    WaitTimeoutError,
)
from task_runner.lib.outcome import Outcome
from task_runner.lib.state import State
from tests.faces import KINDS, Face, face_of
from tests.flaky import Say, flaky_proxy
from tests.node import Node, running_node
from tests.waiting import wait_until


@pytest.fixture(params=KINDS)
def face(request: pytest.FixtureRequest, node_for_all: Node) -> Iterator[Face]:
    with face_of(request.param, f"http://127.0.0.1:{node_for_all.port}") as face:
        yield face


def echo(*lines: str, **fields: object) -> dict[str, object]:
    return {"machine": "echo", "parameters": [*lines], **fields}


def test_submit_wait_get_delete(face: Face) -> None:
    accepted = face.call("submit", echo("ECHO hello", "RETURN 3", name="a task"))
    assert len(accepted.task_id) == 12
    task = face.call("wait", accepted.task_id)
    assert (task.state, task.outcome, task.exit_code) == (State.EXITED, Outcome.FAILED, 3)
    assert (task.name, task.machine, task.output_size) == ("a task", "echo", 6)
    assert task.created_at <= task.started_at <= task.finished_at <= datetime.now(UTC)
    assert task.is_over
    assert task.data["labels"] == {}
    assert face.call("get", task.task_id).data == task.data
    face.call("delete", task.task_id)
    with pytest.raises(NotFoundError, match=f"no task '{task.task_id}'") as caught:
        face.call("get", task.task_id)
    assert caught.value.status == 404
    with pytest.raises(NotFoundError):
        face.call("delete", task.task_id)


def test_an_identifier_of_the_callers(face: Face) -> None:
    first = face.call("submit", echo("SLEEP 0.01", taskId="mine"))
    assert face.call("submit", echo("SLEEP 0.01", taskId="mine")).task_id == "mine"
    with pytest.raises(ConflictError, match="another task"):
        face.call("submit", echo("SLEEP 0.02", taskId="mine"))
    face.call("wait", first.task_id)
    face.call("delete", "mine")


def test_check_and_rerun(face: Face, node_for_all: Node) -> None:
    before = node_for_all.states()
    face.call("check", echo("ECHO hi"))
    with pytest.raises(InvalidRequestError, match="line 2"):
        face.call("check", echo("ECHO hi", "DANCE"))
    assert node_for_all.states() == before
    task = face.call("submit", echo("RETURN 3", name="one"))
    for changes in ({"name": "two"}, {"taskId": f"{task.task_id}-again"}):
        again = face.call("wait", face.call("rerun", task.task_id, changes).task_id)
        assert again.data["rerunOf"] == task.task_id
        assert again.exit_code == 3
        assert again.name == changes.get("name", "one")
        face.call("delete", again.task_id)
    face.call("wait", task.task_id)
    face.call("delete", task.task_id)


def test_what_the_node_is(face: Face) -> None:
    assert {"command", "echo"} <= {machine["name"] for machine in face.call("machines")}
    assert face.call("set_aside") == []
    found = {one["name"]: one["usable"] for one in face.call("isolations")}
    assert found["none"] is True
    found = {one["name"]: one["usable"] for one in face.call("environments")}
    assert found["multiprocess"] is True
    assert {"versions", "capacity", "disk"} <= face.call("system").keys()


def test_what_is_refused_names_the_field(face: Face) -> None:
    with pytest.raises(InvalidRequestError, match="parameters, line 1") as caught:
        face.call("submit", echo("DANCE"))
    assert caught.value.errors[0]["field"] == "parameters"
    with pytest.raises(ValueError, match="Out of range"):
        face.call("submit", {"machine": "echo", "timeout": float("nan")})
    for impossible in ("..", "a/b", ""):
        with pytest.raises(NotFoundError):
            face.call("get", impossible)


def test_stop_and_progress(face: Face) -> None:
    script = 'echo \'{"progress": 0.25}\' >&"$TASK_RUNNER_STATUS_FD"; sleep 60'
    parameters = {"argv": ["sh", "-c", script]}
    task = face.call("submit", {"machine": "command", "parameters": parameters})
    wait_until(lambda: face.call("get", task.task_id).progress == 0.25)
    with pytest.raises(WaitTimeoutError, match=r"after 0\.1 seconds"):
        face.call("wait", task.task_id, timeout=0.1)
    with pytest.raises(ConflictError, match="stop it first"):
        face.call("delete", task.task_id)
    face.call("stop", task.task_id)
    assert face.call("wait", task.task_id, timeout=30).outcome is Outcome.CANCELED
    face.call("delete", task.task_id)


def test_list_goes_through_the_pages(face: Face) -> None:
    ids = [
        face.call("submit", echo(labels={"for": "list", "number": str(number)})).task_id
        for number in range(5)
    ]
    for task_id in ids:
        face.call("wait", task_id)
    options = {"labels": ["for=list"], "page_size": 2}
    assert [task.task_id for task in face.each("list", **options)] == ids
    newest = [task.task_id for task in face.each("list", newest_first=True, **options)]
    assert newest == ids[::-1]
    one = face.each("list", labels=["for=list", "number=3"], states=[State.EXITED])
    assert [task.data["labels"]["number"] for task in one] == ["3"]
    assert [*face.each("list", labels=["for=list"], states=["running", "lost"])] == []
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert [*face.each("list", labels=["for=list"], since=later)] == []
    assert [*face.each("list", machine="command", labels=["for=list"])] == []
    for task_id in ids:
        face.call("delete", task_id)


def test_logs_and_entries(face: Face) -> None:
    lines = ["ECHO one", "SLEEP 0.2", "LOG WARNING two", "LOG INFO three"]
    task = face.call("submit", echo(*lines))
    live = b"".join(face.each("logs", task.task_id, follow=True))
    assert face.call("get", task.task_id).is_over
    assert live.startswith(b"one\n")
    assert live.endswith(b"INFO [echo] three\n")
    assert b"".join(face.each("logs", task.task_id)) == live
    assert b"".join(face.each("logs", task.task_id, offset=5)) == live[5:]
    assert b"".join(face.each("logs", task.task_id, tail=1)) == live.splitlines(keepends=True)[2]
    messages = [entry.message for entry in face.each("entries", task.task_id)]
    assert messages == ["one", "two", "three"]
    loud = [*face.each("entries", task.task_id, follow=True, level="WARNING")]
    assert [(one.level, one.logger) for one in loud] == [(None, None), ("WARNING", "echo")]
    since = loud[1].time
    late = [*face.each("entries", task.task_id, since=since)]
    assert [entry.message for entry in late] == ["two", "three"]
    face.call("delete", task.task_id)


def test_a_search_in_the_log(face: Face) -> None:
    task = face.call("submit", echo("ECHO one", "LOG INFO t.wo", "ECHO three"))

    def found(pattern: str, **options: object) -> list[str]:
        given = face.each("entries", task.task_id, follow=True, grep=pattern, **options)
        return [entry.message for entry in given]

    assert found("^one|t.ree") == ["one", "three"]
    assert found("t.w", literal=True) == ["t.wo"]
    assert found("ONE") == []
    assert found("ONE", ignore_case=True) == ["one"]
    with pytest.raises(InvalidRequestError, match="grep"):
        found("(")
    face.call("delete", task.task_id)


def test_files(face: Face, tmp_path: Path) -> None:
    names = ["a b", "ü", "dir/inner?#%", "line\nbreak"]
    script = """
        mkdir dir
        for name in "$@"; do echo "$name" > "$name"; done
        seq 1 50000 > big
        ln -s big link
    """
    parameters = {"argv": ["sh", "-c", script, "-", *names]}
    task = face.call("submit", {"machine": "command", "parameters": parameters})
    face.call("wait", task.task_id)
    left = {one.path: one for one in face.each("files", task.task_id)}
    assert left.keys() == {*names, "dir", "big", "link"}
    assert {one.path for one in left.values() if one.type == "file"} == {*names, "big"}
    for name in names:
        for which in (name, left[name]):
            assert b"".join(face.each("file", task.task_id, which)) == f"{name}\n".encode()
    big = b"".join(face.each("file", task.task_id, "big"))
    assert big == "".join(f"{number}\n" for number in range(1, 50001)).encode()
    assert left["big"].size == len(big)
    for missing in ("none", "link", "../output.log"):
        with pytest.raises(NotFoundError):
            [*face.each("file", task.task_id, missing)]
    path = tmp_path / "all.tar.gz"
    path.write_bytes(b"".join(face.each("archive", task.task_id)))
    with tarfile.open(path) as packed:
        assert f"{task.task_id}/big" in packed.getnames()
    face.call("delete", task.task_id)


def test_events(face: Face) -> None:
    task = face.call("submit", echo("RETURN 4"))
    face.call("wait", task.task_id)
    mine = [one for one in face.each("events") if one.task_id == task.task_id]
    assert [one.state for one in mine][-2:] == ["running", "exited"]
    assert (mine[-1].outcome, mine[-1].exit_code) == ("failed", 4)
    assert [*face.each("events", cursor="now")] == []
    after = [*face.each("events", cursor=mine[-2].cursor)]
    assert after[0] == mine[-1]
    face.call("delete", task.task_id)
    for event in face.each("events", cursor=mine[-1].cursor, follow=True):
        if event.task_id == task.task_id:
            assert event.state == "deleted"
            break
    with pytest.raises(CursorGoneError):
        [*face.each("events", cursor="deadbeef-7")]


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_there_is_told_at_once_or_waited_for(kind: str, port: int) -> None:
    with (
        face_of(kind, f"http://127.0.0.1:{port}", patience=0) as face,
        pytest.raises(NodeUnreachableError, match=f"no node answers at http://127.0.0.1:{port}"),
    ):
        face.call("get", "x")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_node_is_told_as_such(kind: str, node_for_all: Node) -> None:
    answers = {
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello": ProtocolError,
        b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a":"b"}': ProtocolError,
        b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nbad\n": RefusedError,
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n": ProtocolError,
        b"SSH-2.0-OpenSSH_9.2\r\n": NodeUnreachableError,
    }
    with flaky_proxy(node_for_all.port) as proxy, face_of(kind, proxy.url, patience=0) as face:
        for answer, error in answers.items():
            proxy.plan([Say(answer)])
            with pytest.raises(error) as caught:
                face.call("get", "x")
            assert isinstance(caught.value, ClientError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unix_socket(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    with (
        running_node(tmp_path / "work", "gunicorn", "-b", f"unix:{path}"),
        face_of(kind, f"unix://{path}") as face,
    ):
        assert face.call("submit", echo()).task_id


def test_an_impossible_url() -> None:
    for url in ("localhost:8000", "ftp://x", "unix://x/y", "http://"):
        for kind in (Client, AsyncClient):
            with pytest.raises(ValueError, match="is none of http://HOST:PORT"):
                kind(url)


def test_certificates(tmp_path: Path) -> None:
    """A node that demands a certificate, and is trusted by its own."""
    authority = trustme.CA()
    files = [str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem")]
    authority.cert_pem.write_to_path(files[0])
    server = authority.issue_cert("localhost")
    server.cert_chain_pems[0].write_to_path(files[1])
    server.private_key_pem.write_to_path(files[2])
    mine = ssl.create_default_context()
    authority.configure_trust(mine)
    authority.issue_cert("me@example.org").configure_cert(mine)
    options = ["--ca-certs", files[0], "--certfile", files[1], "--keyfile", files[2]]
    node = Node(tmp_path / "work", "gunicorn", *options, "--cert-reqs", "2")
    node.http = httpx2.Client(base_url=f"https://localhost:{node.port}", verify=mine, timeout=30)
    try:
        node.start()
        for kind in KINDS:
            with face_of(kind, f"https://localhost:{node.port}", ssl_context=mine) as face:
                assert face.call("submit", echo()).task_id
            with (
                face_of(kind, f"https://localhost:{node.port}") as face,
                pytest.raises(NodeNotTrustedError, match="certificate"),
            ):
                face.call("get", "x")
    finally:
        node.close()
