"""What a chaos run does, made from a seed alone: the tasks, and the blows, each at its time."""

import random
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

TASKS_PER_SECOND = 5.0
BLOWS_PER_SECOND = 1.5
DELETED = 0.8
"""The share of tasks that the client deletes: else finished ones would fill the small disk."""
CODES = (0, 0, 0, 1, 3, 126, 127, 137, 255)


class Blow(StrEnum):
    """What is broken."""

    KILL_SERVICE = "service killed, master and workers"
    KILL_MASTER = "master of the service killed"
    KILL_WORKER = "worker killed"
    KILL_FORK_SERVER = "fork server killed"
    KILL_TASK_RUNNER = "TaskRunner killed"
    SUSPEND_WORKER = "worker suspended"
    SUSPEND_FORK_SERVER = "fork server suspended"
    SUSPEND_TASK_RUNNER = "TaskRunner suspended"
    FILL_DISK = "disk filled"


WEIGHTS = {
    Blow.KILL_SERVICE: 2,
    Blow.KILL_MASTER: 1,
    Blow.KILL_WORKER: 3,
    Blow.KILL_FORK_SERVER: 4,
    Blow.KILL_TASK_RUNNER: 10,
    Blow.SUSPEND_WORKER: 2,
    Blow.SUSPEND_FORK_SERVER: 2,
    Blow.SUSPEND_TASK_RUNNER: 4,
    Blow.FILL_DISK: 2,
}


class Strike(NamedTuple):
    """One blow: when (seconds from the beginning), where (0 to 1, a place among the targets)."""

    at: float
    blow: Blow
    place: float
    duration: float
    """Seconds until what was suspended goes on, and the disk has room again."""


class Chore(NamedTuple):
    """One task, and what must come of it when nobody touches its TaskRunner."""

    at: float
    kind: str
    fields: dict[str, Any]
    outcome: str
    exit_code: int | None
    output: bytes
    """All of its output. What was stopped or timed out may have written only the beginning."""
    runs: bool = True
    """Whether it writes itself into the ledger."""
    stop_after: float | None = None
    """Seconds after which the client stops it."""
    delete: bool = False
    """Whether the client deletes it when it is over."""


class Plan(NamedTuple):
    """All of a run."""

    chores: list[Chore]
    strikes: list[Strike]


def make_plan(seed: int, seconds: float, ledger: str) -> Plan:
    """Decide everything that a run of so many seconds does."""
    dice = random.Random(seed)  # noqa: S311
    chores = [
        _chore(dice, f"chaos-{number:05}", at, ledger)
        for number, at in enumerate(_times(dice, seconds, TASKS_PER_SECOND))
    ]
    blows = dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=round(seconds * BLOWS_PER_SECOND))
    strikes = [
        Strike(at, blow, dice.random(), dice.uniform(0.1, 2.0))
        for at, blow in zip(_times(dice, seconds, BLOWS_PER_SECOND), blows, strict=True)
    ]
    return Plan(chores, strikes)


def _times(dice: random.Random, seconds: float, rate: float) -> list[float]:
    return sorted(dice.uniform(0, seconds) for _ in range(round(seconds * rate)))


def _chore(dice: random.Random, task_id: str, at: float, ledger: str) -> Chore:
    make = dice.choice(KINDS)
    chore = make(dice, task_id, f"echo {task_id} >> {ledger}")
    fields = {"taskId": task_id, "gracePeriod": 5, **chore.fields}
    kind = make.__name__.removeprefix("_").replace("_", " ")
    return chore._replace(at=at, kind=kind, fields=fields, delete=dice.random() < DELETED)


def _script(text: str, **fields: Any) -> dict[str, Any]:
    return {"machine": "command", "parameters": {"argv": ["/bin/sh", "-c", text]}, **fields}


def _ended(code: int) -> tuple[str, int]:
    return ("succeeded" if code == 0 else "failed"), code


def _quick(dice: random.Random, _task_id: str, note: str) -> Chore:
    code = dice.choice(CODES)
    return Chore(0, "", _script(f"{note}; exit {code}"), *_ended(code), b"")


def _steady_lines(dice: random.Random, task_id: str, note: str) -> Chore:
    code, chunks = dice.choice(CODES), dice.randint(5, 60)
    text = (
        f"{note}; i=0; while [ $i -lt {chunks} ]; do "
        f"seq -f '{task_id} %.0f' $((i * 100)) $((i * 100 + 99)); i=$((i + 1)); sleep 0.1; done; "
        f"exit {code}"
    )
    return Chore(0, "", _script(text), *_ended(code), _lines(task_id, chunks * 100))


def _flood(dice: random.Random, task_id: str, note: str) -> Chore:
    count = dice.randint(20_000, 100_000)
    text = f"{note}; seq -f '{task_id} %.0f' 0 {count - 1}"
    return Chore(0, "", _script(text), "succeeded", 0, _lines(task_id, count))


def _lines(task_id: str, count: int) -> bytes:
    return "".join(f"{task_id} {number}\n" for number in range(count)).encode()


def _crash(dice: random.Random, _task_id: str, note: str) -> Chore:
    number = dice.choice((9, 11))
    return Chore(0, "", _script(f"{note}; kill -{number} $$"), "crashed", 128 + number, b"")


def _sleep_of_python(dice: random.Random, task_id: str, _note: str) -> Chore:
    code = dice.choice(CODES)
    lines = [f"ECHO {task_id}", f"SLEEP {dice.uniform(0, 4):.2f}", "ECHO bye", f"RETURN {code}"]
    fields = {"machine": "echo", "parameters": lines}
    return Chore(0, "", fields, *_ended(code), f"{task_id}\nbye\n".encode(), runs=False)


def _exception_of_python(_dice: random.Random, task_id: str, _note: str) -> Chore:
    fields = {"machine": "echo", "parameters": [f"ECHO {task_id}", "SLEEP 0.5", "RAISE oops"]}
    return Chore(0, "", fields, "exception", -3, f"{task_id}\n".encode(), runs=False)


def _time_out(dice: random.Random, task_id: str, note: str) -> Chore:
    fields = _script(f"{note}; {_sleep(task_id)}", timeout=dice.uniform(0.5, 3))
    return Chore(0, "", fields, "timeout", -2, f"{task_id}\nbye\n".encode())


def _stop(dice: random.Random, task_id: str, note: str) -> Chore:
    fields = _script(f"{note}; {_sleep(task_id)}")
    output = f"{task_id}\nbye\n".encode()
    return Chore(0, "", fields, "canceled", -1, output, stop_after=dice.uniform(0, 3))


def _sleep(task_id: str) -> str:
    return f"trap 'echo bye; exit 4' TERM; echo {task_id}; sleep 600 & wait"


def _stop_of_the_deaf(dice: random.Random, task_id: str, note: str) -> Chore:
    text = f"{note}; trap '' TERM; echo {task_id}; sleep 600; sleep 600"
    fields = _script(text, gracePeriod=0.5)
    output = f"{task_id}\n".encode()
    return Chore(0, "", fields, "canceled", -1, output, stop_after=dice.uniform(0, 3))


def _daemon(dice: random.Random, task_id: str, note: str) -> Chore:
    code = dice.choice(CODES)
    text = f"{note}; setsid sleep 600 & (setsid sleep 600 &) ; echo {task_id}; exit {code}"
    return Chore(0, "", _script(text, gracePeriod=1), *_ended(code), f"{task_id}\n".encode())


def _no_program(_dice: random.Random, _task_id: str, _note: str) -> Chore:
    fields = {"machine": "command", "parameters": {"argv": ["/no/such/program"]}}
    return Chore(0, "", fields, "error", None, b"", runs=False)


KINDS: tuple[Callable[[random.Random, str, str], Chore], ...] = (
    _quick,
    _quick,
    _steady_lines,
    _steady_lines,
    _flood,
    _crash,
    _sleep_of_python,
    _exception_of_python,
    _time_out,
    _stop,
    _stop_of_the_deaf,
    _daemon,
    _no_program,
)
