import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from task_runner.lib.clock import timestamp
from task_runner.lib.output import MARK
from task_runner.service.logs import lines as lines_module
from task_runner.service.logs.lines import LEVELS, Entry, Head, cut, encode, is_shown, parse_line
from task_runner.service.logs.log_file import MARKS_AT_ONCE, Marks, open_or_empty

STAMP = "2026-11-23T17:20:00.123456+00:00"
SHORT = 16
"""MAX_LINE of most tests here."""


@pytest.mark.parametrize(
    ("line", "level", "logger", "message"),
    [
        (" WARNING [a.b] it is late\n", "WARNING", "a.b", "it is late"),
        (" DEBUG [root] \n", "DEBUG", "root", ""),
        (" INFO [a] [b] c\r\n", "INFO", "a", "[b] c"),
        (" Level 25 [a] b", "Level 25", "a", "b"),
        (" NOTICE [a] b\rc", "NOTICE", "a", "b\rc"),
    ],
)
def test_a_log_record(line: str, level: str, logger: str, message: str) -> None:
    entry = parse_line((STAMP + line).encode(), 99, "another time")
    assert entry == Entry(99, STAMP, level, logger, message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"hello\n", "hello"),
        (b"hello\r\n", "hello"),
        (b"a\rb\r\r\n", "a\rb\r"),
        (b"\n", ""),
        (b"hello", "hello"),
        (b"hello\r", "hello\r"),
        (b"a\0b\xff\xc3\n", "a\0b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (f"{STAMP} WARNING no logger\n".encode(), f"{STAMP} WARNING no logger"),
        (f" {STAMP} INFO [a] b\n".encode(), f" {STAMP} INFO [a] b"),
        (f"{STAMP} INFO [a]b\n".encode(), f"{STAMP} INFO [a]b"),
        (f"{STAMP} Level {'9' * 5000} [a] b".encode(), f"{STAMP} Level {'9' * 5000} [a] b"),
    ],
)
def test_any_other_line(line: bytes, message: str) -> None:
    assert parse_line(line, 7, "then") == Entry(7, "then", None, None, message)


@given(st.text(), st.none() | st.text(), st.none() | st.text())
@example("a\x85b\u2028c\u2029d\x0b\x0c\x1c", None, "\u2028")
def test_json_is_one_line_however_lines_are_told(
    message: str, level: str | None, logger: str | None
) -> None:
    entry = Entry(12, None, level, logger, message.encode(errors="replace").decode())
    data = entry.to_json()
    assert json.loads(data) == entry._asdict()
    assert list(json.loads(data)) == ["offset", "time", "level", "logger", "message"]
    assert len(data.decode().splitlines()) == 1
    assert data.endswith(b"}\n")


@pytest.mark.parametrize("lowest", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def test_levels(lowest: str) -> None:
    shown = [level for level in LEVELS if is_shown(level, LEVELS[lowest])]
    assert shown == list(LEVELS)[list(LEVELS).index(lowest) :]
    assert is_shown(None, LEVELS[lowest])
    assert is_shown("NOTICE", LEVELS[lowest])


def test_levels_without_a_name() -> None:
    assert is_shown("Level 35", 30)
    assert not is_shown("Level 25", 30)
    assert not is_shown("Level -1", 10)
    assert is_shown("Level -1", 0)


def short_lines() -> Iterator[None]:
    with mock.patch.object(lines_module, "MAX_LINE", SHORT):
        yield


short = pytest.fixture(short_lines)

PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"\0", b"a", "ä€😀".encode(), b"\xf0\x9f", b"b" * 9]
)
LOGS = st.binary(max_size=80) | st.lists(PIECES, max_size=60).map(b"".join)


@given(LOGS, st.booleans())
def test_entries_are_the_log(data: bytes, final: bool) -> None:
    with mock.patch.object(lines_module, "MAX_LINE", SHORT):
        spans = list(cut(data, final=final))
    ends = [end for _, end in spans]
    assert [begin for begin, _ in spans] == [0, *ends][: len(spans)]
    pieces = [data[begin:end] for begin, end in spans]
    rest = data[ends[-1] if ends else 0 :]
    assert all(0 < len(piece) <= SHORT + 1 and b"\n" not in piece[:-1] for piece in pieces)
    assert all(piece.endswith(b"\n") or len(piece) > SHORT - 4 for piece in pieces[:-1])
    assert rest == b"" if final else (len(rest) <= SHORT and b"\n" not in rest)


@given(LOGS)
def test_entries_do_not_depend_on_when_they_are_read(data: bytes) -> None:
    with mock.patch.object(lines_module, "MAX_LINE", SHORT):
        whole = list(cut(data, final=True))
        for size in range(len(data)):
            early = list(cut(data[:size], final=False))
            assert early == whole[: len(early)]
        for begin, _ in whole:
            again = [(a + begin, b + begin) for a, b in cut(data[begin:], final=True)]
            assert again == [span for span in whole if span[0] >= begin]


@given(st.text(st.sampled_from("aä€😀"), max_size=60))
def test_no_character_is_cut(text: str) -> None:
    data = text.encode()
    with mock.patch.object(lines_module, "MAX_LINE", SHORT):
        spans = list(cut(data, final=True))
    assert "".join(data[begin:end].decode() for begin, end in spans) == text


def test_a_line_of_exactly_the_limit_is_one_entry(short: None) -> None:
    assert list(cut(b"a" * SHORT + b"\nb\n", final=False)) == [(0, SHORT + 1), (17, 19)]
    assert list(cut(b"a" * SHORT, final=False)) == []
    assert list(cut(b"a" * (SHORT + 1), final=False)) == [(0, SHORT)]


def test_all_pieces_of_a_line_have_what_its_beginning_says() -> None:
    line = f"{STAMP} INFO [a] ".encode() + b"b" * 100
    data = line + b"\nplain\n"
    with mock.patch.object(lines_module, "MAX_LINE", 64):
        batch = encode(data, 1000, None, str)
        hidden = encode(data, 1000, None, str, lowest=LEVELS["ERROR"])
    entries = [Entry(**json.loads(entry)) for entry in batch.json.splitlines()]
    assert [entry.offset for entry in entries] == [
        1064,
        1128,
        1000 + len(line) + 1,
        1000 + len(data),
    ]
    assert {entry[1:4] for entry in entries[:-1]} == {(STAMP, "INFO", "a")}
    assert "".join(entry.message for entry in entries[:-1]) == "b" * 100
    assert entries[-1][1:] == (str(1000 + len(line) + 1), None, None, "plain")
    assert hidden.json.count(b"\n") == 1
    assert (batch.position, batch.head) == (1000 + len(data), None)


def test_the_head_of_an_unfinished_line_is_handed_on(short: None) -> None:
    first = encode(b"a" * 20, 0, None, str)
    assert (first.position, first.head) == (SHORT, Head("0", None, None))
    # What follows is no record, although it looks like one.
    rest = f"{STAMP} INFO [a] b\n".encode()
    with mock.patch.object(lines_module, "MAX_LINE", 64):
        second = encode(rest, first.position, first.head, str)
    assert json.loads(second.json)["message"] == rest.decode().rstrip()
    assert json.loads(second.json)["level"] is None
    assert second.head is None


def test_a_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "MAX_ENTRIES", 3)
    batch = encode(b"\n" * 10, 5, None, str)
    assert (batch.json.count(b"\n"), batch.position) == (3, 8)


def write_marks(path: Path, marks: list[tuple[int, int]], rest: bytes = b"") -> None:
    path.write_bytes(b"".join(MARK.pack(*mark) for mark in marks) + rest)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50)), max_size=20),
    st.binary(max_size=MARK.size - 1),
)
def test_marks(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]], rest: bytes
) -> None:
    marks = []
    offset, time = 0, 1_700_000_000_000_000
    for grown, passed in steps:
        offset, time = offset + grown, time + passed
        marks.append((offset, time))
    path = tmp_path_factory.getbasetemp() / "marks.idx"
    write_marks(path, marks, rest)
    with open_or_empty(str(path)) as fd:
        reader = Marks(fd)
        assert len(reader) == len(marks)
        streamed = reader.times_from(0)
        for at in range(offset + 2):
            known = [came for begin, came in marks if begin <= at]
            expected = known[-1] / 1_000_000 if known else None
            text = None if expected is None else timestamp(expected)
            assert reader.time_at(at) == expected
            assert streamed(at) == text
            assert reader.times_from(at)(at) == text
        for _, came in marks:
            assert reader.offset_at(came / 1e6) == next(a for a, b in marks if b >= came)
        assert reader.offset_at(time / 1e6 + 1) is None


def test_many_marks(tmp_path: Path) -> None:
    path = tmp_path / "marks.idx"
    count = 3 * MARKS_AT_ONCE + 1
    write_marks(path, [(number, number * 10_000) for number in range(count)])
    with open_or_empty(str(path)) as fd:
        time_at = Marks(fd).times_from(5)
        assert [time_at(at) for at in range(5, count)] == [
            timestamp(at / 100) for at in range(5, count)
        ]


def test_no_marks(tmp_path: Path) -> None:
    with open_or_empty(str(tmp_path / "absent")) as fd:
        marks = Marks(fd)
        assert (marks.time_at(0), marks.offset_at(0), marks.times_from(0)(0)) == (None, None, None)


@given(st.binary(max_size=200))
def test_a_damaged_index_hides_nothing(
    tmp_path_factory: pytest.TempPathFactory, damaged: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.idx"
    path.write_bytes(damaged)
    with open_or_empty(str(path)) as fd:
        batch = encode(b"a\n" * 99, 0, None, Marks(fd).times_from(0))
        Marks(fd).offset_at(1e9)
    assert batch.json.count(b'"message":"a"}\n') == 99
