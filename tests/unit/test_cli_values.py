"""What is written on the command line, and what is shown there."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from task_runner.cli.columns import spell, state
from task_runner.cli.endings import exit_code_of, told_end
from task_runner.cli.failure import Failure
from task_runner.cli.node import told
from task_runner.cli.output import printable
from task_runner.cli.values import DURATION, MOMENT, json_pairs, pairs
from task_runner.client import ClientError, NodeUnreachableError, Task
from task_runner.client.errors import refusal

COMMAND = click.Command("run")
CONTEXT, OPTION = click.Context(COMMAND), click.Option(["--label"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("1w1d", 691200),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "1x", "-1", "1 h", "nan", "inf", "1h30"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration"):
        DURATION.convert(text, None, None)


def test_moments() -> None:
    begin = datetime.now(UTC)
    then = MOMENT.convert("10m", None, None) + timedelta(minutes=10)
    assert begin <= then <= datetime.now(UTC)
    exact = MOMENT.convert("2026-11-24T10:00:00+01:00", None, None)
    assert exact == datetime(2026, 11, 24, 9, tzinfo=UTC)
    assert MOMENT.convert("2026-11-24", None, None).tzinfo is not None
    with pytest.raises(click.BadParameter, match="is no time"):
        MOMENT.convert("soon", None, None)


def test_pairs() -> None:
    labels = pairs("NAME=VALUE")
    assert labels(CONTEXT, OPTION, ("a=1", "b=x=y", "c=")) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=x"):
        with pytest.raises(click.BadParameter, match="is not NAME=VALUE"):
            labels(CONTEXT, OPTION, (wrong,))
    assert pairs("NAME", str.upper)(CONTEXT, OPTION, ("a",)) == {"a": "A"}
    given = json_pairs(CONTEXT, OPTION, ("a=1", "b=true", 'c=["x"]', "d=text", "e=debian:12"))
    assert given == {"a": 1, "b": True, "c": ["x"], "d": "text", "e": "debian:12"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3661, "1h1m"),
        (90000, "1d1h"),
    ],
)
def test_spelled_durations(seconds: float, text: str) -> None:
    assert spell(timedelta(seconds=seconds)) == text


def test_states() -> None:
    assert state({"state": "running"}) == "running"
    assert state({"state": "running", "status": {"progress": 0.417}}) == "running 42%"
    assert state({"state": "exited", "outcome": "failed", "status": {"progress": 1}}) == "failed"
    assert state({"state": "lost", "outcome": "unknown"}) == "lost"


@pytest.mark.parametrize(
    ("outcome", "exit_code", "code"),
    [
        ("succeeded", 0, 0),
        ("failed", 7, 7),
        ("crashed", 137, 137),
        ("exception", -3, 1),
        ("canceled", -1, 130),
        ("timeout", -2, 124),
        ("error", None, 127),
        ("unknown", None, 125),
    ],
)
def test_exit_codes(outcome: str, exit_code: int | None, code: int) -> None:
    state = "lost" if outcome == "unknown" else "exited"
    view = {"taskId": "a", "state": state, "outcome": outcome, "exitCode": exit_code}
    task = Task.of({**view, "error": "the reason", "signal": "SIGKILL"})
    assert exit_code_of(task) == code
    assert told_end(task).startswith("a ")
    assert told_end(task).endswith(": the reason")


def test_an_error_does_nothing_to_the_terminal() -> None:
    view = {
        "taskId": "a",
        "state": "exited",
        "exitCode": -3,
        "outcome": "exception",
        "error": "red \x1b[31m",
    }
    assert told_end(Task.of(view)).endswith("red \\x1b[31m")


def test_nothing_printable_does_anything() -> None:
    assert printable("ü ☃ \x1b[31m\n\x9b\u202e") == r"ü ☃ \x1b[31m\n\x9b\u202e"


@pytest.mark.parametrize(
    ("error", "next_command"),
    [
        (NodeUnreachableError("no node"), "task-runner serve"),
        (refusal(400, b"{}"), "task-runner machines"),
        (refusal(404, b"{}"), "task-runner ps -a"),
        (refusal(409, b"{}"), "task-runner inspect"),
        (refusal(507, b"{}"), "task-runner prune --older-than 7d"),
        (refusal(503, b"{}"), "task-runner doctor"),
    ],
)
def test_every_failure_names_the_next_command(error: ClientError, next_command: str) -> None:
    with pytest.raises(Failure) as caught, told():
        raise error
    assert caught.value.next_command.startswith(next_command)
