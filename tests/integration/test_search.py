"""Searching a log over HTTP: as text and as entries, in part, live, within bounds."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.node import Json, Node
from tests.waiting import wait_until

NDJSON = {"Accept": "application/x-ndjson"}
SCRIPT = ["ECHO one", "LOG WARNING two: Ünïcode", "LOG DEBUG two", "ECHO three", "ECHO two"]


@pytest.fixture(scope="module")
def done(node_for_all: Node) -> str:
    task = node_for_all.submit(parameters=SCRIPT)
    node_for_all.result(task)
    return task


def found(node: Node, task: str, **params: Any) -> list[Json]:
    answer = node.http.get(f"/v1/tasks/{task}/log", params=params, headers=NDJSON)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_lines_that_match_as_text(node_for_all: Node, done: str) -> None:
    lines = node_for_all.log_of(done).splitlines(keepends=True)
    assert node_for_all.log_of(done, grep="two") == b"".join(lines[1:3] + lines[4:])
    assert node_for_all.log_of(done, grep="^t.*e") == lines[3]
    assert node_for_all.log_of(done, grep="TWO") == b""
    assert node_for_all.log_of(done, grep="TWO$", ignoreCase=True) == lines[2] + lines[4]
    assert node_for_all.log_of(done, grep="t.o", literal=True) == b""
    assert node_for_all.log_of(done, grep="two", limit=1) == lines[1]
    assert node_for_all.log_of(done, grep="ünï", ignoreCase=True) == lines[1]


def test_entries_have_both_ends_and_the_log_agrees(node_for_all: Node, done: str) -> None:
    log = node_for_all.log_of(done)
    *entries, end = found(node_for_all, done, grep="two")
    assert [(one["level"], one["message"]) for one in entries] == [
        ("WARNING", "two: Ünïcode"),
        ("DEBUG", "two"),
        (None, "two"),
    ]
    for one in entries:
        assert one["message"] in log[one["start"] : one["offset"]].decode()
        whole = found(node_for_all, done, offset=one["start"])[0]
        assert {"start": one["start"], **whole} == one
    assert end["end"] is True


def test_with_level_tail_since_and_offset(node_for_all: Node, done: str) -> None:
    def messages(**params: Any) -> list[str]:
        return [
            one["message"] for one in found(node_for_all, done, grep="two|three", **params)[:-1]
        ]

    assert messages(level="INFO") == ["two: Ünïcode", "three", "two"]
    assert messages(tail=2) == ["three", "two"]
    assert messages(since="2100-01-01T00:00:00Z") == []
    last = found(node_for_all, done, grep="two")[-2]
    assert messages(offset=last["start"]) == ["two"]
    assert messages(offset=last["offset"]) == []


def test_a_limited_search_goes_on_where_it_says(node_for_all: Node, done: str) -> None:
    seen: list[Json] = []
    last: Json = {"offset": 0}
    for _ in range(3):
        one, last = found(node_for_all, done, grep="two", limit=1, offset=last["offset"])
        assert last == {"more": True, "offset": one["offset"]}
        seen.append(one)
    (end,) = found(node_for_all, done, grep="two", limit=1, offset=last["offset"])
    assert end["end"] is True
    assert seen == found(node_for_all, done, grep="two")[:-1]


@pytest.mark.parametrize(
    ("params", "column"),
    [
        ({"grep": "a("}, 1),
        ({"grep": "ab[c"}, 3),
        ({"grep": "x(?=y)"}, 2),
        ({"grep": "(x{1000}){1000}"}, 3),
        ({"grep": "x" * 2000}, None),
        ({"literal": True}, None),
        ({"ignoreCase": True}, None),
        ({"limit": 5}, None),
        ({"grep": "a", "limit": 0}, None),
    ],
)
def test_what_cannot_be_searched_for(
    node_for_all: Node, done: str, params: dict[str, Any], column: int | None
) -> None:
    answer = node_for_all.http.get(f"/v1/tasks/{done}/log", params=params)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == ("limit" if params.get("limit") == 0 else "grep")
    assert error.get("column") == column


def test_a_search_can_be_followed(node: Node, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = node.sh(f"echo a1; echo b; until [ -e {gate} ]; do sleep 0.02; done; echo c; echo a2")
    got: list[Json] = []

    def follow() -> None:
        url = f"http://127.0.0.1:{node.port}/v1/tasks/{task}/log"
        url += "?follow=true&grep=^a"
        with httpx2.stream("GET", url, headers=NDJSON, timeout=60) as stream:
            got.extend(json.loads(line) for line in stream.iter_lines())

    thread = threading.Thread(target=follow)
    thread.start()
    wait_until(lambda: got)
    gate.touch()
    thread.join(30)
    assert [one.get("message") for one in got] == ["a1", "a2", None]
    assert got[-1]["end"] is True


def test_separate_standard_error_is_searched_on_its_own(node: Node) -> None:
    task = node.sh("echo out a; echo err a >&2; echo err b >&2", stderr="separate")
    node.result(task)
    assert node.log_of(task, grep="a") == b"out a\n"
    assert node.log_of(task, grep="a", stream="stderr") == b"err a\n"


def test_a_long_line_and_binary_output(node: Node) -> None:
    task = node.sh(
        "head -c 10000000 /dev/zero | tr '\\0' x; echo needle; head -c 300000 /dev/urandom;"
        " printf '\\nneedle\\000\\377\\n'"
    )
    node.result(task)
    log = node.log_of(task)
    *entries, _ = found(node, task, grep="needle")
    assert [log[one["start"] : one["offset"]].count(b"needle") for one in entries] == [1, 1]
    assert entries[-1]["message"] == "needle\0\N{REPLACEMENT CHARACTER}"
    assert max(len(one["message"]) for one in entries) <= 65536


def test_hard_searches_keep_nobody_waiting(node: Node) -> None:
    """A client that asks for what takes long, many times, and others who just want to read."""
    task = node.sh("head -c 20000000 /dev/zero | tr '\\0' 'a'")
    node.result(task)
    url = f"http://127.0.0.1:{node.port}/v1/tasks/{task}/log"
    hard = "(.*a){1,15}.{150}!"

    def search(_number: int) -> None:
        with httpx2.stream("GET", url, params={"grep": hard}, headers=NDJSON, timeout=60):
            pass

    with ThreadPoolExecutor(8) as clients:
        searches = [clients.submit(search, number) for number in range(8)]
        quick = node.submit(parameters=["ECHO hi"])
        assert node.log_of(quick, follow=True) == b"hi\n"
        assert node.log_of(task, offset=19_999_990) == b"a" * 10
    for search_of_one in searches:
        search_of_one.result()
