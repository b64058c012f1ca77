"""The log over HTTP: as bytes and as entries, whole, in part, live, and resumed anywhere."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.node import Json, Node
from tests.waiting import wait_until

NDJSON = {"Accept": "application/x-ndjson"}
SCRIPT = [
    "ECHO first",
    "LOG WARNING careful: ünïcode",
    "LOG DEBUG detail",
    "ECHO",
    "LOG ERROR bad",
    "ECHO last",
]


def entries(node: Node, task: str, **params: Any) -> list[Json]:
    answer = node.http.get(f"/v1/tasks/{task}/log", params=params, headers=NDJSON)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="module")
def done(node_for_all: Node) -> str:
    """Give a task that is over, with a log of every kind of line."""
    task = node_for_all.submit(parameters=SCRIPT)
    node_for_all.result(task)
    return task


def raw(node: Node, task: str) -> bytes:
    return (node.directory(task) / "output.log").read_bytes()


def test_text_is_the_bytes(node_for_all: Node, done: str) -> None:
    answer = node_for_all.http.get(f"/v1/tasks/{done}/log")
    assert answer.content == raw(node_for_all, done)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert node_for_all.log_of(done, follow=True) == answer.content


def test_entries_tell_time_level_and_logger(node_for_all: Node, done: str) -> None:
    *lines, end = entries(node_for_all, done)
    assert [(one["level"], one["message"]) for one in lines] == [
        (None, "first"),
        ("WARNING", "careful: ünïcode"),
        ("DEBUG", "detail"),
        (None, ""),
        ("ERROR", "bad"),
        (None, "last"),
    ]
    assert [one["logger"] for one in lines if one["level"]] == ["echo"] * 3
    assert all(one["time"] for one in lines)
    assert lines[-1]["offset"] == len(raw(node_for_all, done))
    assert end["end"] is True
    assert (end["taskId"], end["outcome"], end["exitCode"]) == (done, "succeeded", 0)


def test_both_kinds_resume_at_every_offset(node_for_all: Node, done: str) -> None:
    log = raw(node_for_all, done)
    *whole, _ = entries(node_for_all, done)
    for offset in range(len(log) + 1):
        assert node_for_all.log_of(done, offset=offset) == log[offset:]
        *rest, end = entries(node_for_all, done, offset=offset)
        assert end["end"]
        after = [one for one in whole if one["offset"] > offset]
        assert [one["offset"] for one in rest] == [one["offset"] for one in after]
        assert rest[1:] == after[1:]


def test_ranges_and_tags(node_for_all: Node, done: str) -> None:
    log, url = raw(node_for_all, done), f"/v1/tasks/{done}/log"
    tag = node_for_all.http.get(url).headers["etag"]

    def get(wanted: str, **headers: str) -> httpx2.Response:
        return node_for_all.http.get(url, headers={"Range": wanted, **headers})

    for wanted, part, first in (
        ("bytes=0-4", log[:5], 0),
        ("bytes=6-", log[6:], 6),
        ("bytes=-7", log[-7:], len(log) - 7),
        ("bytes=3-99999", log[3:], 3),
    ):
        answer = get(wanted)
        assert (answer.status_code, answer.content) == (206, part)
        last = first + len(part) - 1
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(log)}"
    for ignored in ("lines=0-1", "bytes=5-3", "bytes=0-1,4-5", "bytes=-", "nonsense"):
        assert (get(ignored).status_code, get(ignored).content) == (200, log)
    beyond = get(f"bytes={len(log)}-")
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(log)}"
    assert get("bytes=0-4", **{"If-Range": tag}).status_code == 206
    assert get("bytes=0-4", **{"If-Range": '"other"'}).status_code == 200
    assert node_for_all.http.get(url, headers={"If-None-Match": tag}).status_code == 304
    head = node_for_all.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(log))


def test_parts_by_lines_time_and_level(node_for_all: Node, done: str) -> None:
    log = raw(node_for_all, done)
    for count in range(8):
        lines = log.splitlines(keepends=True)
        expected = b"".join(lines[len(lines) - min(count, len(lines)) :])
        assert node_for_all.log_of(done, tail=count) == expected
    *loud, _ = entries(node_for_all, done, level="WARNING")
    assert [one["message"] for one in loud] == ["first", "careful: ünïcode", "", "bad", "last"]
    assert node_for_all.log_of(done, since="2020-01-01T00:00:00Z") == log
    assert node_for_all.log_of(done, since="2100-01-01T00:00:00Z") == b""


@pytest.mark.parametrize(
    "query",
    ["offset=1&tail=1", "offset=-1", "tail=x", "since=now", "level=LOUD", "level=INFO"],
)
def test_odd_parameters_are_refused(node_for_all: Node, done: str, query: str) -> None:
    answer = node_for_all.http.get(f"/v1/tasks/{done}/log?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_since_finds_what_came_later(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = node.sh(f"echo early; until [ -e {gate} ]; do sleep 0.02; done; echo late")
    wait_until(lambda: node.log_of(task) == b"early\n")
    early = entries(node, task)[0]["time"]
    wait_until(lambda: node.view(task)["updatedAt"] is not None)
    gate.touch()
    node.result(task)
    *_, late, _ = entries(node, task)
    assert early < late["time"]
    assert node.log_of(task, since=early).endswith(b"early\nlate\n")
    assert [one["message"] for one in entries(node, task, since=late["time"])[:-1]] == ["late"]


@contextmanager
def following(
    node: Node, task: str, **params: Any
) -> Iterator[tuple[list[Json], threading.Thread]]:
    """Follow the entries of a task in a thread that fills a list."""
    got: list[Json] = []

    def follow() -> None:
        with httpx2.stream(
            "GET",
            f"http://127.0.0.1:{node.port}/v1/tasks/{task}/log",
            params={"follow": True, **params},
            headers=NDJSON,
            timeout=60,
        ) as stream:
            got.extend(json.loads(line) for line in stream.iter_lines())

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield got, thread
    finally:
        thread.join(30)
        assert not thread.is_alive()


def saw(got: list[Json], message: str) -> bool:
    return bool(got) and got[-1].get("message") == message


def test_a_follower_sees_lines_at_once_and_the_end_last(node: Node, tmp_path: Path) -> None:
    gates = [tmp_path / f"gate{i}" for i in range(3)]
    steps = [f"until [ -e {gate} ]; do sleep 0.01; done; echo {gate.name}" for gate in gates]
    task = node.sh("; ".join([*steps, "printf unfinished", "exit 6"]))
    with following(node, task) as (got, thread):
        for gate in gates[:-1]:
            gate.touch()
            wait_until(partial(saw, got, gate.name))
        assert thread.is_alive()
        gates[-1].touch()
    assert [one.get("message") for one in got] == ["gate0", "gate1", "gate2", "unfinished", None]
    assert (got[-1]["end"], got[-1]["exitCode"]) == (True, 6)
    assert got[-2]["offset"] == got[-1]["outputSize"]


def test_a_follower_of_a_waiting_or_silent_task_gets_the_end(node: Node) -> None:
    task = node.submit(parameters=["SLEEP 0.2", "RETURN 1"])
    with following(node, task) as (got, _):
        pass
    assert [(one.get("end"), one.get("exitCode")) for one in got] == [(True, 1)]


def test_a_follower_goes_on_over_a_kill_of_the_service(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = node.sh(
        f"for i in 1 2 3; do echo $i; done; until [ -e {gate} ]; do sleep 0.02; done; echo 4"
    )
    wait_until(lambda: len(entries(node, task)) == 3)
    cursor = entries(node, task)[-1]["offset"]
    node.kill()
    node.start()
    with following(node, task, offset=cursor) as (got, _):
        gate.touch()
    assert [one.get("message") for one in got] == ["4", None]


def test_output_through_dev_stderr_and_odd_bytes(node: Node) -> None:
    task = node.sh(
        "echo one; echo two > /dev/stderr; echo three > /proc/self/fd/1; printf 'a\\000b\\377c\\n'"
    )
    node.result(task)
    assert node.log_of(task) == b"one\ntwo\nthree\na\0b\xffc\n"
    assert [one["message"] for one in entries(node, task)[:-1]] == [
        "one",
        "two",
        "three",
        "a\0b\N{REPLACEMENT CHARACTER}c",
    ]


def test_a_large_log_arrives_whole(node: Node) -> None:
    task = node.sh("head -c 30000000 /dev/urandom | tee copy; exit 0")
    node.result(task)
    digest = hashlib.sha256()
    with node.http.stream("GET", f"/v1/tasks/{task}/log") as stream:
        for block in stream.iter_bytes():
            digest.update(block)
    copy = (node.directory(task) / "files" / "copy").read_bytes()
    assert digest.hexdigest() == hashlib.sha256(copy).hexdigest()


def test_events_can_be_followed_and_resumed(node: Node) -> None:
    first = node.submit(parameters=["ECHO one"])
    node.result(first)
    seen = node.events()
    assert [one["state"] for one in seen] == ["created", "running", "exited"]
    for number, event in enumerate(seen):
        rest = node.http.get("/v1/events", params={"cursor": event["cursor"]}).text.splitlines()
        assert [json.loads(line) for line in rest] == seen[number + 1 :]
    got: list[Json] = []

    def follow() -> None:
        params = {"cursor": seen[-1]["cursor"], "follow": True}
        url = f"http://127.0.0.1:{node.port}/v1/events"
        with httpx2.stream("GET", url, params=params, timeout=60) as stream:
            for line in stream.iter_lines():
                got.append(json.loads(line))
                if got[-1]["state"] == "exited":
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    second = node.submit(parameters=["RETURN 9"])
    thread.join(30)
    assert [(one["taskId"], one["state"], one["exitCode"]) for one in got] == [
        (second, "created", None),
        (second, "running", None),
        (second, "exited", 9),
    ]
    assert node.http.get("/v1/events", params={"cursor": "now"}).text == ""
