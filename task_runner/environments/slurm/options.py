"""What a task may ask Slurm for: the rules of `environmentOptions`, and the words of sbatch."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from task_runner.lib.errors import ValidationError
from task_runner.lib.own import MARGIN
from task_runner.lib.task import Task, check_argument, check_object, no_such_field

FURTHER = "sbatch"
MEANINGS = {
    "cpus": "processors on one node, an integer; by default as the limit of cpu says",
    "memory": "bytes of memory on the node, an integer; by default the limit of memory and 64 MiB",
    "time_limit": "seconds until Slurm ends the job; it rounds them up to minutes",
    "partition": "the partition, or several with commas between them",
    "account": "the account that is charged",
    "qos": "the quality of service",
    "gres": "generic resources, as in gpu:2",
    "constraint": "features that the node must have",
    FURTHER: "further options of sbatch, by their long names without dashes; true for one that "
    "takes no value. The settings say which are allowed",
}
OUR_OWN = frozenset(
    {
        "array",
        "batch",
        "chdir",
        "clusters",
        "cluster-constraint",
        "error",
        "export",
        "export-file",
        "get-user-env",
        "help",
        "input",
        "job-name",
        "kill-on-invalid-dep",
        "no-requeue",
        "open-mode",
        "ntasks",
        "nodes",
        "output",
        "parsable",
        "propagate",
        "quiet",
        "requeue",
        "signal",
        "test-only",
        "uid",
        "gid",
        "usage",
        "verbose",
        "version",
        "wait",
        "wrap",
    }
)
"""What decides how a job is started and found again; no setting can allow it."""
WORD = r"[A-Za-z0-9_.,:;=*&|()\[\]{}@/+!%-]+"
MEBIBYTE = 1 << 20
OVERHEAD = 64 * MEBIBYTE
"""What TaskRunner and what stands around a task take besides: Slurm counts it too."""


def validate(task: Task) -> None:
    """Check the options of a task. Raises ValidationError with the field."""
    for name, value in task.environment_options.items():
        field = f"environmentOptions.{name}"
        check = _CHECKS.get(name)
        if check is None:
            raise no_such_field(name, "environmentOptions.")
        check(value, field)
    limit = task.environment_options.get("time_limit")
    if limit is not None and limit <= task.grace_period + MARGIN:
        raise ValidationError(
            f"it must leave time for the grace period and {MARGIN:g} seconds more",
            "environmentOptions.time_limit",
        )


def asked_by(limits: Mapping[str, float], further: Collection[str] = ()) -> dict[str, int]:
    """Return the options that follow from the limits of a task: it is given what it may use.

    `further` are the names of further options, which may say it in another way.
    """
    found = {}
    if "memory" in limits and not any(name.startswith("mem") for name in further):
        found["memory"] = int(limits["memory"]) + OVERHEAD
    if "cpu" in limits and not any(name.startswith("cpus-per-") for name in further):
        found["cpus"] = math.ceil(limits["cpu"])
    return found


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Return the options of a valid task as arguments of sbatch."""
    found = []
    for name, value in options.items():
        match name:
            case "cpus":
                found.append(f"--cpus-per-task={value}")
            case "memory":
                found.append(f"--mem={math.ceil(value / MEBIBYTE)}M")
            case "time_limit":
                minutes, seconds = divmod(math.ceil(value), 60)
                found.append(f"--time={minutes}:{seconds:02}")
            case "sbatch":
                found += [_argument(further, what) for further, what in value.items()]
            case _:
                found.append(f"--{name}={value}")
    return found


def _argument(name: str, value: Any) -> str:
    return f"--{name}" if value is True else f"--{name}={value}"


def _check_count(value: Any, field: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 53:
        raise ValidationError("it must be an integer, more than 0", field)


def _check_seconds(value: Any, field: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1 << 31:
        raise ValidationError("it must be a number of seconds, more than 0", field)


def _check_word(value: Any, field: str) -> None:
    check_argument(value, field)
    if not re.fullmatch(WORD, value):
        raise ValidationError("it holds something that no such name has", field)


def _check_further(value: Any, field: str) -> None:
    check_object(value, field)
    for name, what in value.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]+", name) or name in OUR_OWN or name in MEANINGS:
            raise ValidationError("there is no such option here", f"{field}.{name:.50}")
        if what is True or (isinstance(what, int | float) and not isinstance(what, bool)):
            continue
        check_argument(what, f"{field}.{name}")


_CHECKS: dict[str, Callable[[Any, str], None]] = {
    "cpus": _check_count,
    "memory": _check_count,
    "time_limit": _check_seconds,
    FURTHER: _check_further,
    **dict.fromkeys(("partition", "account", "qos", "gres", "constraint"), _check_word),
}
