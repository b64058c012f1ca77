"""What is written to the terminal while a task is followed: its output, and how far it is."""

import os
import sys
from typing import BinaryIO

from task_runner.cli.output import has_colours

CLEAR = "\r\x1b[2K"
WIDTH = 30


class Screen:
    """The output of a task; on a terminal, also a line below it that tells the progress."""

    def __init__(self) -> None:
        """Show nothing yet; `is_shown`: the progress can be shown."""
        self.is_shown = os.isatty(2) and os.environ.get("TERM") != "dumb"
        self._line = ""
        self._is_below = True
        """The cursor is at the beginning of a line: the one for the progress can stand there."""

    def write(self, data: bytes, file: BinaryIO) -> None:
        """Pass output on as it is, at once."""
        self._draw("")
        file.write(data)
        file.flush()
        self._is_below = data.endswith(b"\n") or not data
        self._draw(self._line)

    def progress(self, part: float | None) -> None:
        """Show how far it is, from 0 to 1; None: it does not say."""
        if part is None:
            return
        done = round(part * WIDTH)
        bar = "━" * done
        if has_colours(2):
            bar = f"\x1b[36m{bar}\x1b[0m"
        self._line = f"{bar}{'╌' * (WIDTH - done)} {part:4.0%}"
        self._draw(self._line)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._draw("")
        self._line = ""

    def _draw(self, text: str) -> None:
        if self.is_shown and self._line and self._is_below:
            sys.stderr.write(f"{CLEAR}{text}")
            sys.stderr.flush()
