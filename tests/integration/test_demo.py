"""The demo, as `make demo` runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.node import ROOT
from tests.task_processes import processes_of
from tests.waiting import wait_until

DEADLINE = 60.0
SAMPLE = ROOT / "task_runner" / "doc" / "sample_task.json"
LOG_BEGINS = "    Hello, I am a task."
"""With the blanks before a line of the log: the request that is shown has the same text."""
LOG_ENDS = "    Goodbye."


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Everything that the demo could leave somewhere: temporary, home and current directory."""
    for name in ("tmp", "cwd", "home"):
        (tmp_path / name).mkdir()
    return tmp_path


@contextmanager
def demo(home: Path, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "TMPDIR": str(home / "tmp"), "HOME": str(home / "home")}
    env.pop("PYTHONUNBUFFERED", None)  # lines come at once because they are flushed
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "task_runner.demo"],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was never shown: {lines}")


def touched_by(home: Path) -> set[int]:
    """Return every process that has been told of the temporary directory, or works in it."""
    mark = bytes(home / "tmp")
    found = {process.pid for process in processes_of(home)}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            if mark in told or os.readlink(entry / "cwd").startswith(str(home)):
                found.add(int(entry.name))
    return found


def test_it_shows_everything_live_and_leaves_nothing(home: Path) -> None:
    with demo(home) as process:
        before = lines_until(process, LOG_BEGINS)
        # The first line is here, and the task has not even written the last one.
        [log] = (home / "tmp").glob("task_runner-demo-*/task-*/output.log")
        assert LOG_BEGINS.strip() in log.read_text()
        assert LOG_ENDS.strip() not in log.read_text()
        assert len(touched_by(home)) >= 4  # demo, server, TaskRunner, machine, ...
        rest, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    text = "".join(before) + rest
    assert text.index("POST /v1/tasks") < text.index(LOG_BEGINS) < text.index(LOG_ENDS)
    result = json.loads(rest[rest.rindex('{"state"') :].splitlines()[0])
    assert (result["state"], result["outcome"], result["exitCode"]) == ("exited", "succeeded", 0)
    wait_until(lambda: not touched_by(home))
    assert os.listdir(home / "tmp") == []


def test_it_shows_the_log_of_the_sample_from_any_directory(home: Path) -> None:
    sample = json.loads(SAMPLE.read_text())
    wanted = [
        statement.split(maxsplit=2 if statement.startswith("LOG") else 1)[-1]
        for statement in sample["parameters"]
        if statement.startswith(("ECHO", "LOG"))
    ]
    with demo(home, cwd=home / "cwd") as process:
        text, _ = process.communicate(timeout=DEADLINE)
    shown = [line for line in text.splitlines() if line.startswith("    ")]
    assert len(shown) == len(wanted), text
    assert all(line.endswith(text) for line, text in zip(shown, wanted, strict=True))
    assert os.listdir(home / "cwd") == []


def test_when_it_is_interrupted_nothing_is_left(home: Path) -> None:
    with demo(home) as process:
        lines_until(process, LOG_BEGINS)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
    assert process.returncode not in {0, None}
    wait_until(lambda: not touched_by(home))
    assert os.listdir(home / "tmp") == []
