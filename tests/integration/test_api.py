"""The API of a running node: what is right works, what is wrong is refused and leaves nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.node import ROOT, Node

SECRET = "hunter2-9f1c"
BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"not json", ""),
    (b'{"machine": "echo"', ""),
    (b"[]", ""),
    (b'"echo"', ""),
    (b"null", ""),
    (b"{}", "machine"),
    (b'{"machine": 1}', "machine"),
    (b'{"machine": "nope"}', "machine"),
    (b'{"machine": "echo", "parameters": "ECHO a\\nSLEEEP 1"}', "parameters"),
    (b'{"machine": "echo", "parameters": [1]}', "parameters"),
    (b'{"machine": "echo", "parameters": [], "colour": 1}', "colour"),
    (b'{"machine": "echo", "parameters": [], "taskId": "../x"}', "taskId"),
    (b'{"machine": "echo", "parameters": [], "taskId": "a/b"}', "taskId"),
    (b'{"machine": "echo", "parameters": [], "taskId": ""}', "taskId"),
    (b'{"machine": "echo", "parameters": [], "taskId": "a\\n"}', "taskId"),
    (b'{"machine": "echo", "parameters": [], "timeout": 0}', "timeout"),
    (b'{"machine": "echo", "parameters": [], "timeout": NaN}', "timeout"),
    (b'{"machine": "echo", "parameters": [], "timeout": "5"}', "timeout"),
    (b'{"machine": "echo", "parameters": [], "timeout": true}', "timeout"),
    (b'{"machine": "echo", "parameters": [], "priority": 1.5}', "priority"),
    (b'{"machine": "echo", "parameters": [], "labels": {"a": 1}}', "labels.a"),
    (b'{"machine": "echo", "parameters": [], "env": {"a b": "c"}}', "env"),
    (b'{"machine": "echo", "parameters": [], "env": {"A": "\\u0000"}}', "env"),
    (b'{"machine": "echo", "parameters": [], "environment": "moon"}', "environment"),
    (b'{"machine": "echo", "parameters": [], "isolation": "glass"}', "isolation"),
    (b'{"machine": "command", "parameters": {}}', "parameters"),
    (b'{"machine": "command", "parameters": {"argv": "ls -l"}}', "parameters.argv"),
    (b'{"machine": "command", "parameters": {"argv": [], "script": "x"}}', "parameters"),
    (b'{"machine": "command", "parameters": {"argv": ["\\ud800"]}}', "parameters.argv"),
    (b'{"machine": "echo", "parameters": ' + b"[" * 100_000 + b"}", ""),
    (b"\xff\xfe", ""),
]


@pytest.mark.parametrize(("body", "field"), BAD_BODIES)
def test_a_bad_body_is_refused_and_leaves_nothing(
    node_for_all: Node, body: bytes, field: str
) -> None:
    before = sorted(os.listdir(node_for_all.work_dir))
    headers = {"Content-Type": "application/json"}
    answer = node_for_all.http.post("/v1/tasks", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == 400
    assert problem["detail"]
    if field:
        assert field in [one["field"] for one in problem["errors"]]
    assert sorted(os.listdir(node_for_all.work_dir)) == before
    assert staged(node_for_all) == []


def staged(node: Node) -> list[str]:
    return [path.name for path in (node.work_dir / ".staging").glob("*/*")]


def test_an_error_in_a_script_has_line_and_column(node_for_all: Node) -> None:
    task = {"machine": "echo", "parameters": "ECHO fine\n  LOG LOUD x"}
    problem = node_for_all.http.post("/v1/tasks", json=task).json()
    assert (problem["errors"][0]["line"], problem["errors"][0]["column"]) == (2, 7)


def test_a_large_body_is_refused_announced_or_not(node_for_all: Node) -> None:
    body = json.dumps({"machine": "echo", "parameters": "#" * 5_000_000}).encode()
    for content in (body, (body[i : i + 65536] for i in range(0, len(body), 65536))):
        answer = node_for_all.http.post("/v1/tasks", content=content)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    assert staged(node_for_all) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/tasks/nope", 404),
        ("GET", "/v1/tasks/..%2F..%2Fetc", 404),
        ("GET", "/v1/tasks/%00", 404),
        ("GET", "/v1/tasks/a%20b", 404),
        ("GET", "/v1/tasks/" + "x" * 5000, 404),
        ("GET", "/v1/tasks/nope/log", 404),
        ("POST", "/v1/tasks/nope/stop", 404),
        ("DELETE", "/v1/tasks/nope", 404),
        ("GET", "/v2", 404),
        ("GET", "/v1//tasks", 404),
        ("PUT", "/v1/tasks", 405),
        ("PATCH", "/v1/tasks/nope", 405),
        ("DELETE", "/v1/tasks", 405),
        ("GET", "/v1/tasks?limit=0", 400),
        ("GET", "/v1/tasks?limit=1001", 400),
        ("GET", "/v1/tasks?limit=x", 400),
        ("GET", "/v1/tasks?cursor=-1", 400),
        ("GET", "/v1/tasks?cursor=99999999999999999999999", 400),
        ("GET", "/v1/tasks?state=asleep", 400),
        ("GET", "/v1/tasks?since=yesterday", 400),
        ("GET", "/v1/tasks?since=0.5", 400),
        ("GET", "/v1/tasks/nope/log?since=1764000000", 400),
        ("GET", "/v1/tasks?since=2026-01-01T00:00:00", 400),
        ("GET", "/v1/tasks?order=up", 400),
        ("GET", "/v1/events?cursor=x", 400),
        ("GET", "/v1/events?cursor=deadbeef-1", 410),
    ],
)
def test_odd_requests_get_a_problem(
    node_for_all: Node, method: str, path: str, status: int
) -> None:
    answer = node_for_all.http.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_may_want_no_body(node_for_all: Node, path: str) -> None:
    answer = node_for_all.http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_wrong_method_is_told_all_right_ones(node_for_all: Node) -> None:
    for path, methods in (("/v1/tasks", "GET, POST"), ("/v1/tasks/x", "DELETE, GET")):
        answer = node_for_all.http.patch(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_the_life_of_a_task(node: Node) -> None:
    answer = node.http.post(
        "/v1/tasks",
        json={"machine": "echo", "parameters": ["ECHO hi", "SLEEP 0.2", "RETURN 4"], "name": "n"},
    )
    assert answer.status_code == 201
    task = answer.json()["taskId"]
    assert answer.json() == {"taskId": task, "state": "running"}
    assert len(task) == 8
    int(task, 16)
    assert answer.headers["location"] == f"/v1/tasks/{task}"
    assert node.http.get("/v1/tasks").json() == [{"taskId": task, "state": "running"}]
    assert node.http.delete(f"/v1/tasks/{task}").status_code == 409
    result = node.result(task)
    assert (result["outcome"], result["exitCode"], result["returnCode"]) == ("failed", 4, 4)
    assert result["createdAt"] <= result["startedAt"] <= result["finishedAt"]
    assert result["usage"]["maxRssBytes"] > 1_000_000
    assert node.http.delete(f"/v1/tasks/{task}").json() == {"success": True}
    assert not node.directory(task).exists()
    assert node.http.get(f"/v1/tasks/{task}").status_code == 404
    states = [(one["state"], one["exitCode"]) for one in node.events()]
    assert states == [("created", None), ("running", None), ("exited", 4), ("deleted", None)]


def test_modes_of_what_is_on_disk(node: Node) -> None:
    task = node.submit(parameters=["ECHO x"])
    node.result(task)
    for path in [node.work_dir, *node.work_dir.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_same_task_again_starts_nothing(node: Node, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    body: dict[str, Any] = {
        "taskId": "mine",
        "machine": "command",
        "parameters": {"argv": ["sh", "-c", f"echo x >> {ran}"]},
    }
    first = node.http.post("/v1/tasks", json=body)
    node.result("mine")
    again = node.http.post("/v1/tasks", json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == {"taskId": "mine", "state": "exited"}
    assert ran.read_text() == "x\n"
    other = node.http.post("/v1/tasks", json={**body, "priority": 1})
    assert other.status_code == 409
    assert len(node.states()) == 1


def test_values_of_env_are_passed_and_never_shown(node: Node) -> None:
    task = node.sh('echo "${TOKEN#????}"', env={"TOKEN": SECRET})
    view = node.result(task)
    assert view["env"] == ["TOKEN"]
    assert node.output(task) == SECRET[4:] + "\n"
    full = node.http.get("/v1/tasks", params={"view": "full"}).text
    for shown in (json.dumps(view), full, node.log.read_text(), node.http.get("/v1/events").text):
        assert SECRET not in shown
    database = b"".join(path.read_bytes() for path in node.work_dir.glob("index.sqlite*"))
    assert SECRET.encode() not in database


def test_lists_pages_and_filters(node: Node) -> None:
    tasks = [
        node.submit(parameters=[f"RETURN {i % 2}"], labels={"parity": str(i % 2), "all": ""})
        for i in range(7)
    ]
    command = node.sh("true", labels={"all": ""})
    for task in (*tasks, command):
        node.result(task)

    def ids(**params: Any) -> list[str]:
        return [one["taskId"] for one in node.http.get("/v1/tasks", params=params).json()]

    assert ids() == [*tasks, command]
    assert ids(order="desc") == [command, *reversed(tasks)]
    assert ids(label="parity=1") == tasks[1::2]
    assert ids(label=["parity=0", "all"]) == tasks[0::2]
    assert ids(machine="command") == [command]
    assert ids(state="running") == []
    assert ids(state=["running", "exited"], limit=2) == tasks[:2]
    assert ids(since=node.view(tasks[5])["createdAt"]) == [*tasks[5:], command]
    assert ids(since="2100-01-01T00:00:00+01:00") == []


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_links_lead_through_all_pages(node: Node, order: str) -> None:
    tasks = [node.submit(parameters=[]) for _ in range(7)]
    seen: list[str] = []
    url = f"/v1/tasks?limit=3&order={order}&label="
    url = f"/v1/tasks?limit=3&order={order}&view=full"
    while True:
        answer = node.http.get(url)
        seen += [one["taskId"] for one in answer.json()]
        if "next" not in answer.links:
            break
        url = answer.links["next"]["url"]
    assert seen == (tasks if order == "asc" else tasks[::-1])


def test_resources_are_shown(node: Node) -> None:
    task = node.submit(parameters=["USE SHARED disk net", "USE EXCLUSIVE lpar1"])
    assert node.result(task)["resources"] == {"shared": ["disk", "net"], "exclusive": ["lpar1"]}


def test_the_sample_over_http(node: Node) -> None:
    sample = (ROOT / "task_runner/doc/sample_task.json").read_bytes()
    headers = {"Content-Type": "application/json"}
    task = node.http.post("/v1/tasks", content=sample, headers=headers).json()["taskId"]
    assert node.result(task)["outcome"] == "succeeded"


def test_a_real_job(node: Node) -> None:
    job = json.loads((ROOT / "task_runner/doc/sample_build_task.json").read_text())
    task = node.http.post("/v1/tasks", json=job).json()["taskId"]
    result = node.result(task)
    assert (result["outcome"], result["exitCode"]) == ("succeeded", 0), node.output(task)
    assert "warning:" in node.output(task)
    binaries = [
        path
        for path in (node.directory(task) / "files").rglob("*")
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF" and os.access(path, os.X_OK)
    ]
    assert binaries


def test_what_the_mesh_asks_a_node(node_for_all: Node) -> None:
    http = node_for_all.http
    root = http.get("/").json()
    assert root["name"] == "task_runner"
    assert root["apis"][0].keys() == {"root", "version", "min_version"}
    assert root["apis"][0]["root"] == "/v1"
    assert http.get("/v1/").json() == {"success": True}
    assert "/" in http.get("/v1/schema").json()
    assert http.get("/livez").text == "ok\n"
    assert http.get("/readyz").text == "ok\n"
    assert 'task_runner_tasks{state="running"}' in http.get("/metrics").text


def test_openapi_has_examples_and_every_route(node_for_all: Node) -> None:
    document = node_for_all.http.get("/openapi.json").json()
    assert {
        "/v1/tasks",
        "/v1/tasks/{task_id}",
        "/v1/tasks/{task_id}/stop",
        "/v1/tasks/{task_id}/log",
        "/v1/events",
    } <= document["paths"].keys()
    body = document["paths"]["/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        answer = node_for_all.http.post("/v1/tasks", json=example["value"])
        assert answer.status_code == 201, answer.text
        node_for_all.http.post(f"{answer.headers['location']}/stop")
