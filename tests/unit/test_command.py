import json
import os
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from task_runner.lib import machine
from task_runner.lib.errors import ValidationError
from task_runner.lib.task import MAX_ARGUMENT, Task, task_from_dict
from task_runner.machines.command import CommandMachine

MACHINE = CommandMachine()
ARGV = ["/bin/echo"]


def make(parameters: Any) -> Task:
    return task_from_dict({"machine": "command", "parameters": parameters})


def refused(parameters: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        make(parameters)
    return caught.value


def test_it_is_a_command_machine() -> None:
    checked: machine.CommandMachine = MACHINE
    assert isinstance(checked, machine.CommandMachine)
    assert not isinstance(checked, machine.PythonMachine)


def test_argv_is_handed_over_as_it_is(tmp_path: Path) -> None:
    argv = ["prog", "a b", "", "$HOME", "*", "'x'", "ü", "--"]
    command = MACHINE.command(make({"argv": argv}), str(tmp_path))
    assert command == machine.Command(tuple(argv), {}, b"")
    assert list(tmp_path.iterdir()) == []


def test_env_and_stdin(tmp_path: Path) -> None:
    task = make({"argv": ARGV, "env": {"A": "1", "B": ""}, "stdin": "ü\0\n"})
    command = MACHINE.command(task, str(tmp_path))
    assert (command.env, command.stdin) == ({"A": "1", "B": ""}, b"\xc3\xbc\0\n")


@pytest.mark.parametrize("wrong", [None, "ls", ["ls"], 1, True])
def test_parameters_must_be_an_object(wrong: object) -> None:
    assert refused(wrong).field == "parameters"


@pytest.mark.parametrize("wrong", [{}, {"env": {}}, {"argv": ARGV, "script": "true"}])
def test_exactly_one_of_argv_and_script(wrong: object) -> None:
    error = refused(wrong)
    assert (error.field, error.detail) == ("parameters", "it needs either argv or script")


@pytest.mark.parametrize(
    ("key", "field"), [("shell", "parameters.shell"), ("\ud800", "parameters.?")]
)
def test_unknown_keys_are_refused(key: str, field: str) -> None:
    assert refused({"argv": ARGV, key: True}).field == field


@pytest.mark.parametrize(
    "wrong", [None, [], "ls -l", ["ls", 1], ["ls", None], [""], ["ls", "a\0b"], ["ls", "\ud800"]]
)
def test_argv_refusals(wrong: object) -> None:
    assert refused({"argv": wrong}).field == "parameters.argv"


def test_the_longest_argument_is_what_the_kernel_takes() -> None:
    longest = "ü" * (MAX_ARGUMENT // 2) + "a"
    make({"argv": ["/bin/true", longest]})
    assert subprocess.run(["/bin/true", longest], check=False).returncode == 0
    assert refused({"argv": ["/bin/true", longest + "a"]}).field == "parameters.argv"


def test_the_longest_variable_is_what_the_kernel_takes() -> None:
    longest = "a" * (MAX_ARGUMENT - len("A="))
    make({"argv": ARGV, "env": {"A": longest}})
    assert subprocess.run(["/bin/true"], env={"A": longest}, check=False).returncode == 0
    assert refused({"argv": ARGV, "env": {"A": longest + "a"}}).field == "parameters.env"


@pytest.mark.parametrize(
    "wrong",
    [
        *[None, [], {"A": 1}, {"A": None}, {"1A": "x"}, {"A=B": "x"}, {"": "x"}, {"A": "\0"}],
        *[{"TASK_RUNNER_DIR": "x"}, {"A": "\ud800"}, {"\ud800": "x"}],
    ],
)
def test_env_refusals(wrong: object) -> None:
    assert refused({"argv": ARGV, "env": wrong}).field == "parameters.env"


@pytest.mark.parametrize("wrong", [None, 1, ["a"], "\ud800"])
def test_stdin_refusals(wrong: object) -> None:
    assert refused({"argv": ARGV, "stdin": wrong}).field == "parameters.stdin"


@pytest.mark.parametrize("wrong", [None, "", 1, ["true"], "true\0", "\ud800"])
def test_script_refusals(wrong: object) -> None:
    assert refused({"script": wrong}).field == "parameters.script"


def test_script_is_run_by_bash(tmp_path: Path) -> None:
    text = "echo ü ${BASH_VERSION:+bash}\n" + "#" * MAX_ARGUMENT
    command = MACHINE.command(make({"script": text}), str(tmp_path))
    path = tmp_path / "script"
    assert command.argv == ("/bin/bash", str(path))
    assert path.read_bytes() == text.encode()
    assert path.stat().st_mode & 0o777 == 0o700
    done = subprocess.run(command.argv, check=True, capture_output=True)
    assert done.stdout.decode() == "ü bash\n"


def test_script_with_its_own_interpreter(tmp_path: Path) -> None:
    command = MACHINE.command(make({"script": "#!/bin/cat\nhello\n"}), str(tmp_path))
    assert command.argv == (str(tmp_path / "script"),)
    done = subprocess.run(command.argv, check=True, capture_output=True)
    assert done.stdout == b"#!/bin/cat\nhello\n"


def test_script_that_remained_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("a longer script than the new one")
    path.chmod(0o644)
    MACHINE.command(make({"script": "true"}), str(tmp_path))
    assert path.read_text() == "true"
    assert path.stat().st_mode & 0o777 == 0o700


def test_script_is_not_written_through_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "script").symlink_to(other)
    with pytest.raises(OSError, match="symbolic link"):
        MACHINE.command(make({"script": "true"}), str(tmp_path))
    assert other.read_text() == "mine"


def test_script_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        MACHINE.command(make({"script": "true"}), str(tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / "script").stat().st_mode & 0o777 == 0o700


def test_the_sample_build_task_is_accepted() -> None:
    sample = resources.files("task_runner").joinpath("doc/sample_build_task.json").read_text()
    assert task_from_dict(json.loads(sample)).parameters["script"].startswith("#!/bin/bash\n")
