"""The lines and words of an echo script, each with its place for the errors."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from task_runner.lib.errors import ValidationError

FIELD = "parameters"

# Each of these is matched in linear time: none can begin a second try inside of its own match.
LINE_BREAK = re.compile(r"\r\n|\r|\n")
COMMENT = re.compile(r"(?<![^ \t])#")
WORD = re.compile(r"[^ \t]+")


class Word(NamedTuple):
    """A run of characters without a blank; `column` counts from 1."""

    text: str
    column: int


class Line(NamedTuple):
    """A line without its comment; `number` counts from 1."""

    number: int
    text: str
    words: list[Word]

    def keyword(self) -> str:
        """Return the first word in capitals."""
        return self.words[0].text.upper()

    def error(self, detail: str, index: int) -> ValidationError:
        """Return the error that points at the word `index`."""
        return ValidationError(detail, FIELD, self.number, self.words[index].column)

    def rest(self, index: int) -> str:
        """Return the text from the word `index` on, with its inner blanks; "" if there is none."""
        return self.text[self.words[index].column - 1 :] if index < len(self.words) else ""

    def word(self, index: int, what: str) -> str:
        """Return the word `index`. Raises ValidationError when there is none."""
        if index >= len(self.words):
            raise self.error(f"{self.keyword()} needs {what}", 0)
        return self.words[index].text

    def end(self, index: int) -> None:
        """Check that there is no word `index`. Raises ValidationError."""
        if index < len(self.words):
            raise self.error("nothing more is expected here", index)


def lines(parameters: object) -> Iterator[Line]:
    """Cut a list of lines, or one text, into lines; empty ones are left out.

    Raises ValidationError.
    """
    if isinstance(parameters, str):
        parameters = LINE_BREAK.split(parameters)
    if not isinstance(parameters, list):
        raise ValidationError("it must be a list of lines, or one text", FIELD)
    for number, text in enumerate(parameters, 1):
        line = _line(number, text)
        if line.words:
            yield line


def _line(number: int, text: object) -> Line:
    if not isinstance(text, str):
        raise ValidationError("a line must be a string", FIELD, number, 1)
    if line_break := LINE_BREAK.search(text):
        column = line_break.start() + 1
        raise ValidationError("a line cannot hold a line break", FIELD, number, column)
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        detail = "it holds half of a surrogate pair"
        raise ValidationError(detail, FIELD, number, problem.start + 1) from problem
    comment = COMMENT.search(text)
    code = text[: comment.start() if comment else None].rstrip(" \t")
    words = [Word(found[0], found.start() + 1) for found in WORD.finditer(code)]
    return Line(number, code, words)
