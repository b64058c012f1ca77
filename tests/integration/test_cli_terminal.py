"""The command line in a real terminal: colours, bars, questions, Ctrl-C, TAB."""

import re
import socket
from pathlib import Path

import pytest

from tests.node import Node
from tests.task_processes import is_running
from tests.terminal import BIN, COMMAND, INTERRUPT, data, piped, terminal
from tests.waiting import wait_until

PROGRESS = """
for part in 0.1 0.5; do
    echo "at $part"
    echo "{\\"progress\\": $part}" >&"$TASK_RUNNER_STATUS_FD"
    while [ ! -e "$1/$part" ]; do sleep 0.02; done
done
echo finished
"""


def test_ctrl_c_detaches_and_says_so(node: Node) -> None:
    with terminal(
        node, "run", "--id", "goes-on", "--", "sh", "-c", "echo begun; sleep 60"
    ) as shown:
        shown.until("begun")
        shown.type(INTERRUPT)
        assert shown.end() == 130
        text = shown.until("detached; goes-on goes on")
    assert "task-runner logs -f goes-on" in text
    assert "task-runner stop goes-on" in text
    view = node.view("goes-on")
    assert view["state"] == "running"
    assert is_running(view["processId"])
    with terminal(node, "logs", "-f", "@last") as shown:
        shown.until("begun")
        shown.type(INTERRUPT)
        assert shown.end() == 130
        assert "Traceback" not in shown.text
    assert node.view("goes-on")["state"] == "running"


def test_ctrl_c_before_the_node_has_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with terminal(None, "--url", url, "run", "--id", "mine", "--", "ls") as shown:
            connection, _ = silent.accept()
            shown.type(INTERRUPT)
            assert shown.end() == 130
            assert "whether it runs mine" in shown.text
            connection.close()


def test_run_shows_the_progress_below_the_output(node: Node, tmp_path: Path) -> None:
    with terminal(node, "run", "--", "bash", "-c", PROGRESS, "-", str(tmp_path)) as shown:
        shown.until("at 0.1")
        text = shown.until("10%")
        assert text.splitlines()[0] == "at 0.1"
        assert re.fullmatch("━+╌+ +10%", text.splitlines()[1])
        (tmp_path / "0.1").touch()
        text = shown.until("50%")
        assert text.splitlines()[:2] == ["at 0.1", "at 0.5"]
        assert len(text.splitlines()) == 3
        (tmp_path / "0.5").touch()
        assert shown.end() == 0
        assert shown.text.splitlines() == ["at 0.1", "at 0.5", "finished"]


def test_wait_shows_bars(node: Node, tmp_path: Path) -> None:
    slow = node.submit("command", {"argv": ["bash", "-c", PROGRESS, "-", str(tmp_path)]})
    other = node.sh("sleep 60")
    with terminal(node, "wait", slow, other) as shown:
        text = shown.until("running 10%")
        assert [line.split()[0] for line in text.splitlines()] == [slow, other]
        for part in ("0.1", "0.5"):
            (tmp_path / part).touch()
        node.http.post(f"/v1/tasks/{other}/stop")
        assert shown.end() == 130
        assert [line.split()[0] for line in shown.text.splitlines()] == ["TASK", slow, other]
        assert "canceled" in shown.text


def test_colours_only_where_they_are_wanted(node: Node) -> None:
    task = node.submit(parameters=["RETURN 1"])
    node.result(task)
    for no_colour, term in (("", "xterm"), ("1", "xterm"), ("", "dumb")):
        with terminal(node, "ps", NO_COLOR=no_colour, TERM=term) as shown:
            assert shown.end() == 0
            assert f"{task}  -     echo     failed" in shown.text
            assert (b"\x1b[31m" in shown.raw) == (not no_colour and term != "dumb")
    assert "\x1b" not in data(node, "ps")
    with terminal(node, "logs", task, task, NO_COLOR="1") as shown:
        assert shown.end() == 0
        assert b"\x1b" not in shown.raw


def test_a_table_fits_the_terminal_and_nothing_is_cut(node: Node) -> None:
    name = "a name that is a good deal longer than there is room for it"
    task = node.submit(name=name)
    node.result(task)
    with terminal(node, "ps", columns=90) as shown:
        assert shown.end() == 0
        assert all(word in shown.text for word in (task, *name.split(), "SUBMITTED", "TOOK"))
        assert len(shown.text.splitlines()) == 4
    with terminal(node, "ps", columns=40) as shown:
        assert shown.end() == 0
        assert all(word in shown.text.replace("\n", "") for word in (task, "echo", "succeeded"))
    assert name in data(node, "ps")


def test_prune_asks_on_a_terminal_only(node: Node) -> None:
    task = node.submit()
    node.result(task)
    for keys, code in ((b"n\n", 130), (b"\n", 130), (INTERRUPT, 130)):
        with terminal(node, "prune") as shown:
            shown.until("Remove 1 tasks with their files? [y/N]")
            shown.type(keys)
            assert shown.end() == code
    assert task in node.states()
    with terminal(node, "prune") as shown:
        shown.until("[y/N]")
        shown.type(b"y\n")
        assert shown.end() == 0
        assert task in shown.text
    assert node.states() == {}


def test_logs_of_several_have_prefixes_in_colours(node: Node) -> None:
    for name in ("one", "two"):
        node.submit(taskId=name, parameters=[f"ECHO {name}!"])
        node.result(name)
    with terminal(node, "logs", "one", "two") as shown:
        assert shown.end() == 0
        assert shown.text.splitlines() == ["one | one!", "two | two!"]
        assert shown.raw.count(b"\x1b[0m") == 2


BASH = ["bash", "--norc", "--noprofile", "-i"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("task-runner insp", "task-runner inspect"),
        ("task-runner run --detac", "task-runner run --detach"),
        ("task-runner logs --level war", "task-runner logs --level warning"),
        ("task-runner config sh", "task-runner config show"),
        ("task-runner ps -o ndj", "task-runner ps -o ndjson"),
    ],
)
def test_tab_completes_in_bash(typed: str, completed: str) -> None:
    with terminal(None, argv=BASH, PS1="ready> ") as shown:
        shown.until("ready>")
        shown.type(f'eval "$({COMMAND} completion bash)"; echo installed\n'.encode())
        shown.until("\ninstalled")
        shown.type(f"{typed}\t".encode())
        shown.until(f"ready> {completed}")
        shown.type(INTERRUPT)


def test_tab_shows_the_commands() -> None:
    with terminal(None, argv=BASH, PS1="ready> ") as shown:
        shown.until("ready>")
        shown.type(f'eval "$({COMMAND} completion bash)"; echo installed\n'.encode())
        shown.until("\ninstalled")
        shown.type(b"task-runner \t\t")
        text = shown.until("doctor")
        assert "rerun" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_every_shell(shell: str) -> None:
    assert "_TASK_RUNNER_COMPLETE" in data(None, "completion", shell)


def test_what_a_task_is_called_does_nothing_to_the_terminal(node: Node) -> None:
    task = node.submit(labels={"a": "\x1b[31mred\x07"})
    node.result(task)
    for output in ("table", "wide"):
        with terminal(node, "ps", "-o", output, columns=200) as shown:
            assert shown.end() == 0
            assert b"\x1b[31mred" not in shown.raw
    assert r"a=\x1b[31mred\x07" in data(node, "ps", "-o", "wide")


def test_a_node_that_restarts_under_a_run(node: Node) -> None:
    script = "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done"
    with terminal(node, "run", "--", "sh", "-c", script) as shown:
        shown.until("line 2")
        node.kill()
        node.start()
        assert shown.end() == 0
        assert shown.text.splitlines() == [f"line {number}" for number in range(1, 7)]


def test_quickly_through_the_path(node: Node) -> None:
    """The command is found as people call it."""
    with terminal(node, argv=["sh", "-c", "task-runner run -- echo hi"]) as shown:
        assert shown.end() == 0
        assert shown.text == "hi"
    assert Path(COMMAND).parent == BIN
    wait_until(lambda: piped(node, "ps").returncode == 0)
