"""`python -m bench [--quick] [measure ...]`: measure, print the table, write RESULTS.md."""

import argparse
import os
import signal
import sys
import tempfile
import time

from bench import (
    console,
    download,
    follow,
    idle_cpu,
    isolation,
    large_log,
    latency,
    listing,
    load,
    memory,
    output,
    recovery,
    search,
    slurm,
    startup,
    table,
    throughput,
)
from bench.measure import Bench, Measure, Row

MEASURES: dict[str, Measure] = {
    "throughput": throughput.run,
    "latency": latency.run,
    "memory": memory.run,
    "idle_cpu": idle_cpu.run,
    "isolation": isolation.run,
    "recovery": recovery.run,
    "listing": listing.run,
    "output": output.run,
    "follow": follow.run,
    "download": download.run,
    "slurm": slurm.run,
    "console": console.run,
    "large_log": large_log.run,
    "load": load.run,
    "search": search.run,
    "startup": startup.run,
}
RESULTS = os.path.join(os.path.dirname(__file__), "RESULTS.md")


def main() -> int:
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.dir) as base:
        for name in arguments.measures or MEASURES:
            begin = time.monotonic()
            print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
            rows += _take(name, base, quick=arguments.quick)
            print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        text = table.render(rows, base)
    print(text)
    if not arguments.measures and not arguments.quick:
        with open(RESULTS, "w") as file:
            file.write(text)
    return 0 if all(row.taken for row in rows) else 1


def _take(name: str, base: str, *, quick: bool) -> list[Row]:
    directory = os.path.join(base, name)
    os.mkdir(directory)
    try:
        return MEASURES[name](Bench(directory, quick))
    except Exception as problem:  # the others are measured all the same
        return [table.failed(name, problem)]


def _end(number: int, _frame: object) -> None:
    """End everything that was started, once; a second Ctrl-C must not cut that short."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="measure", help=", ".join(MEASURES))
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work at all?")
    parser.add_argument("--dir", help="where the work directories are made (default: $TMPDIR)")
    arguments = parser.parse_args()
    for name in arguments.measures:
        if name not in MEASURES:
            parser.error(f"there is no measure {name!r}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
