"""Showing the logs of several tasks at once, or the bytes of one."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from task_runner.cli.failure import INTERRUPTED
from task_runner.cli.node import connected, following, task_id_of, told
from task_runner.cli.output import has_colours
from task_runner.client import AsyncClient, LogEntry

PREFIXES = (36, 33, 32, 35, 34, 31)
"""Colours (SGR) that tell the tasks apart."""


class Wanted(NamedTuple):
    """What of the logs is to be shown, and how."""

    follow: bool
    timestamps: bool
    where: Mapping[str, Any]
    """Arguments of `logs` and `entries`: where to begin, and in which log."""
    only: Mapping[str, Any]
    """Arguments of `entries`: which ones to leave out."""

    @property
    def as_bytes(self) -> bool:
        """Whether the bytes are to be passed on as they are."""
        return not (self.timestamps or any(self.only.values()))


def show_logs(words: Sequence[str], wanted: Wanted) -> int:
    """Print logs; return the exit code."""
    with connected() as client:
        ids = [task_id_of(client, word) for word in words]
    try:
        with told():
            asyncio.run(_show(ids, wanted))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


async def _show(ids: Sequence[str], wanted: Wanted) -> None:
    async with following() as client:
        if len(ids) == 1 and wanted.as_bytes:
            await _bytes(client, ids[0], wanted)
            return
        prefixes = _prefixes(ids)
        readers = [_lines(client, one, prefixes[one], wanted) for one in ids]
        if wanted.follow:
            await asyncio.gather(*readers)
        else:
            for reader in readers:
                await reader


def _prefixes(ids: Sequence[str]) -> dict[str, str]:
    if len(ids) == 1:
        return {ids[0]: ""}
    width = max(map(len, ids))
    names = {one: f"{one:{width}} | " for one in ids}
    if not has_colours(1):
        return names
    codes = [PREFIXES[number % len(PREFIXES)] for number in range(len(names))]
    return {
        one: f"\x1b[{code}m{name}\x1b[0m"
        for code, (one, name) in zip(codes, names.items(), strict=True)
    }


async def _bytes(client: AsyncClient, task_id: str, wanted: Wanted) -> None:
    async for block in client.logs(task_id, follow=wanted.follow, **wanted.where):
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


async def _lines(client: AsyncClient, task_id: str, prefix: str, wanted: Wanted) -> None:
    entries = client.entries(task_id, follow=wanted.follow, **wanted.where, **wanted.only)
    async for entry in entries:
        text = f"{prefix}{_line(entry, timestamps=wanted.timestamps)}\n"
        sys.stdout.buffer.write(text.encode(errors="replace"))
        sys.stdout.buffer.flush()


def _line(entry: LogEntry, *, timestamps: bool) -> str:
    """Return a line as it was written; a record of `logging` has its time anyway."""
    time = entry.time.isoformat(timespec="microseconds") if entry.time else "-"
    if entry.level is not None:
        return f"{time} {entry.level} [{entry.logger}] {entry.message}"
    return f"{time} {entry.message}" if timestamps else entry.message
