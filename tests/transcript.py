"""What programs said, in a text file for people: commands, their two outputs, their exit codes.

    # what is refused
    $ sbatch --partition=nope job.sh
    ! sbatch: error: Batch job submission failed: Invalid partition name specified
    = 1

Lines of standard output begin with `>`, those of standard error with `!`.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Said(NamedTuple):
    """One command."""

    argv: list[str]
    text: str
    complaints: str
    code: int


def written(scenes: Mapping[str, Sequence[Said]]) -> str:
    lines = []
    for title, commands in scenes.items():
        lines.append(f"# {title}")
        for said in commands:
            lines.append(f"$ {shlex.join(said.argv)}")
            lines += [f"> {line}".rstrip() for line in said.text.splitlines()]
            lines += [f"! {line}".rstrip() for line in said.complaints.splitlines()]
            lines.append(f"= {said.code}")
        lines.append("")
    return "\n".join(lines)


def read(path: Path) -> dict[str, list[Said]]:
    scenes: dict[str, list[Said]] = {}
    for line in filter(None, path.read_text().splitlines()):
        mark, words = line[0], line[2:]
        match mark:
            case "#":
                commands = scenes[words] = []
            case "$":
                argv, said = shlex.split(words), {">": "", "!": ""}
            case "=":
                commands.append(Said(argv, said[">"], said["!"], int(words)))
            case _:
                said[mark] += f"{words}\n"
    return scenes
