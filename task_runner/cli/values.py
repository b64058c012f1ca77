"""Values of options: durations, times, and pairs."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


class Duration(click.ParamType[float]):
    """Seconds, written as a number or like `90s`, `15m`, `1h30m`, `7d`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        text = str(value)
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
        if not _DURATION.fullmatch(text):
            self.fail(f"{text!r} is no duration, such as 30, 90s, 15m, 1h30m or 7d", param, ctx)
        return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))


class Moment(click.ParamType[datetime]):
    """A point in time: so long ago, or RFC 3339 (without a zone: local time)."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return a time with a zone."""
        text = str(value)
        if _DURATION.fullmatch(text):
            return datetime.now(UTC) - timedelta(seconds=Duration().convert(text, param, ctx))
        try:
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no time, such as 10m or 2026-11-24T09:00:00Z", param, ctx)


DURATION, MOMENT = Duration(), Moment()


def pairs(
    option: str, default: Callable[[str], str] | None = None
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, str]]:
    """Return a callback that makes `NAME=VALUE` into a dict; `default` gives what has no `=`."""

    def callback(
        ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
    ) -> dict[str, str]:
        found = {}
        for word in given:
            name, equals, value = word.partition("=")
            if not name or not (equals or default):
                raise click.BadParameter(f"{word!r} is not {option}", ctx, param)
            found[name] = value if equals or default is None else default(name)
        return found

    return callback


def json_pairs(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any]:
    """Make `NAME=VALUE` into a dict; a value that is JSON is taken as such, else as a text."""
    return {name: _json(value) for name, value in pairs("NAME=VALUE")(ctx, param, given).items()}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
