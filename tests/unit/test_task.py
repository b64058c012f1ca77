import json
import math
from typing import Any

import pytest

from task_runner.lib import registry
from task_runner.lib.errors import ValidationError
from task_runner.lib.task import (
    MAX_ARGUMENT,
    MAX_BYTES,
    MAX_LABELS,
    MAX_NAME,
    MAX_PRIORITY,
    MAX_SECONDS,
    Task,
    task_from_dict,
    task_from_record,
)

SMALLEST: dict[str, Any] = {"machine": "echo", "parameters": ["ECHO a"]}
FULL: dict[str, Any] = {
    **SMALLEST,
    "taskId": "Job_1.a-b",
    "name": "nächtlicher Lauf",
    "labels": {"team": "blue", "empty": ""},
    "environment": "multiprocess",
    "environmentOptions": {},
    "isolation": "none",
    "isolationOptions": {},
    "limits": {"memory": 1 << 30, "openFiles": 100},
    "env": {"A": "1", "_b2": ""},
    "timeout": 1.5,
    "gracePeriod": 0,
    "priority": -5,
    "rerunOf": "Job_0",
    "maxOutput": 0,
    "stderr": "separate",
}


def refused(fields: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        task_from_dict(fields)
    return caught.value


def test_defaults() -> None:
    task = task_from_dict(SMALLEST)
    assert task == Task(None, "echo", ["ECHO a"])
    assert (task.timeout, task.grace_period, task.priority) == (None, 10.0, 0)
    assert (task.environment, task.isolation) == ("multiprocess", "none")
    assert (task.max_output, task.stderr, task.has_stderr) == (None, "merged", False)


def test_every_field() -> None:
    task = task_from_dict(FULL)
    assert task.to_dict() == FULL
    assert (task.task_id, task.grace_period) == ("Job_1.a-b", 0)


@pytest.mark.parametrize("fields", [SMALLEST, FULL])
def test_a_record_gives_the_same_task(fields: dict[str, Any]) -> None:
    task = task_from_dict(fields)
    assert task_from_record(json.loads(json.dumps(task.to_dict()))) == task


@pytest.mark.parametrize("fields", [None, [], "echo", 1, [["machine", "echo"]]])
def test_a_task_is_an_object(fields: object) -> None:
    assert refused(fields).detail == "a task is a JSON object"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *[("colour", "colour"), ("task_id", "task_id"), ("", ""), (3, "3"), ("\ud800", "?")],
        ("x" * 10_000, "x" * MAX_NAME),
    ],
)
def test_unknown_fields_are_refused(name: object, field: str) -> None:
    error = refused({**SMALLEST, name: 1})
    assert (error.field, error.detail) == (field, "there is no such field")


def test_machine_is_required() -> None:
    error = refused({"parameters": []})
    assert (error.field, error.detail) == ("machine", "the field is missing")


def test_unknown_machine_names_the_known_ones() -> None:
    error = refused({"machine": "no-such", "parameters": []})
    assert error.field == "machine"
    assert "there is no 'no-such'; there are: command, echo" in error.detail


def test_a_broken_plug_in_refuses_its_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(registry.MACHINES, "broken", "no_such_module:Machine")
    error = refused({"machine": "broken"})
    assert error.field == "machine"
    assert "cannot be loaded" in error.detail
    assert "broken" in caplog.text


def test_the_machine_checks_its_parameters() -> None:
    error = refused({"machine": "echo", "parameters": ["ECHO a", "  NO"]})
    assert (error.field, error.line, error.column) == ("parameters", 2, 3)


WRONG_TEXT = [1, True, [], {}, "", "a\nb", "a\0b", "\ud800", "a" * (MAX_NAME + 1)]
WRONG_OBJECT = [None, 1, "a", [], [["a", "b"]], {"a": 1}, {"a": None}, {"a": "\0"}, {1: "a"}]
WRONG_SECONDS = [True, "1", [], -1, -0.001, math.nan, math.inf, -math.inf, MAX_SECONDS + 1, 10**400]
LONG = "a" * (MAX_NAME + 1)
WRONG: dict[str, list[Any]] = {
    "machine": [None, *WRONG_TEXT],
    "name": WRONG_TEXT,
    "taskId": [1, True, "", "-a", ".a", "_a", "a/b", "a b", "ä", "a\n", "a" * 65, ["a"]],
    "labels": [
        *[*WRONG_OBJECT, {"": "a"}, {"a\n": "a"}, {"\ud800": "a"}, {"a": LONG}, {LONG: "a"}],
        {str(number): "" for number in range(MAX_LABELS + 1)},
    ],
    "env": [
        *[*WRONG_OBJECT, *({name: "x"} for name in ["", "1A", "A-B", "A=B", "Ä", "A\n", "A B"])],
        *[{"TASK_RUNNER_TASK_ID": "x"}, {"A": "x" * (MAX_ARGUMENT - 1)}],
    ],
    "environment": [None, "", "thread", 1, []],
    "isolation": [None, "", "no-such", False],
    "isolationOptions": [None, 1, "a", []],
    "timeout": [0, 0.0, *WRONG_SECONDS],
    "maxOutput": [-1, 1.0, True, "1", MAX_BYTES + 1],
    "stderr": ["apart", None, True, ""],
    "gracePeriod": [None, *WRONG_SECONDS],
    "rerunOf": [1, "", "../x", "a b", "x\n", "a" * 65],
    "priority": [None, True, 1.0, "1", MAX_PRIORITY + 1, -(10**400)],
}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [pytest.param(field, wrong, id=field) for field, values in WRONG.items() for wrong in values],
)
def test_refused_values(field: str, wrong: object) -> None:
    assert refused({**SMALLEST, field: wrong}).field == field


@pytest.mark.parametrize(
    ("field", "right"),
    [
        ("taskId", "a" * 64),
        ("taskId", None),
        ("name", "a" * MAX_NAME),
        ("name", None),
        ("labels", {str(number): "x" * MAX_NAME for number in range(MAX_LABELS)}),
        ("env", {"A": "x" * (MAX_ARGUMENT - 2)}),
        ("maxOutput", None),
        ("maxOutput", MAX_BYTES),
        ("stderr", "merged"),
        ("timeout", None),
        ("timeout", 1),
        ("timeout", 0.001),
        ("timeout", MAX_SECONDS),
        ("gracePeriod", MAX_SECONDS),
        ("priority", MAX_PRIORITY),
        ("priority", -MAX_PRIORITY),
    ],
)
def test_accepted_values(field: str, right: object) -> None:
    assert task_from_dict({**SMALLEST, field: right}).to_dict()[field] == right


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValidationError("no"), "no"),
        (ValidationError("no", "name"), "name: no"),
        (ValidationError("no", "parameters", 2, 3), "parameters, line 2, column 3: no"),
    ],
)
def test_text_of_an_error(error: ValidationError, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, ValueError)
