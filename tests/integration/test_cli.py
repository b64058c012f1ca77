"""The command line, piped: what it prints, where, and with which exit code it ends."""

import json
import os
import re
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from task_runner.client import Client
from tests.node import Node
from tests.task_processes import is_running
from tests.terminal import COMMAND, data, environment, piped
from tests.waiting import wait_until

ID = "[0-9a-f]{12}"


@pytest.fixture
def node(node_for_all: Node) -> Node:
    """Give a node whose tasks are those of this test alone."""
    with Client(f"http://127.0.0.1:{node_for_all.port}") as client:
        for task in client.list():
            client.stop(task.task_id)
            client.wait(task.task_id)
            client.delete(task.task_id)
    return node_for_all


def only_line(text: str) -> str:
    [line] = text.splitlines()
    return line


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("echo out; echo err >&2", 0, ""),
        ("echo out; echo err >&2; exit 7", 7, "failed with exit code 7"),
        ("echo out; echo err >&2; kill -KILL $$", 137, "was killed by SIGKILL"),
    ],
)
def test_run_has_the_output_and_the_exit_code_of_the_task(
    node: Node, script: str, code: int, said: str
) -> None:
    done = piped(node, "run", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (code, "out\nerr\n")
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)
    done = piped(node, "run", "--stderr", "separate", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (code, "out\n")
    assert done.stderr.startswith("err\n")
    assert said in done.stderr


def test_run_of_what_cannot_be_started_or_takes_too_long(node: Node) -> None:
    done = piped(node, "run", "--", "no-such-program")
    assert done.returncode == 127
    assert "could not be started" in done.stderr
    assert "no-such-program" in done.stderr
    done = piped(node, "run", "--timeout", "0.2s", "--", "sleep", "60")
    assert done.returncode == 124
    assert "has had its time" in done.stderr
    done = piped(node, "run", "-m", "echo", "--", "ECHO before", "RAISE sorry")
    assert done.returncode == 1
    assert done.stdout.startswith("before\n")
    assert "sorry" in done.stderr


def test_run_passes_on_what_it_is_told(node: Node) -> None:
    task_id = only_line(
        data(
            node, "run", "-d", "--id", "mine", "-n", "a name", "-l", "a=b", "-l", "c=d=e",
            "--env", "ONE=1", "--env", "PASSED", "--timeout", "1m30s", "--grace-period", "3",
            "--priority", "-7", "-e", "multiprocess", "-i", "none",
            "sh", "-c", "echo $ONE $PASSED -l",
            PASSED="on",
        )
    )  # fmt: skip
    assert task_id == "mine"
    assert data(node, "logs", "-f", "mine") == "1 on -l\n"
    view = node.result("mine")
    assert (view["name"], view["labels"]) == ("a name", {"a": "b", "c": "d=e"})
    assert (view["timeout"], view["gracePeriod"], view["priority"]) == (90, 3, -7)
    assert view["env"] == ["ONE", "PASSED"]
    assert view["parameters"] == {"argv": ["sh", "-c", "echo $ONE $PASSED -l"]}


def test_run_with_parameters_for_any_machine(node: Node) -> None:
    script = '{"script": "cat; exit 4", "stdin": "from json\\n"}'
    done = piped(node, "run", "-p", script)
    assert (done.returncode, done.stdout) == (4, "from json\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "what is to be run?"),
        (["run", "-p", "{}", "--", "ls"], "either --parameters or a command"),
        (["run", "-p", "{"], "not JSON"),
        (["run", "-m", "countdown", "--", "x"], "--parameters"),
        (["run", "-l", "x", "--", "ls"], "'x' is not NAME=VALUE"),
        (["run", "--env", "NOT_SET_HERE", "--", "ls"], "NOT_SET_HERE is not set here"),
        (["run", "--timeout", "soon", "--", "ls"], "'soon' is no duration"),
        (["logs", "x", "-n", "1", "--since", "1m"], "exclude each other"),
        (["logs", "x", "--since", "yesterday"], "'yesterday' is no time"),
        (["logs"], "Missing argument 'ID...'"),
        (["ps", "-o", "xml"], "'xml' is not one of"),
        (["submit", "/no/such/file"], "No such file"),
        (["prune", "--older-than", "1"], ""),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["--url", "nonsense", "ps"], "is none of http://HOST:PORT"),
    ],
)
def test_usage(node: Node, words: list[str], said: str) -> None:
    done = piped(node, *words)
    if words[0] == "prune":  # there is nothing to ask about
        assert done.returncode == 0
        return
    assert done.returncode == (125 if words[0] == "--url" else 2), done
    assert done.stdout == ""
    assert said in done.stderr
    assert "task-runner" in done.stderr  # the next command
    assert "Traceback" not in done.stderr


def test_what_the_node_refuses_is_told_with_the_field(node: Node) -> None:
    done = piped(node, "run", "-i", "walls", "--", "ls")
    assert done.returncode == 125
    assert "isolation" in done.stderr
    assert "  next: " in done.stderr
    done = piped(node, "submit", "-", stdin='{"machine": "echo", "parameters": ["DANCE"]}')
    assert done.returncode == 125
    assert "parameters, line 1" in done.stderr
    assert node.states() == {}


def test_submit(node: Node, tmp_path: Path) -> None:
    task = {"machine": "echo", "parameters": ["ECHO hi"]}
    path = tmp_path / "task.json"
    path.write_text(json.dumps(task))
    first = only_line(data(node, "submit", str(path)))
    assert re.fullmatch(ID, first)
    second = only_line(data(node, "submit", "-q", "-", stdin=json.dumps(task)))
    assert node.states().keys() == {first, second}
    [answer] = json.loads(data(node, "submit", "-o", "json", str(path)))
    assert answer.keys() == {"taskId", "state"}
    done = piped(node, "submit", "--check", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert "would be accepted" in done.stderr
    assert len(node.states()) == 3
    for text, said in (("{", "not JSON"), ("[]", "no JSON object"), ("[" * 100000, "not JSON")):
        path.write_text(text)
        done = piped(node, "submit", str(path))
        assert done.returncode == 2
        assert said.replace("no JSON", "JSON") in done.stderr


HEAD = ["TASK", "NAME", "MACHINE", "STATE", "EXIT", "SUBMITTED", "TOOK"]


def test_ps(node: Node) -> None:
    assert data(node, "ps").split() == HEAD
    active = node.sh("sleep 60", name="under way")
    ids = [node.submit(labels={"n": str(number)}) for number in range(22)]
    for one in ids:
        node.result(one)
    assert data(node, "ps", "-o", "name").split() == [active, *ids[-20:]]
    assert data(node, "ps", "-a", "-o", "name").split() == [active, *ids]
    assert data(node, "ps", "-n", "2", "-o", "name").split() == ids[-2:]
    assert data(node, "ps", "-n", "0", "-o", "name") == ""
    assert data(node, "ps", "-s", "running", "-o", "name").split() == [active]
    assert data(node, "ps", "-l", "n=3", "-o", "name").split() == [ids[3]]
    assert data(node, "ps", "-a", "-m", "command", "-o", "name").split() == [active]
    now = datetime.now(UTC).isoformat()
    assert data(node, "ps", "-a", "--since", now, "-o", "name") == ""
    assert len(data(node, "ps", "-a", "--since", "1h", "-o", "name").split()) == 23
    listed = json.loads(data(node, "ps", "-a", "-o", "json"))
    lines = [json.loads(line) for line in data(node, "ps", "-a", "-o", "ndjson").splitlines()]
    assert [one["taskId"] for one in listed] == [one["taskId"] for one in lines] == [active, *ids]
    first = data(node, "ps", "-a", "-o", "wide").splitlines()[1]
    assert first.split()[:5] == [active, "under", "way", "command", "running"]
    node.http.post(f"/v1/tasks/{active}/stop")
    assert node.result(active)["outcome"] == "canceled"


def test_a_task_is_found_by_a_beginning_and_as_the_last(node: Node) -> None:
    for name in ("abc-1", "abc-2", "abd"):
        node.submit(taskId=name)
        node.result(name)
    assert json.loads(data(node, "inspect", "abd", "-o", "json"))["taskId"] == "abd"
    assert json.loads(data(node, "inspect", "abc-1", "-o", "json"))["taskId"] == "abc-1"
    assert data(node, "inspect", "@last", "-o", "name") == "abd\n"
    assert data(node, "inspect", "abd", "abc-2", "-o", "name") == "abd\nabc-2\n"
    for word, said in (("abc", "'abc' begins several: abc-1, abc-2"), ("x", "no task 'x'")):
        done = piped(node, "inspect", word)
        assert (done.returncode, done.stdout) == (125, "")
        assert said in done.stderr
        assert "  next: task-runner ps -a" in done.stderr


def test_inspect(node: Node) -> None:
    task = node.submit(parameters=["RETURN 5"], name="one", env={"SECRET": "do not show"})
    node.result(task)
    rows = dict(line.split(None, 1) for line in data(node, "inspect", task).splitlines())
    assert (rows["taskId"], rows["outcome"], rows["exitCode"]) == (task, "failed", "5")
    assert json.loads(rows["env"]) == ["SECRET"]
    assert "signal" not in rows
    assert "signal" in data(node, "inspect", "-o", "wide", task)
    assert [
        one["exitCode"] for one in json.loads(data(node, "inspect", task, task, "-o", "json"))
    ] == [5, 5]
    assert "do not show" not in data(node, "inspect", "-o", "wide", task)


LOG = ["ECHO one", "LOG WARNING two", "LOG DEBUG three", "ECHO four"]


def test_logs(node: Node) -> None:
    first, second = (node.submit(taskId=name, parameters=LOG) for name in ("first", "other-one"))
    for task in (first, second):
        node.result(task)
    raw = node.output(first)
    assert data(node, "logs", first) == data(node, "logs", "-f", first) == raw
    assert data(node, "logs", "-n", "2", first).splitlines() == raw.splitlines()[-2:]
    assert data(node, "logs", "--since", "1h", first) == raw
    assert data(node, "logs", "--since", datetime.now(UTC).isoformat(), first) == ""
    loud = [
        line.split("] ")[-1] for line in data(node, "logs", "--level", "info", first).splitlines()
    ]
    assert loud == ["one", "two", "four"]
    assert data(node, "logs", "--grep", "^o|ee$", first).splitlines() == [
        raw.splitlines()[0],
        raw.splitlines()[2],
    ]
    assert data(node, "logs", "--grep", "T[Wx]O", "-i", first) == f"{raw.splitlines()[1]}\n"
    done = piped(node, "logs", "--grep", "(", first)
    assert done.returncode == 125
    assert "grep" in done.stderr
    stamped = data(node, "logs", "-t", first).splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 ", line) for line in stamped)
    assert stamped[1] == raw.splitlines()[1]
    both = data(node, "logs", first, second).splitlines()
    assert both[0] == "first     | one"
    assert both[4] == "other-one | one"
    assert sorted(data(node, "logs", "-f", first, second).splitlines()) == sorted(both)


def test_files(node: Node, tmp_path: Path) -> None:
    task = node.sh("mkdir sub; printf 'a\\0b' > sub/one; echo two > two")
    node.result(task)
    rows = [line.split()[:3] for line in data(node, "files", task).splitlines()]
    assert rows == [
        ["PATH", "TYPE", "SIZE"],
        ["sub", "directory", "-"],
        ["sub/one", "file", "3"],
        ["two", "file", "4"],
    ]
    assert data(node, "files", task, "get", "sub/one") == "a\0b"
    path = tmp_path / "all.tar.gz"
    assert data(node, "files", "@last", "get", "-O", str(path)) == ""
    with tarfile.open(path) as packed:
        assert f"{task}/two" in packed.getnames()
    path.unlink()
    done = piped(node, "files", task, "get", "none", "-O", str(path))
    assert done.returncode == 125
    assert f"  next: task-runner files {task}" in done.stderr
    assert not path.exists()


def test_logs_are_bytes(node: Node) -> None:
    task = node.sh(r"printf 'a\000\377\r\033[31mred\nno end'")
    node.result(task)
    done = subprocess.run(
        [COMMAND, "logs", task], env=environment(node), capture_output=True, check=True
    )
    assert done.stdout == b"a\x00\xff\r\x1b[31mred\nno end"


def test_the_other_log(node: Node) -> None:
    task = node.sh("echo out; echo err >&2", stderr="separate")
    node.result(task)
    assert data(node, "logs", task) == "out\n"
    assert data(node, "logs", "--stderr", task) == "err\n"


def test_a_reader_that_goes_away(node: Node) -> None:
    task = node.sh("seq 1 200000")
    node.result(task)
    script = f"{COMMAND} logs {task} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment(node), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("1\n141\n", "")


def test_what_cannot_be_written_is_told_in_one_line(node: Node) -> None:
    node.result(node.submit())
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "ps"], env=environment(node), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 125
    assert done.stderr.decode().startswith("task-runner: [Errno 28] No space left on device\n")
    assert b"Traceback" not in done.stderr


def test_wait(node: Node) -> None:
    good, bad = node.submit(), node.submit(parameters=["SLEEP 0.2", "RETURN 9"])
    done = piped(node, "wait", good, bad, "-o", "json")
    assert done.returncode == 9
    assert [task["exitCode"] for task in json.loads(done.stdout)] == [0, 9]
    assert data(node, "wait", good, "-o", "name") == f"{good}\n"
    slow = node.sh("sleep 60")
    done = piped(node, "wait", slow, "--timeout", "0.3")
    assert (done.returncode, done.stdout) == (124, "")
    assert f"{slow} is not so far after 0.3 seconds" in done.stderr
    assert data(node, "wait", slow, "--for", "running", "-o", "name") == f"{slow}\n"
    done = piped(node, "wait", good, "--for", "running", "-o", "name")
    assert done.returncode == 125
    assert "it will not be running any more" in done.stderr
    waiting = subprocess.Popen(
        [COMMAND, "wait", slow, "--for", "exited", "--for", "stopping", "-o", "name"],
        env=environment(node),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert data(node, "stop", "-w", slow) == f"{slow}\n"
    assert waiting.communicate(timeout=30)[0] == f"{slow}\n"
    assert waiting.returncode == 0


def test_stop_and_rm(node: Node) -> None:
    done, slow = node.submit(), node.sh("sleep 60")
    node.result(done)
    refused = piped(node, "rm", done, slow)
    assert (refused.returncode, refused.stdout) == (125, f"{done}\n")
    assert f"  next: task-runner rm --force {slow}" in refused.stderr
    pid = node.view(slow)["processId"]
    assert is_running(pid)
    assert data(node, "rm", "-f", slow) == f"{slow}\n"
    assert node.states() == {}
    assert not node.directory(slow).exists()


def test_prune(node: Node) -> None:
    good, bad, slow = (
        node.submit(labels={"a": "b"}),
        node.submit(parameters=["RETURN 1"]),
        node.sh("sleep 60"),
    )
    for task in (good, bad):
        node.result(task)
    refused = piped(node, "prune")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert piped(node, "prune", "--dry-run").stdout.split() == [good, bad]
    assert piped(node, "prune", "--older-than", "1h", "-y").stdout == ""
    assert piped(node, "prune", "-l", "a=c", "-y").stdout == ""
    assert len(node.states()) == 3
    done = piped(node, "prune", "--success-only", "-y")
    assert (done.returncode, done.stdout) == (0, f"{good}\n")
    assert "1 were removed" in done.stderr
    assert piped(node, "prune", "-y", "--older-than", "0").stdout == f"{bad}\n"
    assert node.states().keys() == {slow}


def test_rerun(node: Node, tmp_path: Path) -> None:
    task = node.sh("echo $GREETING; exit 6", env={"GREETING": "hello"}, name="one")
    node.result(task)
    again = only_line(data(node, "rerun", "@last"))
    assert again != task
    assert data(node, "logs", "-f", again) == "hello\n"
    assert node.result(again)["exitCode"] == 6
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i -e \'s/exit 6/exit 8/\' -e \'s/"one"/"two"/\' "$1"\n')
    editor.chmod(0o700)
    edited = only_line(data(node, "rerun", "--edit", task, EDITOR=str(editor)))
    assert data(node, "logs", "-f", edited) == "hello\n"
    view = node.result(edited)
    assert (view["name"], view["exitCode"], view["rerunOf"]) == ("two", 8, task)
    editor.write_text('#!/bin/sh\necho nonsense > "$1"\n')
    before = node.states()
    done = piped(node, "rerun", "--edit", task, EDITOR=str(editor))
    assert done.returncode == 125
    assert "not JSON" in done.stderr
    assert node.states() == before
    assert piped(node, "rerun", "--edit", task, EDITOR="").returncode == 2


def test_events(node: Node) -> None:
    task = node.submit(parameters=["RETURN 3"])
    node.result(task)
    lines = [line.split() for line in data(node, "events").splitlines() if task in line]
    assert [line[2] for line in lines] == ["created", "running", "exited"]
    assert lines[-1][3:] == ["failed", "3"]
    mine = [one for one in json.loads(data(node, "events", "-o", "json")) if one["taskId"] == task]
    after = data(node, "events", "--cursor", mine[1]["cursor"], "-o", "ndjson").splitlines()
    assert [json.loads(line)["state"] for line in after] == ["exited"]
    with subprocess.Popen(
        [COMMAND, "events", "-f", "--cursor", mine[-1]["cursor"], "-o", "name"],
        env=environment(node),
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        later = node.submit()
        assert following.stdout.readline() == f"{later}\n"
        following.kill()


def test_machines(node: Node) -> None:
    rows = [line.split(None, 1) for line in data(node, "machines").splitlines()]
    assert [row[0] for row in rows] == ["MACHINE", "command", "echo"]
    machines = json.loads(data(node, "machines", "-o", "json"))
    assert machines[0]["schema"]["type"] == "object"


def test_isolations(node: Node) -> None:
    rows = [line.split() for line in data(node, "isolations").splitlines()]
    assert rows[:2] == [
        ["ISOLATION", "USABLE", "WHY", "NOT", "MENDED", "BY"],
        ["none", "yes", "-", "-"],
    ]


def test_environments(node: Node) -> None:
    rows = [line.split() for line in data(node, "environments").splitlines()]
    assert rows[0][:2] == ["ENVIRONMENT", "USABLE"]
    assert ["multiprocess", "yes", "-", "-"] in rows
    [slurm] = [row for row in rows if row[0] == "slurm"]
    assert slurm[1] in {"yes", "no"}


def test_nobody_is_there(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    done = piped(None, "ps", TASK_RUNNER_URL=url)
    assert (done.returncode, done.stdout) == (125, "")
    assert f"no node answers at {url}" in done.stderr
    assert "  next: task-runner serve" in done.stderr
    assert piped(None, "--url", url, "run", "--", "ls").returncode == 125


def test_where_the_node_is(node: Node, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{node.port}"
    conf = tmp_path / "conf.json"
    conf.write_text(json.dumps({"url": url, "request_authorization": "a secret"}))
    assert data(None, "ps", TASK_RUNNER_CONF=str(conf)).startswith("TASK")
    assert data(None, "--url", url, "ps", TASK_RUNNER_URL="http://127.0.0.1:1").startswith("TASK")
    shown = data(None, "config", "show", TASK_RUNNER_CONF=str(conf), TASK_RUNNER_MAX_RUNNING="5")
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert rows["url"] == [url, "TASK_RUNNER_CONF"]
    assert rows["max_running"] == ["5", "TASK_RUNNER_MAX_RUNNING"]
    assert rows["index_path"] == ["null", "default"]
    assert "a secret" not in shown
    conf.write_text("{")
    for command in (["ps"], ["config", "show"]):
        done = piped(None, *command, TASK_RUNNER_CONF=str(conf))
        assert done.returncode == 125
        assert "TASK_RUNNER_CONF" in done.stderr
        assert "Traceback" not in done.stderr


def test_as_a_module(node: Node) -> None:
    command = [sys.executable, "-m", "task_runner", "run", "--", "echo", "hi"]
    done = subprocess.run(
        command, env=environment(node), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("hi\n", "")


def test_serve(tmp_path: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                COMMAND,
                "serve",
                "-p",
                str(port),
                "--work-dir",
                str(tmp_path / "work"),
                "--",
                "--log-level",
                "warning",
            ],
            env=environment(),
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: piped(None, "ps", TASK_RUNNER_URL=url).returncode == 0, timeout=60)
        assert data(None, "run", "--", "echo", "served", TASK_RUNNER_URL=url) == "served\n"
        assert os.listdir(tmp_path / "work")
    finally:
        server.terminate()
        server.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()
