import io
import json
import logging
from importlib import resources

import pytest

from task_runner.lib.errors import ValidationError
from task_runner.lib.machine import PythonMachine, TaskCanceled
from task_runner.lib.task import Task, task_from_dict
from task_runner.machines import echo_script
from task_runner.machines.echo import EchoMachine

MACHINE = EchoMachine()


def make(*lines: str) -> Task:
    return task_from_dict({"machine": "echo", "parameters": list(lines)})


def test_it_is_a_python_machine() -> None:
    machine: PythonMachine = MACHINE
    assert isinstance(machine, PythonMachine)


def test_validate_refuses_with_the_place() -> None:
    with pytest.raises(ValidationError) as caught:
        make("ECHO a", "SLEEP x")
    assert str(caught.value).startswith("parameters, line 2, column 7: ")


@pytest.mark.parametrize("fields", [{}, {"parameters": None}, {"parameters": 3}])
def test_missing_parameters_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        task_from_dict({"machine": "echo", **fields})
    assert caught.value.field == "parameters"


def test_run_prints_only_the_part_before_cleanup(capsys: pytest.CaptureFixture[str]) -> None:
    task = make("ECHO a  b", "ECHO", "USE SHARED x", "SLEEP 0", "ECHO c", "CLEANUP", "ECHO d")
    assert MACHINE.run(task) == 0
    assert capsys.readouterr() == ("a  b\n\nc\n", "")
    MACHINE.cleanup(task)
    assert capsys.readouterr() == ("d\n", "")


def test_each_line_is_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="utf-8"))
    MACHINE.run(make("ECHO ü"))
    assert written.getvalue() == b"\xc3\xbc\n"


def test_return_ends_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert MACHINE.run(make("ECHO a", "RETURN 7", "ECHO b")) == 7
    assert capsys.readouterr().out == "a\n"


@pytest.mark.parametrize(("line", "text"), [("RAISE", "RAISE"), ("RAISE so  what", "so  what")])
def test_raise(line: str, text: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        MACHINE.run(make(line, "RETURN 1"))
    assert str(caught.value) == text
    with pytest.raises(RuntimeError):
        MACHINE.cleanup(make("CLEANUP", line))


def test_log(caplog: pytest.LogCaptureFixture) -> None:
    levels = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
    with caplog.at_level(logging.DEBUG):
        MACHINE.run(make(*(f"LOG {level} to %s {level}" for level in levels)))
    assert caplog.record_tuples == [
        ("echo", logging.getLevelNamesMapping()[level], f"to %s {level}") for level in levels
    ]


def test_sleep_waits_and_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise TaskCanceled

    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(TaskCanceled):
        MACHINE.run(make("SLEEP 2.5", "SLEEP 9"))
    assert slept == [2.5]


def test_resources() -> None:
    task = make("USE SHARED a b", "USE exclusive c", "ECHO", "USE SHARED d")
    assert MACHINE.resources(task) == {"shared": ["a", "b", "d"], "exclusive": ["c"]}
    assert MACHINE.resources(make("USE EXCLUSIVE c")) == {"shared": [], "exclusive": ["c"]}
    assert MACHINE.resources(make("ECHO USE SHARED a")) == {}


def test_the_sample_task_takes_about_five_seconds() -> None:
    sample = resources.files("task_runner").joinpath("doc/sample_task.json").read_text()
    script = echo_script.parse(task_from_dict(json.loads(sample)).parameters)
    parts = script.main + script.cleanup
    assert 4 <= sum(part.seconds for part in parts if isinstance(part, echo_script.Sleep)) <= 6
    assert isinstance(parts[-1], echo_script.Echo)
    assert len({part.level for part in parts if isinstance(part, echo_script.Log)}) >= 3
