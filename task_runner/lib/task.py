"""What a task is: the record of what was asked for, and the rules it must obey."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from task_runner.lib import registry
from task_runner.lib.clock import timestamp
from task_runner.lib.errors import ValidationError
from task_runner.lib.limits import check, check_held, normalized
from task_runner.lib.policy import NOTHING, Policy

TASK_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
ENV_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
MAX_SECONDS = 10 * 366 * 86400
MAX_PRIORITY = 1_000_000
MAX_BYTES = 1 << 50
STDERR = ("merged", "separate")
DEFAULT_GRACE_PERIOD = 10.0
MAX_NAME = 200
MAX_LABELS = 64
MAX_ARGUMENT = 128 * 1024 - 1  # bytes: MAX_ARG_STRLEN of the kernel, without the final NUL

Json = Any
log = logging.getLogger(__name__)


class Task(NamedTuple):
    """One task as it was submitted.

    Times are seconds; `timeout` None means no limit. `max_output` is in bytes, for each log; None
    means that whoever accepts the task decides.
    """

    task_id: str | None
    machine: str
    parameters: Json = None
    name: str | None = None
    labels: Mapping[str, str] = {}
    environment: str = "multiprocess"
    environment_options: Mapping[str, Json] = {}
    isolation: str = "none"
    isolation_options: Mapping[str, Json] = {}
    limits: Mapping[str, Json] = {}
    env: Mapping[str, str] = {}
    timeout: float | None = None
    grace_period: float = DEFAULT_GRACE_PERIOD
    priority: int = 0
    rerun_of: str | None = None
    max_output: int | None = None
    stderr: str = "merged"

    @property
    def has_stderr(self) -> bool:
        """Whether standard error has a log of its own."""
        return self.stderr == "separate"

    def to_dict(self) -> dict[str, Json]:
        """Return the JSON object this task was made of, with every default spelled out."""
        return {WIRE_NAMES.get(name, name): value for name, value in self._asdict().items()}


WIRE_NAMES = {
    "task_id": "taskId",
    "environment_options": "environmentOptions",
    "isolation_options": "isolationOptions",
    "grace_period": "gracePeriod",
    "rerun_of": "rerunOf",
    "max_output": "maxOutput",
}
FOUND_OUT = ("createdAt", "resources", "outputLimit", "policy")
FIELDS = {WIRE_NAMES.get(name, name): name for name in Task._fields}


def task_from_dict(fields: Mapping[str, Json], policy: Policy = NOTHING) -> Task:
    """Make a task of a JSON object with the names of the API, and check all of it.

    The machine's own rules for `parameters` are checked too, and those of the environment and the
    isolation for their options; `policy` is what they may ask for. Raises ValidationError.
    """
    task = _from_fields(normalized(fields) if isinstance(fields, dict) else fields)
    _check(task)
    machine = _machine_of(task)
    _let_check("machine", lambda: machine.validate(task))
    _check_json(task.parameters, "parameters")
    environment = _environment_of(task)
    check_object(task.environment_options, "environmentOptions")
    _check_json(task.environment_options, "environmentOptions")
    _let_check("environment", lambda: environment.validate(task))
    _check_isolation(task, policy, environment.capabilities)
    return task


def _let_check(field: str, check: Callable[[], None]) -> None:
    """Let a plug-in check a task; what it raises by mistake refuses the task as well."""
    try:
        check()
    except ValidationError:
        raise
    except Exception as problem:
        log.exception("the %s could not check a task", field)
        raise ValidationError(f"the {field} could not check it: {problem!r}", field) from problem


def _check_isolation(task: Task, policy: Policy, environment: Any) -> None:
    """Check isolation and limits; `environment` is what the environment says it can do."""
    field = "isolationOptions"
    check_object(task.isolation_options, field)
    _check_json(task.isolation_options, field)
    if task.isolation == "none":
        for name in task.isolation_options:
            raise no_such_field(name, f"{field}.")
        check_held(task.limits, environment.limits, task.environment)
        return
    try:
        isolation = registry.isolation_of(task.isolation)
    except LookupError as problem:
        raise ValidationError(f"unknown isolation: {problem}, none", "isolation") from problem
    _let_check("isolation", lambda: isolation.validate(task, policy))
    if isolation.own_limits is None:
        check_held(task.limits, environment.limits, task.environment)
    else:
        check_held(task.limits, isolation.own_limits, task.isolation)
    if environment.elsewhere:
        return  # what is in the way there shows there
    obstacle = isolation.obstacle(policy)
    if obstacle is not None:
        detail = f"{task.isolation!r} cannot be used here: {obstacle.reason}. {obstacle.remedy}"
        raise ValidationError(detail, "isolation")


def _environment_of(task: Task) -> Any:
    try:
        return registry.find(
            task.environment, registry.ENVIRONMENTS, registry.ENVIRONMENT_ENTRY_POINTS
        )
    except LookupError as problem:
        raise ValidationError(f"unknown environment: {problem}", "environment") from problem


def _machine_of(task: Task) -> Any:
    try:
        return registry.machine_of(task.machine)
    except LookupError as problem:
        raise ValidationError(f"unknown machine: {problem}", "machine") from problem


def accepted(
    task: Task, max_output: int | None = None, policy: Policy = NOTHING
) -> dict[str, Json]:
    """Return what is stored of a task when it is accepted: all of it, and what was found out.

    `max_output` holds for a task that does not ask for another one. It is found out, and not part
    of the task: the same task may be submitted again when the default has changed. So is `policy`.
    """
    resources = getattr(_machine_of(task), "resources", None)
    return {
        **task.to_dict(),
        "createdAt": timestamp(),
        "resources": resources(task) if resources else {},
        "outputLimit": max_output if task.max_output is None else task.max_output,
        **({"policy": policy._asdict()} if task.isolation != "none" else {}),
    }


def task_from_record(record: Mapping[str, Json]) -> Task:
    """Make the task again of what was stored of it. Raises ValidationError."""
    return _from_fields({k: v for k, v in record.items() if k not in FOUND_OUT})


def checked_record(record: Mapping[str, Json]) -> Task:
    """Make the task again of a record of unknown origin. Raises ValidationError."""
    task = task_from_record(record)
    _check(task)
    for name in ("taskId", "createdAt"):
        _text(record.get(name), name)
    return task


def _from_fields(fields: Mapping[str, Json]) -> Task:
    if not isinstance(fields, Mapping):
        raise ValidationError("a task is a JSON object")
    for name in fields:
        if name not in FIELDS:
            raise no_such_field(name)
    if "machine" not in fields:
        raise ValidationError("the field is missing", "machine")
    values = {FIELDS[name]: value for name, value in fields.items()}
    return Task(**{"task_id": None, **values})


def _check(task: Task) -> None:
    if task.task_id is not None:
        _match(task.task_id, TASK_ID, "taskId")
    if task.rerun_of is not None:
        _match(task.rerun_of, TASK_ID, "rerunOf")
    _text(task.machine, "machine")
    if task.name is not None:
        _text(task.name, "name")
    _check_labels(task.labels)
    check_env(task.env, "env")
    check(task.limits)
    _check_execution(task)


def _check_execution(task: Task) -> None:
    _text(task.environment, "environment")
    _text(task.isolation, "isolation")
    if task.timeout is not None:
        _seconds(task.timeout, "timeout")
        if task.timeout == 0:
            raise ValidationError("it must be more than 0", "timeout")
    _seconds(task.grace_period, "gracePeriod")
    _check_output(task)
    if not isinstance(task.priority, int) or isinstance(task.priority, bool):
        raise ValidationError("it must be an integer", "priority")
    if abs(task.priority) > MAX_PRIORITY:
        raise ValidationError(f"it must be within ±{MAX_PRIORITY}", "priority")


def _check_output(task: Task) -> None:
    limit = task.max_output
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise ValidationError("it must be a number of bytes", "maxOutput")
    if limit is not None and not 0 <= limit <= MAX_BYTES:
        raise ValidationError(f"it must be from 0 to {MAX_BYTES} bytes", "maxOutput")
    if task.stderr not in STDERR:
        raise ValidationError(f"it must be one of {', '.join(STDERR)}", "stderr")


def _check_json(value: Json, field: str) -> None:
    """Refuse what json.loads takes but JSON does not have: NaN, half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as problem:
        raise ValidationError(f"it cannot be stored as JSON: {problem}", field) from problem


def _check_labels(labels: Json) -> None:
    _mapping(labels, "labels")
    if len(labels) > MAX_LABELS:
        raise ValidationError(f"more than {MAX_LABELS} labels", "labels")
    for key, value in labels.items():
        _text(key, "labels")
        if len(value) > MAX_NAME:
            raise ValidationError(f"{key!r} is longer than {MAX_NAME} characters", "labels")


def no_such_field(name: object, parent: str = "") -> ValidationError:
    """Return the error that refuses a member nobody knows."""
    # Half of a surrogate pair could not be written into the answer.
    known = str(name)[:MAX_NAME].encode(errors="replace").decode()
    return ValidationError("there is no such field", parent + known)


def check_env(env: Json, field: str) -> None:
    """Check environment variables: valid names, values that fit. Raises ValidationError."""
    _mapping(env, field)
    for name, value in env.items():
        if not re.fullmatch(ENV_NAME, name):
            raise ValidationError(f"{name!r} is not the name of a variable", field)
        if name.startswith("TASK_RUNNER_"):
            raise ValidationError(f"{name!r} is set by the Task Runner", field)
        check_argument(f"{name}={value}", field)


def check_argument(value: Json, field: str) -> None:
    """Check a string that is handed to execve(2): no NUL, not too long. Raises ValidationError."""
    check_text(value, field)
    if "\0" in value:
        raise ValidationError("a NUL character cannot be passed to a program", field)
    if len(value.encode()) > MAX_ARGUMENT:
        raise ValidationError(f"a string is longer than {MAX_ARGUMENT} bytes", field)


def check_text(value: Json, field: str) -> None:
    """Check that it is a string, and can be encoded. Raises ValidationError."""
    if not isinstance(value, str):
        raise ValidationError(f"a string is expected, not {type(value).__name__}", field)
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise ValidationError("it holds half of a surrogate pair", field) from problem


def _text(value: Json, field: str) -> None:
    check_argument(value, field)
    if not 0 < len(value) <= MAX_NAME:
        raise ValidationError(f"it must have 1 to {MAX_NAME} characters", field)
    if not value.isprintable():
        raise ValidationError("it holds a control character", field)


def _match(value: Json, pattern: str, field: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValidationError(f"it must match {pattern}", field)


def check_object(value: Json, field: str) -> None:
    """Check that it is a JSON object. Raises ValidationError."""
    if not isinstance(value, dict):
        raise ValidationError("it must be an object", field)


def _mapping(value: Json, field: str) -> None:
    check_object(value, field)
    for key, item in value.items():
        check_argument(key, field)
        check_argument(item, field)


def _seconds(value: Json, field: str) -> None:
    # `not (a <= b)` also refuses a NaN, which json.loads accepts.
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValidationError("it must be a number of seconds", field)
    if not 0 <= value <= MAX_SECONDS:
        raise ValidationError(f"it must be from 0 to {MAX_SECONDS} seconds", field)
