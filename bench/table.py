"""The table: printed, and written to RESULTS.md."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

from bench.measure import MIB, Row

PACKAGES = ("fastapi", "starlette", "uvicorn", "gunicorn", "uvloop", "httptools", "pydantic")


def render(rows: list[Row], directory: str) -> str:
    """Return the page, in Markdown."""
    cells = [("measure", "result", "to reach", "reached", "floor")]
    cells += [
        (row.name, row.result, row.target, "yes" if row.reached else "**no**", row.floor)
        for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"- {row.name}: {note}" for row in rows for note in row.notes]
    return "\n".join(
        [
            "# Benchmark",
            "",
            "Made by `make bench`. Ratios are against floors measured in the same run, in turns;",
            "medians of several rounds, lowest and highest in brackets. What the floors and the",
            "measures are is told in the modules of `bench/`.",
            "",
            *_circumstances(directory),
            "",
            *lines,
            "",
            *notes,
            "",
        ]
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"


def _circumstances(directory: str) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MIB / 1024
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"- Machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}, {_file_system(directory)}; load "
        f"{os.getloadavg()[2]:.1f} (15 minutes)",
        f"- Versions: Python {platform.python_version()}, {packages}",
    ]


def _commit() -> str:
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.path.dirname(__file__),
    )
    return answer.stdout.strip() or "unknown"


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: str) -> str:
    """Return the kind of file system that the work directories are on."""
    path = os.path.realpath(directory)
    found, kind = "", "unknown file system"
    with open("/proc/mounts") as file:
        for line in file:
            _, place, this = line.split()[:3]
            inside = path == place or path.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(found):
                found, kind = place, this
    return kind


def failed(name: str, problem: Exception) -> Row:
    """Return the line of a measure that could not be taken."""
    print(f"{name}: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
    return Row(
        name, f"failed: {type(problem).__name__}", "-", False, notes=[str(problem)], taken=False
    )
