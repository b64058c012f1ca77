"""Data on standard output: a table for people, JSON and names for programs."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import click

FORMATS = ("table", "wide", "json", "ndjson", "name")
COLOURS = {
    "running": "cyan",
    "succeeded": "green",
    "stalled": "yellow",
    "stopping": "yellow",
    "failed": "red",
    "crashed": "red",
    "exception": "red",
    "error": "red",
    "timeout": "red",
    "lost": "red",
    "unknown": "red",
    "canceled": "yellow",
}
STATE = "STATE"
GAP = 2
LEAST_LONG = 12
Item = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Any])


class Column(NamedTuple):
    """A column of a table: what stands in it for an item, whether only in the wide one."""

    title: str
    value: Callable[[Item], str]
    is_wide: bool = False
    is_long: bool = False
    """What stands in it can be long, and may take several lines."""


def output_option(default: str = "table") -> Callable[[F], F]:
    """Return the option that every command with data has."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default=default,
        help=f"How to show it (default: {default}).",
    )


def show(items: Iterable[Item], columns: Iterable[Column], output: str, name: str) -> None:
    """Print items in one of FORMATS; `name` is the member that names one."""
    match output:
        case "json":
            show_list(items)
        case "ndjson":
            for item in items:
                show_line(item)
        case "name":
            for item in items:
                print(item[name])
        case _:
            show_table([*items], [one for one in columns if output == "wide" or not one.is_wide])


def show_list(items: Iterable[Item]) -> None:
    """Print items as a list in JSON."""
    print(json.dumps([*items], indent=2, ensure_ascii=False))


def show_line(item: Item) -> None:
    """Print an item as a line of NDJSON, at once."""
    print(json.dumps(item, ensure_ascii=False), flush=True)


def show_table(items: list[Item], columns: list[Column]) -> None:
    """Print a table: plain when piped; on a terminal with colours, long texts on several lines."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[_cell(column, item) for column in columns] for item in items]
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.title, no_wrap=not column.is_long, overflow="fold")
    for row in rows:
        table.add_row(*(Text(*cell) for cell in row))
    if sys.stdout.isatty():
        console = Console()
        console.width = max(console.width, _least_width(rows, columns))
        console.print(table)
        return
    console = Console(width=1 << 16, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _least_width(rows: list[list[tuple[str, str]]], columns: list[Column]) -> int:
    """Return in how few characters a table fits; a narrower terminal has to break its lines."""
    from rich.cells import cell_len

    widths = []
    for number, column in enumerate(columns):
        width = max(map(cell_len, [column.title, *(row[number][0] for row in rows)]))
        widths.append(GAP + (min(width, LEAST_LONG) if column.is_long else width))
    return sum(widths)


def _cell(column: Column, item: Item) -> tuple[str, str]:
    """Return text and style; the words of a state are the only ones with a colour."""
    text = printable(column.value(item))
    return text, COLOURS.get(text.partition(" ")[0], "") if column.title == STATE else ""


def printable(text: str) -> str:
    """Return a text that does nothing to a terminal: what comes from others may be anything."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def has_colours(descriptor: int) -> bool:
    """Say whether colours are wanted there (https://no-color.org)."""
    return (
        os.isatty(descriptor)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
