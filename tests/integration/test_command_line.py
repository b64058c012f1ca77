"""One task in the foreground: `python -m task_runner.lib.runner FILE`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.task_processes import is_running, kill_all_of
from tests.waiting import wait_until

RUNNER = [sys.executable, "-m", "task_runner.lib.runner"]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """Give a directory to run in; what runs there is gone at the end of the test."""
    (tmp_path / "here").mkdir()
    (tmp_path / "scratch").mkdir()
    yield tmp_path / "here"
    kill_all_of(tmp_path)


def start(
    here: Path, task: Any, file: str = "task.json", **options: Any
) -> subprocess.Popen[bytes]:
    (here.parent / "task.json").write_text(task if isinstance(task, str) else json.dumps(task))
    return subprocess.Popen(
        [*RUNNER, str(here.parent / file) if file != "-" else file],
        cwd=here,
        env={**os.environ, "TMPDIR": str(here.parent / "scratch")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def run(here: Path, task: Any, **options: Any) -> tuple[int, bytes, bytes]:
    """Run a task to its end; return exit code, output and what TaskRunner said of it."""
    with start(here, task, **options) as running:
        output, said = running.communicate(timeout=20)
    assert os.listdir(here.parent / "scratch") == []
    return running.returncode, output, said


def begin(here: Path, text: str, **fields: Any) -> subprocess.Popen[bytes]:
    """Start a script and return when it has printed `ready`."""
    running = start(here, script(text, **fields))
    assert output_of(running).readline() == b"ready\n"
    return running


def test_a_sandbox_in_the_foreground(here: Path) -> None:
    (here / "input").write_text("from here\n")
    text = "cat input; echo made > output; (echo x > /etc/x) 2>/dev/null || exit 3"
    code, output, _ = run(here, script(text, isolation="sandbox"))
    assert (code, output) == (3, b"from here\n")
    assert (here / "output").read_text() == "made\n"


def output_of(running: subprocess.Popen[bytes]) -> IO[bytes]:
    assert running.stdout is not None
    return running.stdout


def script(text: str, **fields: Any) -> dict[str, Any]:
    return {"machine": "command", "parameters": {"script": text}, **fields}


def echo(*lines: str, **fields: Any) -> dict[str, Any]:
    return {"machine": "echo", "parameters": [*lines], **fields}


def result_in(here: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((here / "cli.result").read_bytes())
    return result


@pytest.mark.parametrize(
    ("task", "code", "outcome", "said"),
    [
        (echo("ECHO hi"), 0, "succeeded", b""),
        (echo("RETURN 3"), 3, "failed", b"task_runner: failed\n"),
        (script("exit 255"), 255, "failed", b"task_runner: failed\n"),
        (script("kill -KILL $$"), 137, "crashed", b"task_runner: crashed\n"),
        (echo("RAISE no"), 1, "exception", b"task_runner: exception: RuntimeError: no\n"),
        (echo("SLEEP 60", timeout=0.2), 124, "timeout", b"task_runner: timeout\n"),
        (
            {"machine": "command", "parameters": {"argv": ["nothing"]}},
            127,
            "error",
            b"task_runner: error: nothing: No such file or directory\n",
        ),
    ],
)
def test_exit_code_and_result(
    here: Path, task: dict[str, Any], code: int, outcome: str, said: bytes
) -> None:
    found, _, words = run(here, task)
    assert (found, words) == (code, said)
    assert (result_in(here)["task_id"], result_in(here)["outcome"]) == ("cli", outcome)
    assert sorted(os.listdir(here)) == ["cli.result", "output.log"]


def test_the_output_is_shown_and_kept(here: Path) -> None:
    text = "head -c 3000000 /dev/urandom | tee copy; echo err >&2"
    _, output, _ = run(here, script(text))
    expected = (here / "copy").read_bytes() + b"err\n"
    assert output == (here / "output.log").read_bytes() == expected


def test_the_output_is_live(here: Path) -> None:
    with begin(here, "echo ready; until [ -e go ]; do sleep 0.01; done; echo done") as running:
        assert running.poll() is None
        (here / "go").touch()
        assert output_of(running).read() == b"done\n"


def test_a_reader_that_goes_does_not_harm_the_task(here: Path) -> None:
    with begin(here, "echo ready; until [ -e go ]; do sleep 0.01; done; echo end") as running:
        output_of(running).close()
        (here / "go").touch()
        assert running.wait(20) == 0
    assert (here / "output.log").read_bytes() == b"ready\nend\n"


def test_the_task_may_come_from_the_input(here: Path) -> None:
    with start(here, "", file="-", stdin=subprocess.PIPE) as running:
        output, said = running.communicate(json.dumps(echo("ECHO hi")).encode(), timeout=20)
    assert (running.returncode, output, said) == (0, b"hi\n", b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_runs_the_clean_up(here: Path, number: int) -> None:
    with begin(here, "trap 'echo bye; exit 0' TERM; echo ready; sleep 60 & wait") as running:
        running.send_signal(number)
        output, said = running.communicate(timeout=20)
    assert (running.returncode, output, said) == (130, b"bye\n", b"task_runner: canceled\n")
    assert (result_in(here)["outcome"], result_in(here)["exit_code"]) == ("canceled", -1)
    assert os.listdir(here.parent / "scratch") == []


def test_a_second_interrupt_does_not_wait(here: Path) -> None:
    text = "trap 'echo wait' TERM; echo ready; while :; do sleep 0.05; done"
    with begin(here, text, gracePeriod=600) as running:
        running.send_signal(signal.SIGINT)
        wait_until(lambda: "stop" in result_in(here))
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
    assert result_in(here)["signal"] == "SIGKILL"


def test_a_second_run_replaces_the_first(here: Path) -> None:
    run(here, echo("ECHO one", "RETURN 1"))
    assert run(here, echo("ECHO 2"))[:2] == (0, b"2\n")
    assert (here / "output.log").read_bytes() == b"2\n"
    assert result_in(here)["outcome"] == "succeeded"


@pytest.mark.parametrize("old", [b"", b"{}", b"[]", b'{"machine": 3}'])
def test_a_damaged_old_result_is_replaced(here: Path, old: bytes) -> None:
    (here / "cli.result").write_bytes(old)
    assert run(here, echo("ECHO 2")) == (0, b"2\n", b"")


def test_it_is_refused_while_one_runs(here: Path) -> None:
    with begin(here, "echo ready; until [ -e go ]; do sleep 0.01; done; echo end") as running:
        with start(here, echo()) as second:
            _, said = second.communicate(timeout=20)
        assert second.returncode == 2
        refusal = f"task_runner: a task is running in {here}; use another directory\n"
        assert said.decode() == refusal
        (here / "go").touch()
        assert output_of(running).read() == b"end\n"


def test_it_is_refused_while_a_machine_lives_whose_task_runner_was_killed(here: Path) -> None:
    with begin(here, "echo ready; until [ -e go ]; do sleep 0.01; done") as running:
        running.kill()
    machine = result_in(here)["machine"]["pid"]
    assert is_running(machine)
    with start(here, echo()) as second:
        _, said = second.communicate(timeout=20)
    assert second.returncode == 2
    assert f"process {machine})" in said.decode()
    assert said.count(b"\n") == 1
    (here / "go").touch()
    wait_until(lambda: not is_running(machine))
    with start(here, echo("ECHO again")) as third:
        assert third.communicate(timeout=20) == (b"again\n", b"")


@pytest.mark.parametrize(
    "task",
    ["", "{", "[]", "\0", "[" * 100_000, {}, {"machine": "nobody"}, echo("JUMP"), echo(extra=1)],
    ids=range(9),
)
def test_a_bad_task_is_refused_in_one_line(here: Path, task: Any) -> None:
    code, output, said = run(here, task)
    assert (code, output) == (2, b"")
    assert said.startswith(b"task_runner: ")
    assert said.count(b"\n") == 1
    assert os.listdir(here) == []


def test_a_file_that_is_missing(here: Path) -> None:
    code, _, said = run(here, "", file="other.json")
    assert code == 2
    assert b"other.json" in said
    assert said.count(b"\n") == 1


def test_usage(here: Path) -> None:
    for arguments, code in (([], 2), (["a", "b"], 2), (["--help"], 0)):
        done = subprocess.run([*RUNNER, *arguments], cwd=here, capture_output=True, check=False)
        assert (done.returncode, done.stderr[:6]) == (code, b"usage:")
