"""A log with a limit: the task is never disturbed, and what is missing is told."""

import json
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.output import MISSING
from task_runner.lib.rest import KEPT
from tests.node import Json, Node, running_node
from tests.tasks import begin, ending, finish, output_of, record_of, run, script
from tests.waiting import wait_until

NUMBERS = "seq 1000000; echo over >&2"
DATA = b"".join(b"%d\n" % number for number in range(1, 1_000_001)) + b"over\n"


def limited(data: bytes, limit: int) -> bytes:
    begun = b"" if data[limit - 1 : limit] == b"\n" else b"\n"
    return data[:limit] + begun + MISSING % (len(data) - limit - KEPT) + data[-KEPT:]


@pytest.mark.parametrize("limit", [1000, 1 << 20])
def test_beginning_and_end_are_kept(environment: MultiprocessEnvironment, limit: int) -> None:
    entry = run(environment, script(NUMBERS, maxOutput=limit))
    assert ending(entry) == ("succeeded", 0)
    assert output_of(entry) == limited(DATA, limit)
    record = record_of(entry)
    assert record["output_size"] == len(output_of(entry))
    assert record["output_dropped"] == len(DATA) - limit - KEPT
    names = {path.name for path in Path(entry.work_dir).iterdir()}
    assert not [name for name in names if name.startswith("output.rest")]


def test_what_fits_is_whole(environment: MultiprocessEnvironment) -> None:
    entry = run(environment, script(NUMBERS, maxOutput=len(DATA)))
    assert output_of(entry) == DATA
    assert record_of(entry)["output_dropped"] == 0


def test_a_task_that_says_too_much_runs_on(environment: MultiprocessEnvironment) -> None:
    """It is neither held up nor killed, and is seen to have said too much while it runs."""
    text = "head -c 50000000 /dev/zero; touch said; until [ -e go ]; do sleep 0.01; done; exit 7"
    entry = begin(environment, script(text, maxOutput=0))
    wait_until(Path(entry.work_dir, "files/said").exists)
    wait_until(lambda: record_of(entry).get("output_dropped") == 50_000_000 - KEPT)
    assert output_of(entry) == b""
    assert sum(path.stat().st_size for path in Path(entry.work_dir).iterdir()) < 1 << 20
    Path(entry.work_dir, "files/go").touch()
    assert ending(finish(environment, entry)) == ("failed", 7)
    assert output_of(entry) == MISSING % (50_000_000 - KEPT) + bytes(KEPT)


def test_a_follower_sees_nothing_change(node: Node) -> None:
    text = f"{NUMBERS}; until [ -e go ]; do sleep 0.01; done"
    task = node.submit("command", {"script": text}, maxOutput=100_000)
    wait_until(lambda: node.view(task)["outputDropped"] == len(DATA) - 100_000 - KEPT)
    seen = b""
    with node.http.stream("GET", f"/v1/tasks/{task}/log", params={"follow": True}) as answer:
        for block in answer.iter_bytes():
            seen += block
            if len(seen) == 100_000:
                (node.directory(task) / "files/go").touch()
    assert seen == limited(DATA, 100_000)
    assert node.log_of(task) == seen
    view = node.result(task)
    assert (view["outputSize"], view["outputDropped"]) == (len(seen), len(DATA) - 100_000 - KEPT)
    entries = node.http.get(
        f"/v1/tasks/{task}/log", headers={"Accept": "application/x-ndjson"}
    ).text.splitlines()
    last = json.loads(entries[-1])
    assert (last["end"], last["outputDropped"]) == (True, view["outputDropped"])
    lost = MISSING % view["outputDropped"]
    assert lost.decode().rstrip() in [json.loads(entry).get("message") for entry in entries]


def test_the_limit_of_the_node(tmp_path: Path) -> None:
    with running_node(tmp_path / "work", TASK_RUNNER_MAX_OUTPUT="5000") as node:
        task: Json = {"machine": "command", "parameters": {"script": NUMBERS}}
        for check in ("false", "true"):
            asked = {**task, "maxOutput": 5001}
            refused = node.http.post("/v1/tasks", json=asked, params={"check": check})
            assert refused.status_code == 400
            assert refused.json()["errors"][0]["field"] == "maxOutput"
        assert node.states() == {}
        by_default = node.submit(**task)
        smaller = node.submit(**task, maxOutput=10)
        assert node.result(by_default)["outputLimit"] == 5000
        assert node.result(smaller)["outputLimit"] == 10
        assert node.log_of(by_default) == limited(DATA, 5000)
        assert node.log_of(smaller) == limited(DATA, 10)


def test_a_new_limit_of_the_node_makes_no_other_task_of_a_submission(tmp_path: Path) -> None:
    for limit in ("5000", "6000"):
        with running_node(tmp_path / "work", TASK_RUNNER_MAX_OUTPUT=limit) as node:
            node.submit("echo", ["ECHO a"], taskId="same")
            assert node.result("same")["outputLimit"] == 5000
