"""Logs of more than 2 GiB, which are sparse here, and lines of 10 MB over a kill of the service."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.node import Node
from tests.unit.test_output import Pump
from tests.waiting import wait_until

LARGE = (1 << 32) + (1 << 31)
LINE = 10_000_000


def grow(path: Path, end: bytes) -> None:
    """Let a log have LARGE bytes before these; what was there stays."""
    with path.open("r+b") as file:
        file.truncate(LARGE)
        file.seek(LARGE)
        file.write(end)


def test_a_log_goes_on_behind_4_gib(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    grow(tmp_path / "log", b"")
    pump = Pump(tmp_path, limit=LARGE + 5)
    pump.say(b"above")
    pump.say(b"beyond")
    while pump.moves():
        pass
    pump.output.complete()
    assert pump.output.size == LARGE + 11
    with pump.log.open("rb") as file:
        file.seek(LARGE)
        assert file.read() == b"abovebeyond"
    assert pump.marks() == [(LARGE, pump.marks()[0][1])]
    pump.close()


def test_a_large_log_is_read_at_its_end(node: Node) -> None:
    task = node.submit("echo", ["ECHO first"])
    node.result(task)
    grow(node.directory(task) / "output.log", b"\nlast but one\nlast\n")
    path = f"/v1/tasks/{task}/log"
    assert node.log_of(task, tail=1) == b"last\n"
    assert node.log_of(task, offset=LARGE + 14) == b"last\n"
    part = node.http.get(path, headers={"Range": f"bytes={LARGE + 1}-{LARGE + 4}"})
    assert part.content == b"last"
    assert part.headers["content-range"] == f"bytes {LARGE + 1}-{LARGE + 4}/{LARGE + 19}"
    head = node.http.head(path)
    assert head.headers["content-length"] == str(LARGE + 19)
    accept = {"Accept": "application/x-ndjson"}
    lines = node.http.get(path, params={"tail": 2}, headers=accept).text.splitlines()
    entries = [json.loads(line) for line in lines]
    assert [one.get("message") for one in entries] == ["last but one", "last", None]
    assert entries[1]["offset"] == LARGE + 19


@pytest.mark.parametrize("accept", ["text/plain", "application/x-ndjson"])
def test_long_lines_and_odd_bytes_over_a_kill_of_the_service(node: Node, accept: str) -> None:
    script = (
        f"line() {{ head -c {LINE} /dev/zero | tr '\\0' $1; echo; }}; line a; line b; "
        "until [ -e go ]; do sleep 0.02; done; line c; printf '\\377\\376\\000\\r\\000'"
    )
    task = node.submit("command", {"script": script})
    expected = b"".join(letter * LINE + b"\n" for letter in (b"a", b"b", b"c"))
    expected += b"\xff\xfe\0\r\0"
    wait_until(lambda: (node.directory(task) / "output.log").stat().st_size == 2 * LINE + 2)
    seen, offset = read(node, task, accept, 0, until=LINE + LINE // 2)
    node.kill()
    node.start()
    (node.directory(task) / "files/go").touch()
    rest, offset = read(node, task, accept, offset, until=None)
    assert offset == len(expected)
    if accept == "text/plain":
        assert seen + rest == expected
    else:
        assert seen + rest == expected.replace(b"\n", b"").decode(errors="replace").encode()


def read(
    node: Node, task: str, accept: str, offset: int, *, until: int | None
) -> tuple[bytes, int]:
    """Follow a log up to a place, or its end; return what came, and where to go on."""
    params = {"follow": "true", "offset": str(offset)}
    seen = []
    with node.http.stream(
        "GET", f"/v1/tasks/{task}/log", params=params, headers={"Accept": accept}
    ) as answer:
        for data, place in pieces(answer, offset):
            seen.append(data)
            offset = place
            if until is not None and offset >= until:
                break
    return b"".join(seen), offset


def pieces(answer: httpx2.Response, offset: int) -> Iterator[tuple[bytes, int]]:
    """Give bytes, or the messages of entries, each with the place after it."""
    if answer.headers["content-type"].startswith("text/plain"):
        for block in answer.iter_bytes():
            offset += len(block)
            yield block, offset
        return
    for line in answer.iter_lines():
        entry = json.loads(line)
        if "end" not in entry:
            yield entry["message"].encode(), entry["offset"]
