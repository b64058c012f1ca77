"""How soon the command line is there: its help and TAB completion, against a bare Python."""

import os
import statistics
import subprocess
import sys
import time

from bench.measure import Bench, Row, ratio

COMMAND = os.path.join(os.path.dirname(sys.executable), "task-runner")
FLOOR = (sys.executable, "-c", "pass")
MOST = 4.0
ASKED = {
    "task-runner --help": ((COMMAND, "--help"), {}),
    "task-runner run --help": ((COMMAND, "run", "--help"), {}),
    "TAB after task-runner": (
        (COMMAND,),
        {"_TASK_RUNNER_COMPLETE": "bash_complete", "COMP_WORDS": "task-runner ", "COMP_CWORD": "1"},
    ),
}


def run(bench: Bench) -> list[Row]:
    rounds = bench.amount(30, 3)
    floor: list[float] = []
    taken: dict[str, list[float]] = {name: [] for name in ASKED}
    for _ in range(rounds):
        floor.append(_seconds(FLOOR, {}))
        for name, (argv, env) in ASKED.items():
            taken[name].append(_seconds(argv, env))
    return [_row(name, seconds, floor) for name, seconds in taken.items()]


def _seconds(argv: tuple[str, ...], env: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(argv, env={**os.environ, **env}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def _row(name: str, seconds: list[float], floor: list[float]) -> Row:
    times = ratio(seconds, floor)
    return Row(
        name,
        f"{times:.2f} x a bare Python of the same venv",
        f"<= {MOST:.0f} x",
        times <= MOST,
        f"python -c pass {statistics.median(floor) * 1000:.0f} ms",
        [f"p50 {statistics.median(seconds) * 1000:.0f} ms, N={len(seconds)}"],
    )
