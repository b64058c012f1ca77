"""Which entries of a log match a pattern, whatever the pattern is.

Patterns come from clients, and Python's `re` can take exponential time for some. RE2 never does:
its time is linear in the log, its memory is bounded, and other threads run meanwhile. How steep the
line is depends on the size of the compiled pattern, which is bounded too. See
https://github.com/google/re2/wiki/WhyRE2 and, for what a pattern can be, .../re2/wiki/Syntax.

Many lines are searched at once, which is what makes this fast. A pattern matches within a line all
the same: RE2 is told never to match a line break, and `^` and `$` are the ends of lines.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from task_runner.lib.errors import ValidationError
from task_runner.service.logs.lines import (
    MAX_ENTRIES,
    MAX_LINE,
    Batch,
    Entry,
    Head,
    cut,
    entry_of,
    is_shown,
    parse_line,
)

MAX_PATTERN = 1000
MAX_SECONDS = 20.0
"""Of searching, waiting for a free thread included; then the client is told where to go on."""
MAX_PROGRAM = 2000
"""Instructions of a compiled pattern; at worst, a block of 1 MiB takes some seconds."""
FIELD = "grep"
_OF_LINES = {r"\A": "^", r"\z": "$", r"\C": "."}
"""What would mean something else where many lines are searched at once."""

Times = Callable[[int], str | None]


class Search(NamedTuple):
    """What is searched for, and what is given: entries, or the lines as they are.

    `literal` says that the pattern is a text and no expression.
    """

    pattern: str
    literal: bool = False
    ignore_case: bool = False
    as_text: bool = False

    def compiled(self) -> Any:
        """Return the object of RE2. Raises ValidationError with the place of what is wrong."""
        return _compiled(self)


@lru_cache(16)
def _compiled(search: Search) -> Any:
    if len(search.pattern) > MAX_PATTERN:
        raise ValidationError(f"it is longer than {MAX_PATTERN} characters", FIELD)
    options = re2.Options()
    options.literal = search.literal
    options.case_sensitive = not search.ignore_case
    options.never_nl = options.never_capture = True
    options.log_errors = False
    try:
        compiled = re2.compile(search.pattern, options)
        if not search.literal:  # what is wrong was told of the pattern as it came
            lines = re.sub(r"\\[\s\S]", lambda one: _OF_LINES.get(one[0], one[0]), search.pattern)
            compiled = re2.compile(f"(?m:{lines})", options)
    except UnicodeEncodeError as problem:
        raise ValidationError("it holds half of a surrogate pair", FIELD) from problem
    except re2.error as problem:
        raise _refusal(search.pattern, problem) from problem
    if compiled.programsize > MAX_PROGRAM:
        raise ValidationError("the pattern is too complex: it needs fewer repetitions", FIELD)
    return compiled


def _refusal(pattern: str, problem: Exception) -> ValidationError:
    """Return what RE2 says, and where: it quotes the part of the pattern that is wrong."""
    what = problem.args[0].decode(errors="replace")
    _, _, quoted = what.partition(": ")
    place = pattern.find(quoted) if quoted else -1
    return ValidationError(what, FIELD, *((1, place + 1) if place >= 0 else ()))


def find(
    part: "Part",
    at: int,
    head: Head | None,
    search: Search,
    *,
    lowest: int = 0,
    most: int = MAX_ENTRIES,
) -> Batch:
    """Turn the entries that match, at most `most`, into NDJSON, or into lines as `search` says.

    An entry begins at the place `at`; `head` is that of its line when it is in the middle of one:
    then the byte before has to be there, else `^` would match. An entry has its `start` besides.
    """
    pattern = search.compiled()
    end, found = part.end_of_whole(at), []
    for _ in range(MAX_ENTRIES):
        match = pattern.search(part.data, at) if at < end else None
        place = part.place_of(match) if match else end
        if place >= end:
            head, at = part.head_at(end, at, head), end
            break
        begin, stop = part.piece_with(place, at)
        entry = part.entry(begin, stop, part.head_at(begin, at, head))
        head, at = part.head_after(entry, stop), stop
        if is_shown(entry.level, lowest):
            found.append(_given(search, entry, part.data[begin:stop], part.base + begin))
        if len(found) == most:
            break
    return Batch(b"".join(found), part.base + at, head, len(found))


def _given(search: Search, entry: Entry, piece: bytes, start: int) -> bytes:
    if search.as_text:
        return piece if piece.endswith(b"\n") else piece + b"\n"
    return entry.to_json_from(start)


class Part(NamedTuple):
    """Some bytes of a log; `final` says that nothing will follow them.

    Places are indexes of `data`, and `base` is the offset of its first byte. An entry begins at
    every `at`, and places ascend from call to call.
    """

    data: bytes
    base: int
    time_at: Times
    final: bool

    def end_of_whole(self, at: int) -> int:
        """Return the place after the last entry that is there to its end."""
        line = self._line_with(len(self.data), at)
        return max((end for _, end in cut(self.data, line, final=self.final)), default=line)

    def place_of(self, match: Any) -> int:
        """Return where a match begins; one behind the last line, as of `$`, is still in that."""
        place: int = match.start()
        if place == len(self.data) and not self.data.endswith(b"\n"):
            return place - 1
        return place

    def piece_with(self, place: int, at: int) -> tuple[int, int]:
        """Return begin and end of the entry that a place is in."""
        pieces = cut(self.data, self._line_with(place, at), final=self.final)
        return next(piece for piece in pieces if piece[1] > place)

    def head_at(self, place: int, at: int, head: Head | None) -> Head | None:
        """Return the head of the line that `place` is in the middle of; `head` is that of `at`."""
        line = self._line_with(place, at)
        if place == at or (line == at and head is not None):
            return head
        if line == place:
            return None
        first = self.data[line : line + MAX_LINE]
        return Head(*parse_line(first, 0, self.time_at(self.base + line))[1:4])

    def _line_with(self, place: int, at: int) -> int:
        """Return where the line begins, or `at` if it begins before that."""
        return (self.data.rfind(b"\n", at, place) + 1) or at

    def entry(self, begin: int, stop: int, head: Head | None) -> Entry:
        """Return an entry whose head is known when it is a later piece of a line."""
        piece, time = self.data[begin:stop], self.time_at(self.base + begin)
        return entry_of(piece, self.base + stop, time, head)

    def head_after(self, entry: Entry, stop: int) -> Head | None:
        """Return the head of the line that goes on after an entry, None when it does not."""
        return None if self.data[stop - 1 : stop] == b"\n" else Head(*entry[1:4])


class Budget:
    """How much a search may still find, and how long it may still take."""

    def __init__(self, limit: int | None) -> None:
        """Allow so many matches; None: any number."""
        self._left = limit
        self._seconds = MAX_SECONDS

    @property
    def most(self) -> int:
        """How many matches one step may find."""
        return MAX_ENTRIES if self._left is None else min(self._left, MAX_ENTRIES)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Take off what a step takes, but not what the client takes between two steps."""
        began = time.monotonic()
        yield
        self._seconds -= time.monotonic() - began

    def last_words(self, search: Search, count: int, position: int) -> bytes | None:
        """Take off what a step has found; return what to end with when nothing is left.

        Raises TimeoutError for a text that would end for lack of time: it cannot say so.
        """
        if self._left is not None:
            self._left -= count
        if self._left != 0 and self._seconds > 0:
            return None
        if not search.as_text:
            return b'{"more":true,"offset":%d}\n' % position
        if self._left == 0:
            return b""
        raise TimeoutError(f"the search took more than {MAX_SECONDS:.0f} seconds")
