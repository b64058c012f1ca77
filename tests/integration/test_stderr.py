"""Standard error apart: a log of its own, with all that a log has."""

import subprocess
import sys
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.output import MARK, MISSING
from task_runner.lib.rest import KEPT
from tests.node import ROOT, Node
from tests.tasks import begin, ending, finish, output_of, record_of, run, script, wait_until_tidy
from tests.waiting import wait_until

SCRIPT = "echo out; echo err >&2; echo more > /dev/stderr; exit 3"


def test_two_logs(environment: MultiprocessEnvironment) -> None:
    entry = run(environment, script(SCRIPT, stderr="separate"))
    assert ending(entry) == ("failed", 3)
    assert output_of(entry) == b"out\n"
    stderr = Path(entry.work_dir, "stderr.log")
    assert stderr.read_bytes() == b"err\nmore\n"
    assert stderr.stat().st_mode & 0o777 == 0o600
    record = record_of(entry)
    assert (record["output_size"], record["stderr_size"]) == (4, 9)
    marks = list(MARK.iter_unpack(Path(entry.work_dir, "stderr.idx").read_bytes()))
    assert marks[0][0] == 0
    wait_until_tidy(entry)


def test_one_log_by_default(environment: MultiprocessEnvironment) -> None:
    entry = run(environment, script(SCRIPT))
    assert output_of(entry) == b"out\nerr\nmore\n"
    assert list(Path(entry.work_dir).glob("stderr*")) == []
    assert "stderr_size" not in record_of(entry)


def test_each_log_has_its_limit(environment: MultiprocessEnvironment) -> None:
    text = "head -c 200000 /dev/zero >&2; echo short"
    entry = run(environment, script(text, stderr="separate", maxOutput=10))
    assert output_of(entry) == b"short\n"
    missing = 200_000 - 10 - KEPT
    stderr = Path(entry.work_dir, "stderr.log").read_bytes()
    assert stderr == bytes(10) + b"\n" + MISSING % missing + bytes(KEPT)
    assert (record_of(entry)["output_dropped"], record_of(entry)["stderr_dropped"]) == (0, missing)


def test_a_python_machine(node: Node) -> None:
    """Log records are output, tracebacks are errors."""
    task = node.submit("echo", ["LOG WARNING careful", "RAISE boom"], stderr="separate")
    assert node.result(task)["outcome"] == "exception"
    assert node.log_of(task).endswith(b" WARNING [echo] careful\n")
    assert b"boom" in node.log_of(task, stream="stderr")
    assert b"Traceback" in node.log_of(task, stream="stderr")


def test_it_is_read_like_the_output(node: Node) -> None:
    text = "echo out; for n in $(seq 5); do echo err $n >&2; done"
    text += "; until [ -e go ]; do sleep 0.01; done"
    task = node.submit("command", {"script": text}, stderr="separate")
    wait_until(lambda: node.log_of(task, stream="stderr").count(b"\n") == 5)
    assert node.log_of(task, stream="output") == node.log_of(task) == b"out\n"
    assert node.log_of(task, stream="stderr", tail=1) == b"err 5\n"
    assert node.log_of(task, stream="stderr", offset=24) == b"err 5\n"
    part = node.http.get(
        f"/v1/tasks/{task}/log", params={"stream": "stderr"}, headers={"Range": "bytes=0-3"}
    )
    assert (part.status_code, part.content) == (206, b"err ")
    assert part.headers["etag"] != node.http.get(f"/v1/tasks/{task}/log").headers["etag"]
    params = {"stream": "stderr", "follow": "true"}
    accept = {"Accept": "application/x-ndjson"}
    entries = []
    with node.http.stream("GET", f"/v1/tasks/{task}/log", params=params, headers=accept) as answer:
        for line in answer.iter_lines():
            entries.append(line)
            if len(entries) == 5:
                (node.directory(task) / "files/go").touch()
    assert [f'"err {n}"' in entry for n, entry in enumerate(entries[:5], 1)] == [True] * 5
    assert '"end": true' in entries[5]
    assert '"stderrSize": 30' in entries[5]


def test_a_task_that_has_none(node: Node) -> None:
    task = node.submit("echo", ["ECHO a"])
    answer = node.http.get(f"/v1/tasks/{task}/log", params={"stream": "stderr"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "stream"
    answer = node.http.get(f"/v1/tasks/{task}/log", params={"stream": "both"})
    assert answer.status_code == 400


def test_a_chatty_stderr_holds_up_nobody(environment: MultiprocessEnvironment) -> None:
    text = "yes >&2 & head -c 3000000 /dev/zero; kill $!"
    entry = begin(environment, script(text, stderr="separate", maxOutput=4 << 20))
    assert ending(finish(environment, entry)) == ("succeeded", 0)
    assert output_of(entry) == bytes(3_000_000)


@pytest.mark.parametrize("apart", ["merged", "separate"])
def test_in_the_foreground(tmp_path: Path, apart: str) -> None:
    task = tmp_path / "task.json"
    parameters = f'{{"script": "{SCRIPT}"}}'
    task.write_text(f'{{"machine":"command","parameters":{parameters},"stderr":"{apart}"}}')
    done = subprocess.run(
        [sys.executable, "-m", "task_runner.lib.runner", str(task)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    if apart == "separate":
        assert done.stdout == b"out\n"
        assert done.stderr == b"err\nmore\ntask_runner: failed\n"
        assert (tmp_path / "stderr.log").read_bytes() == b"err\nmore\n"
    else:
        assert done.stdout == b"out\nerr\nmore\n"
        assert done.stderr == b"task_runner: failed\n"
