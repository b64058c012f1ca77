"""A search finds what a search line by line finds, wherever the log is cut, and always ends."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task_runner.lib.errors import ValidationError
from task_runner.service.logs.follower import extent_of
from task_runner.service.logs.lines import MAX_ENTRIES, MAX_LINE, Head, cut, encode
from task_runner.service.logs.log_file import Wanted, read_entries
from task_runner.service.logs.search import MAX_PATTERN, Part, Search, find

RECORD = b"2026-11-23T17:20:00.123456+00:00 WARNING [app] careful\n"


def no_time(_offset: int) -> str | None:
    return None


def search(data: bytes, pattern: str, block: int = 1 << 20, **options: Any) -> list[dict[str, Any]]:
    """Search a log block by block, as the stream does."""
    most = options.pop("most", MAX_ENTRIES)
    lowest = options.pop("lowest", 0)
    wanted = Search(pattern, **options)
    position, head, found = 0, None, b""
    while position < len(data):
        before = min(position, 1)
        part = Part(
            data[position - before : position + block],
            position - before,
            no_time,
            position + block >= len(data),
        )
        batch = find(part, before, head, wanted, lowest=lowest, most=most)
        if batch.position == position:
            block *= 2
        found += batch.json
        _, position, head, count = batch
        assert count <= most
    return [json.loads(line) for line in found.splitlines()]


def messages(data: bytes, pattern: str, **options: Any) -> list[str]:
    return [entry["message"] for entry in search(data, pattern, **options)]


LINES = st.lists(
    st.text("abA.^$ é\r", max_size=5).map(str.encode) | st.just(b"\xff\0"), max_size=12
)
PATTERNS = st.sampled_from(
    ["a", "^a", "b$", "^$", "a.b", "[^a]", "", "a*$", r"\s", r"\bab\b", "(a|b)+$", r"\Aa", r"b\z"]
)


@settings(max_examples=300)
@given(LINES, st.booleans(), PATTERNS, st.integers(1, 40))
def test_it_finds_what_a_search_line_by_line_finds(
    lines: list[bytes], ends: bool, pattern: str, block: int
) -> None:
    data = b"\n".join(lines) + b"\n" * ends
    own = re.compile(pattern.replace(r"\z", r"\Z").encode())
    whole = encode(data, 0, None, no_time, final=True).json.splitlines()
    pieces = list(cut(data, final=True))
    expected = [
        {"start": begin, **json.loads(line)}
        for (begin, end), line in zip(pieces, whole, strict=True)
        if own.search(data[begin:end].removesuffix(b"\n").replace("é".encode(), b"~"))
    ]
    assert search(data, pattern, block) == expected


def test_records_lines_and_case() -> None:
    data = b"start\n" + RECORD + b"Careful again\n"
    (entry,) = search(data, "careful")
    assert entry == {
        "start": 6,
        "offset": 6 + len(RECORD),
        "time": "2026-11-23T17:20:00.123456+00:00",
        "level": "WARNING",
        "logger": "app",
        "message": "careful",
    }
    assert messages(data, "careful", ignore_case=True) == ["careful", "Careful again"]
    assert messages(data, "careful|start", lowest=40) == ["start"]
    assert messages(data, "c.reful", literal=True) == []
    assert messages(b"a.b\naxb\n", "a.b", literal=True) == ["a.b"]
    assert messages("Ünïcode\n".encode(), "ünï", ignore_case=True) == ["Ünïcode"]


def test_as_text_the_lines_are_as_they_are() -> None:
    part = Part(b"one\xff\r\ntwo\none", 0, no_time, True)
    assert find(part, 0, None, Search("one", as_text=True)).json == b"one\xff\r\none\n"


def test_a_long_line_is_searched_in_all_its_pieces() -> None:
    line = bytearray(b"x" * (10 * MAX_LINE)) + b"\n"
    line[:3] = b"one"
    line[3 * MAX_LINE - 2 : 3 * MAX_LINE + 2] = b"over"  # two pieces have a part of it
    line[-5:-1] = b"last"
    data = RECORD[:-8] + bytes(line) + RECORD
    found = search(data, "over|last")
    assert [(entry["level"], entry["logger"]) for entry in found] == [("WARNING", "app")] * 2
    assert ["ove" in found[0]["message"], "last" in found[1]["message"]] == [True, True]
    for block in (MAX_LINE + 100, 5 * MAX_LINE):
        assert search(data, "over|last", block) == found
    assert search(data, "^x") == []  # it does not begin at a piece
    assert search(data, "^x", 2 * MAX_LINE) == []


def test_nothing_matches_over_a_line_break() -> None:
    for pattern in ("a\nb", r"a\nb", r"a\sb", "a[^x]b", "(?s:a.b)", r"a\Cb"):
        assert messages(b"a\nb\n", pattern) == [], pattern


def test_an_unfinished_line_is_left_for_later() -> None:
    data = b"one\nother"
    batch = find(Part(data, 0, no_time, False), 0, None, Search("o"))
    assert (batch.position, batch.found) == (4, 1)
    batch = find(Part(data, 0, no_time, True), 0, None, Search("o"))
    assert (batch.position, batch.found) == (9, 2)


def test_in_the_middle_of_a_line() -> None:
    head = Head("t", "ERROR", "l")
    batch = find(Part(b"\0abc\nabc\n", 99, no_time, True), 1, head, Search("abc"))
    first, second = [json.loads(line) for line in batch.json.splitlines()]
    assert (first["start"], first["level"], first["offset"]) == (100, "ERROR", 104)
    assert (second["start"], second["level"], second["offset"]) == (104, None, 108)
    assert find(Part(b"\0abc\n", 99, no_time, True), 1, head, Search("^abc")).found == 0


def test_no_line_begins_where_a_reader_goes_on_in_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (MAX_LINE + 10) + b"\nx\n")
    wanted = Wanted(str(log), str(tmp_path / "idx"), MAX_LINE, None, 0, True, Search("^x"))
    batch = read_entries(extent_of(str(log)), wanted)
    assert [json.loads(line)["start"] for line in batch.json.splitlines()] == [MAX_LINE + 11]


def test_many_matches_come_in_batches() -> None:
    data = b"\n" * (3 * MAX_ENTRIES)
    batch = find(Part(data, 0, no_time, True), 0, None, Search(""))
    assert (batch.found, batch.position) == (MAX_ENTRIES, MAX_ENTRIES)
    assert len(search(data, "")) == 3 * MAX_ENTRIES
    assert len(search(data, "", most=7)) == 3 * MAX_ENTRIES


@pytest.mark.parametrize(
    ("pattern", "column"),
    [
        ("a[bc", 2),
        ("ab(c", None),
        ("a**", 2),
        ("ab(?=c)", 3),
        (r"abc\1", 4),
        ("x{2,1}", 2),
        ("é[z-a]", 3),
        ("\ud800", None),
        ("a" * (MAX_PATTERN + 1), None),
        ("(?:.{0,100}x){0,10}", None),
        (r"(\pL{1000}){1}", None),
        ("(x{1000}){1000}", None),
    ],
)
def test_a_bad_pattern_is_refused_where_it_is_wrong(pattern: str, column: int | None) -> None:
    with pytest.raises(ValidationError) as caught:
        Search(pattern).compiled()
    assert caught.value.field == "grep"
    if column is not None:
        assert (caught.value.line, caught.value.column) == (1, column)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|aa)+$", "(.*a){20}!", "(a?){50}a{50}!", "([a-z]+)*!", ".*.*.*.*=", "a{0,500}!"],
)
def test_patterns_that_others_take_exponential_time_for(pattern: str) -> None:
    data = b"a" * 300_000 + b"!b\n"
    began = time.process_time()
    search(data, pattern)
    assert time.process_time() - began < 20
