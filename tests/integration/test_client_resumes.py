"""The client over connections that break and nodes that are killed: nothing twice, nothing lost."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from task_runner.client import Client, ConflictError, NodeUnreachableError, UnavailableError, retry
from task_runner.client.steps import Pause
from tests.faces import KINDS, Face, face_of
from tests.flaky import Cut, FlakyProxy, Say, flaky_proxy
from tests.node import Node, running_node
from tests.waiting import wait_until

NOT_NOW = b"HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOT_YET = NOT_NOW.replace(b"Retry-After: 1\r\n", b"")
HEAD = 300
"""Fewer bytes than the headers of an answer have."""
ANSWER = 550
"""More bytes than the answer with a log has here, its headers included."""


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)


@pytest.fixture(scope="module")
def proxy(node_for_all: Node) -> Iterator[FlakyProxy]:
    with flaky_proxy(node_for_all.port) as proxy:
        yield proxy


@pytest.fixture(params=KINDS)
def face(request: pytest.FixtureRequest, proxy: FlakyProxy) -> Iterator[Face]:
    with face_of(request.param, proxy.url) as face:
        yield face


def places(face: Face) -> list[int]:
    """Give where to cut: at every byte of the body once. Both faces share what deals with it."""
    every = [*range(0, HEAD, 11), *range(HEAD, ANSWER)]
    return every if isinstance(face.client, Client) else every[::13]


@pytest.fixture(scope="module")
def done(node_for_all: Node) -> str:
    task = node_for_all.submit(parameters=["ECHO a", "LOG INFO bc", "ECHO ünï"])
    node_for_all.result(task)
    return task


def test_logs_cut_at_every_byte(
    face: Face, proxy: FlakyProxy, node_for_all: Node, done: str
) -> None:
    log = node_for_all.log_of(done)
    for after in places(face):
        proxy.plan([Cut(after)])
        assert b"".join(face.each("logs", done, follow=True)) == log, after
        assert proxy.connections == 2


def test_entries_cut_at_every_byte(face: Face, proxy: FlakyProxy, done: str) -> None:
    whole = [*face.each("entries", done)]
    assert [entry.message for entry in whole] == ["a", "bc", "ünï"]
    for after in places(face):
        proxy.plan([Cut(after), Cut(after + 3)])
        assert [*face.each("entries", done, follow=True)] == whole, after


def test_a_tail_goes_on_where_it_began(face: Face, proxy: FlakyProxy, done: str) -> None:
    for after in range(150, ANSWER, 5):
        proxy.plan([Cut(after)])
        assert b"".join(face.each("logs", done, tail=1)) == "ünï\n".encode(), after


def test_a_file_cut_at_every_byte(face: Face, proxy: FlakyProxy, node_for_all: Node) -> None:
    task = node_for_all.sh("seq 1 20 > numbers")
    node_for_all.result(task)
    numbers = "".join(f"{number}\n" for number in range(1, 21)).encode()
    for after in places(face)[::2]:
        proxy.plan([Cut(after), Cut(after + 7)])
        assert b"".join(face.each("file", task, "numbers")) == numbers, after
    proxy.plan([Cut(650)])  # behind the head
    with (node_for_all.directory(task) / "files" / "numbers").open("w") as file:
        file.write("x" * 5000)
    blocks = face.each("file", task, "numbers")
    assert set(next(blocks)) == {ord("x")}
    (node_for_all.directory(task) / "files" / "numbers").write_text("y" * 5000)
    with pytest.raises(ConflictError, match="has changed while it was read"):
        next(blocks)


def test_a_search_that_has_taken_long_enough_goes_on(
    face: Face, proxy: FlakyProxy, node_for_all: Node, done: str
) -> None:
    place = node_for_all.log_of(done).index(b"\n") + 1
    body = f'{{"more":true,"offset":{place}}}\n'
    head = f"HTTP/1.1 200 OK\r\nLog-Offset: 0\r\nContent-Length: {len(body)}\r\n\r\n"
    proxy.plan([Say(f"{head}{body}".encode())])
    assert [entry.message for entry in face.each("entries", done, grep=".")] == ["bc", "ünï"]


def test_events_cut_at_every_byte(face: Face, proxy: FlakyProxy) -> None:
    proxy.plan([])
    whole = [*face.each("events")]
    for after in places(face):
        proxy.plan([Cut(after), Cut(after + 5)])
        assert [*face.each("events")] == whole, after


def test_a_task_is_started_once_however_often_it_is_sent(
    face: Face, proxy: FlakyProxy, node_for_all: Node
) -> None:
    before = node_for_all.states().keys()
    for after in (0, 1, 40, 100, 200):
        proxy.plan([Cut(after), Cut(after), Say(NOT_YET)])
        task = face.call("submit", {"machine": "echo", "parameters": []})
        added = node_for_all.states().keys() - before
        assert added == {task.task_id}
        face.call("wait", task.task_id)
        proxy.plan([Cut(0), Cut(after)])
        face.call("delete", task.task_id)  # also when the answer to the first request was lost
        assert node_for_all.states().keys() == before


def test_not_now_is_waited_for_as_long_as_it_says(
    face: Face, proxy: FlakyProxy, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> Pause:
        pauses.append(seconds)
        return Pause(0)

    monkeypatch.setattr(retry, "Pause", pause)
    proxy.plan([Say(NOT_NOW), Say(NOT_NOW)])
    assert face.call("get", done).task_id == done
    assert pauses == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_patience_ends(kind: str, proxy: FlakyProxy, done: str) -> None:
    with face_of(kind, proxy.url, patience=0.9) as face:
        proxy.plan([Say(NOT_NOW)] * 2)
        with pytest.raises(UnavailableError):
            face.call("get", done)
        assert proxy.connections == 1
        proxy.plan([Cut(0)] * 1000)
        with pytest.raises(NodeUnreachableError, match=r"the connection to .* broke"):
            face.call("get", done)
        assert 3 <= proxy.connections < 1000
    proxy.plan([])


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_ends_in_time_without_a_node(kind: str, proxy: FlakyProxy, done: str) -> None:
    for states in ((), ("running",)):
        with face_of(kind, proxy.url, patience=3600) as face:
            proxy.plan([Cut(0)] * 100_000)
            begin = time.monotonic()
            with pytest.raises(NodeUnreachableError):
                face.call("wait", done, timeout=0.5, states=states)
            assert time.monotonic() - begin < 30
    proxy.plan([])


COUNT = 300
SLOWLY = f'i=0; while [ $i -lt {COUNT} ]; do i=$((i+1)); echo "line $i"; sleep 0.02; done'


def test_a_node_killed_again_and_again_under_everything(tmp_path: Path) -> None:
    with running_node(tmp_path / "work") as node:
        task = node.sh(SLOWLY)
        found: dict[str, list[Any]] = {}
        threads = [
            threading.Thread(target=work, args=(found, node, task), daemon=True)
            for kind in KINDS
            for work in readers(kind)
        ]
        for thread in threads:
            thread.start()
        for part in (1, 2, 3):
            wait_until(lambda: f"line {part * COUNT // 5}\n" in node.output(task))  # noqa: B023
            node.kill()
            node.start()
        for thread in threads:
            thread.join(60)
        log = node.output(task)
        assert log.count("\n") == COUNT
        states = [(event["state"]) for event in node.events() if event["taskId"] == task]
    for kind in KINDS:
        assert b"".join(found[f"{kind} logs"]) == log.encode()
        assert found[f"{kind} entries"] == log.splitlines()
        assert found[f"{kind} wait"] == ["exited"]
        assert found[f"{kind} events"] == states


def readers(kind: str) -> Iterator[Callable[[dict[str, list[Any]], Node, str], None]]:
    """Give what reads everything of a task until it is over, each with a client of its own."""

    def reading(
        name: str, read: Callable[[Face, str], Iterator[object]]
    ) -> Callable[[dict[str, list[Any]], Node, str], None]:
        def work(found: dict[str, list[Any]], node: Node, task: str) -> None:
            with face_of(kind, f"http://127.0.0.1:{node.port}", patience=60) as face:
                found[f"{kind} {name}"] = [*read(face, task)]

        return work

    yield reading("logs", lambda face, task: face.each("logs", task, follow=True))
    yield reading("entries", messages)
    yield reading("wait", lambda face, task: iter([face.call("wait", task).state]))
    yield reading("events", states_until_over)


def messages(face: Face, task: str) -> Iterator[object]:
    for entry in face.each("entries", task, follow=True):
        yield entry.message


def states_until_over(face: Face, task: str) -> Iterator[object]:
    for event in face.each("events", follow=True):
        if event.task_id == task:
            yield event.state
            if event.state == "exited":
                return
