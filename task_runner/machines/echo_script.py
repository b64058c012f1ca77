"""The language of the echo machine: from lines of text to statements, without running any.

A script with no statement at all is allowed; it does nothing and succeeds.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from task_runner.lib.task import MAX_SECONDS
from task_runner.machines.echo_lines import Line, lines

MAX_RETURN = 255
LEVELS = {
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
}
SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
EXIT_CODE = re.compile(r"[0-9]{1,3}")


class Echo(NamedTuple):
    """Print a line."""

    text: str


class Sleep(NamedTuple):
    """Wait."""

    seconds: float


class Log(NamedTuple):
    """Write a record of `logging`."""

    level: int
    text: str


class Return(NamedTuple):
    """End with this exit code."""

    code: int


class Raise(NamedTuple):
    """End with an exception."""

    text: str


class Use(NamedTuple):
    """Name resources that the task shares with others, or has for itself."""

    exclusive: bool
    names: tuple[str, ...]


Statement = Echo | Sleep | Log | Return | Raise | Use


class Script(NamedTuple):
    """The statements before CLEANUP and those after it."""

    main: tuple[Statement, ...]
    cleanup: tuple[Statement, ...]


def parse(parameters: object) -> Script:
    """Make a script of a list of lines or of one text. Raises ValidationError."""
    parts: list[list[Statement]] = [[]]
    taken: set[str] = set()
    for line in lines(parameters):
        if line.keyword() == "CLEANUP":
            _check_cleanup(line, parts)
            parts.append([])
            continue
        statement = _statement(line)
        if len(parts) > 1 and isinstance(statement, Return | Use):
            raise line.error(f"{line.keyword()} is not allowed after CLEANUP", 0)
        if isinstance(statement, Use):
            _take(line, taken)
        parts[-1].append(statement)
    return Script(tuple(parts[0]), tuple(parts[1] if len(parts) > 1 else ()))


def _check_cleanup(line: Line, parts: list[list[Statement]]) -> None:
    if len(parts) > 1:
        raise line.error("there can be only one CLEANUP", 0)
    line.end(1)


def _take(line: Line, taken: set[str]) -> None:
    for index, word in enumerate(line.words[2:], 2):
        if word.text in taken:
            raise line.error(f"the resource {word.text!r:.40} is named twice", index)
        taken.add(word.text)


def _statement(line: Line) -> Statement:
    make = STATEMENTS.get(line.keyword())
    if make is None:
        raise line.error(f"there is no statement {line.words[0].text!r:.40}", 0)
    return make(line)


def _echo(line: Line) -> Echo:
    return Echo(line.rest(1))


def _sleep(line: Line) -> Sleep:
    word = line.word(1, "a number of seconds")
    # Before the comparison: float() also takes "nan", "1_0" and the digits of other scripts.
    if not SECONDS.fullmatch(word) or float(word) > MAX_SECONDS:
        raise line.error(f"it must be a decimal number from 0 to {MAX_SECONDS}", 1)
    line.end(2)
    return Sleep(float(word))


def _log(line: Line) -> Log:
    level = LEVELS.get(line.word(1, "a level and a text").upper())
    if level is None:
        raise line.error("it must be one of " + ", ".join(LEVELS), 1)
    line.word(2, "a text after the level")
    return Log(level, line.rest(2))


def _return(line: Line) -> Return:
    word = line.word(1, "an exit code")
    if not EXIT_CODE.fullmatch(word) or int(word) > MAX_RETURN:
        raise line.error(f"it must be an integer from 0 to {MAX_RETURN}", 1)
    line.end(2)
    return Return(int(word))


def _raise(line: Line) -> Raise:
    return Raise(line.rest(1))


def _use(line: Line) -> Use:
    mode = line.word(1, "SHARED or EXCLUSIVE").upper()
    if mode not in {"SHARED", "EXCLUSIVE"}:
        raise line.error("it must be SHARED or EXCLUSIVE", 1)
    line.word(2, "at least one name of a resource")
    for index, word in enumerate(line.words[2:], 2):
        if not word.text.isprintable():
            raise line.error("the name holds a control character", index)
    return Use(mode == "EXCLUSIVE", tuple(word.text for word in line.words[2:]))


STATEMENTS: Mapping[str, Callable[[Line], Statement]] = {
    "ECHO": _echo,
    "SLEEP": _sleep,
    "LOG": _log,
    "RETURN": _return,
    "RAISE": _raise,
    "USE": _use,
}
