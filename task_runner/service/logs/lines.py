"""From the bytes of a log to entries: where lines end, what they say, and when they came."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from json.encoder import encode_basestring
from typing import NamedTuple

MAX_LINE = 64 << 10
"""Bytes of a line in one entry; a longer line becomes several entries."""
MAX_ENTRIES = 2048
"""Entries in one batch: bounds the memory that a block of empty lines turns into."""
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

_RECORD = re.compile(  # see LOG_FORMAT in lib/python_machine.py
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\+00:00)"
    r" (Level -?[0-9]{1,9}|[^\s\[\]]+) \[([^\]]*)\] (.*)",
    re.DOTALL,
)
# str.splitlines and what is built on it would see several lines in one of NDJSON.
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Head(NamedTuple):
    """What the beginning of a line says of all its pieces."""

    time: str | None
    level: str | None
    logger: str | None


class Entry(NamedTuple):
    """A line, or a piece of a long one; `offset` is that of the byte after it."""

    offset: int
    time: str | None
    level: str | None
    logger: str | None
    message: str

    def to_json(self) -> bytes:
        """Return a line of NDJSON in UTF-8."""
        text = (
            f'{{"offset":{self.offset},"time":{_quoted(self.time)},'
            f'"level":{_quoted(self.level)},"logger":{_quoted(self.logger)},'
            f'"message":{encode_basestring(self.message)}}}\n'
        )
        return (text if text.isascii() else _on_one_line(text)).encode()

    def to_json_from(self, start: int) -> bytes:
        """Return the same with the place of its first byte: what is before it may be left out."""
        return b'{"start":%d,%b' % (start, self.to_json()[1:])


class Batch(NamedTuple):
    """NDJSON, where to go on, and the head of the line when that is in the middle of one."""

    json: bytes
    position: int
    head: Head | None
    found: int = 0
    """How many entries there are; only a search counts them."""


def _on_one_line(text: str) -> str:
    for character, escaped in _LINE_ENDS.items():
        text = text.replace(character, escaped)
    return text


def _quoted(text: str | None) -> str:
    return "null" if text is None else encode_basestring(text)


def parse_line(line: bytes, end_offset: int, time: str | None) -> Entry:
    r"""Return the entry of a line (its "\n" or "\r\n" included, if it has one).

    A log record brings its own time, level and logger. Any other line has the given time (RFC
    3339) and neither level nor logger. Bytes that are no UTF-8 are replaced.
    """
    text = _message(line)
    record = _RECORD.match(text)
    if record is None:
        return Entry(end_offset, time, None, None, text)
    return Entry(end_offset, *record.groups())


def entry_of(piece: bytes, end_offset: int, time: str | None, head: Head | None) -> Entry:
    """Return the entry of a line, or of a later piece of one whose head is known."""
    if head is None:
        return parse_line(piece, end_offset, time)
    return Entry(end_offset, *head, _message(piece))


def _message(line: bytes) -> str:
    if line.endswith(b"\n"):
        line = line[: -2 if line.endswith(b"\r\n") else -1]
    return line.decode(errors="replace")


def is_shown(level: str | None, lowest: int) -> bool:
    """Say whether an entry passes a filter; `lowest` is one of the numbers in LEVELS, or 0.

    What has no level is the output of a program (or a further line of a record, as of a
    traceback) and always shown, and so is a level whose rank nobody knows.
    """
    if level is None or not lowest:
        return True
    rank = LEVELS.get(level)
    if rank is None:
        rank = int(level[6:]) if level.startswith("Level ") else lowest
    return rank >= lowest


def cut(data: bytes, begin: int = 0, *, final: bool) -> Iterator[tuple[int, int]]:
    """Give begin and end of every entry in `data` from `begin` on, where one begins.

    A last line without its end is left out, unless `final` says that nothing will follow. How a
    long line is cut depends on nothing but where the first piece begins, so that a client who
    resumes at the offset of an entry gets the same ones again.
    """
    while begin < len(data):
        end = data.find(b"\n", begin, begin + MAX_LINE + 1) + 1
        if not end:
            end = _end_of_piece(data, begin, final=final)
            if end == begin:
                return
        yield begin, end
        begin = end


def _end_of_piece(data: bytes, begin: int, *, final: bool) -> int:
    if len(data) - begin > MAX_LINE:
        return _before_character(data, begin + MAX_LINE)
    return len(data) if final else begin


def _before_character(data: bytes, end: int) -> int:
    """Return `end`, or the start of the UTF-8 character that it is in the middle of."""
    if data[end] & 0xC0 != 0x80:
        return end
    for start in range(end - 1, end - 4, -1):
        if data[start] & 0xC0 == 0xC0:
            return start
    return end  # no UTF-8 at all


def encode(
    data: bytes,
    position: int,
    head: Head | None,
    time_at: Callable[[int], str | None],
    *,
    lowest: int = 0,
    final: bool = False,
) -> Batch:
    """Turn the bytes of a log from `position` on into NDJSON, at most MAX_ENTRIES of it.

    `head` is that of the line when `position` is in the middle of one; all its pieces have the
    time, level and logger of its beginning. `time_at` is asked for ascending offsets.
    """
    lines = []
    end = 0
    for begin, end in islice(cut(data, final=final), MAX_ENTRIES):
        piece, offset = data[begin:end], position + end
        entry = entry_of(piece, offset, time_at(position + begin), head)
        head = None if piece.endswith(b"\n") else Head(*entry[1:4])
        if is_shown(entry.level, lowest):
            lines.append(entry.to_json_from(position + begin) if lowest else entry.to_json())
    return Batch(b"".join(lines), position + end, head)
