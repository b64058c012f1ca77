"""What tables show of a task, and of what a node has."""

from datetime import UTC, datetime, timedelta
from typing import Any

from task_runner.cli.output import STATE, Column, Item

UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def state(task: Item) -> str:
    """Return how a task is: its state with its progress, or its outcome."""
    status = task.get("status")
    progress = status.get("progress") if isinstance(status, dict) else None
    if task["state"] != "exited" and isinstance(progress, int | float):
        return f"{task['state']} {progress:.0%}"
    return str(task.get("outcome") if task["state"] == "exited" else task["state"])


def text(value: Any) -> str:
    """Return a value for a cell; a dash stands for what is not known."""
    return "-" if value is None or value == "" else str(value)


def ago(task: Item) -> str:
    """Return how long ago a task was submitted."""
    created = _time(task.get("createdAt"))
    return text(created and f"{spell(datetime.now(UTC) - created)} ago")


def took(task: Item) -> str:
    """Return how long it ran, or runs by now."""
    started, finished = _time(task.get("startedAt")), _time(task.get("finishedAt"))
    if started is None or (finished is None and task["state"] in ("lost", "exited")):
        return "-"
    return spell((finished or datetime.now(UTC)) - started)


def spell(duration: timedelta) -> str:
    """Return a duration in its two largest units."""
    seconds = max(0, int(duration.total_seconds()))
    for size, unit in UNITS:
        if seconds >= size:
            smaller = next((one for one in (*UNITS, (1, "s")) if one[0] < size), (1, "s"))
            rest = seconds % size // smaller[0]
            return f"{seconds // size}{unit}" + (f"{rest}{smaller[1]}" if rest else "")
    return f"{seconds}s"


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def labels(task: Item) -> str:
    """Return the labels as they are written on the command line."""
    return text(" ".join(f"{name}={value}" for name, value in task.get("labels", {}).items()))


TASKS = [
    Column("TASK", lambda task: str(task["taskId"])),
    Column("NAME", lambda task: text(task.get("name")), is_long=True),
    Column("MACHINE", lambda task: text(task.get("machine"))),
    Column(STATE, state),
    Column("EXIT", lambda task: text(task.get("exitCode"))),
    Column("SUBMITTED", ago),
    Column("TOOK", took),
    Column("ENVIRONMENT", lambda task: text(task.get("environment")), is_wide=True),
    Column("ISOLATION", lambda task: text(task.get("isolation")), is_wide=True),
    Column("LABELS", labels, is_wide=True, is_long=True),
    Column("WHY", lambda task: text(task.get("error")), is_wide=True, is_long=True),
]


def usable(title: str) -> list[Column]:
    """Return the columns of things that have a name and may not be usable here."""
    return [
        Column(title, lambda one: str(one["name"])),
        Column("USABLE", lambda one: "yes" if one["usable"] else "no"),
        Column("WHY NOT", lambda one: text(one["why"]), is_long=True),
        Column("MENDED BY", lambda one: text(one["install"]), is_long=True),
    ]
