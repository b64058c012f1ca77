"""Before a task is submitted, and after: what can be run, whether it would be, and once more."""

from typing import Any

from tests.node import Node


def test_the_machines_are_listed(node_for_all: Node) -> None:
    answer = node_for_all.http.get("/v1/machines")
    assert answer.status_code == 200
    machines = {one["name"]: one for one in answer.json()}
    assert {"command", "echo"} <= machines.keys()
    assert machines["command"]["schema"]["properties"].keys() == {"argv", "script", "env", "stdin"}
    assert machines["echo"]["error"] is None


def test_a_check_says_what_a_submission_would(node: Node) -> None:
    def check(**fields: Any) -> tuple[int, Any]:
        answer = node.http.post("/v1/tasks", json=fields, params={"check": True})
        return answer.status_code, answer.json()

    good: dict[str, Any] = {"machine": "echo", "parameters": ["ECHO hi"], "taskId": "mine"}
    assert check(**good) == (200, {"valid": True})
    assert node.states() == {}
    assert [path.name for path in node.work_dir.glob("task-*")] == []
    for wrong in ({"machine": "nope"}, {**good, "parameters": ["SLEEEP"]}, {**good, "colour": 1}):
        refused = node.http.post("/v1/tasks", json=wrong)
        assert check(**wrong) == (400, refused.json())
    node.result(node.submit(**good))
    assert check(**good) == (200, {"valid": True})  # as the same again is answered like before
    assert check(**{**good, "priority": 1})[0] == 409
    assert list(node.states()) == ["mine"]


def rerun(node: Node, task: str, body: Any = None) -> str:
    answer = node.http.post(f"/v1/tasks/{task}/rerun", json=body)
    assert answer.status_code == 201, answer.text
    new = str(answer.json()["taskId"])
    assert answer.headers["location"] == f"/v1/tasks/{new}"
    return new


def test_a_rerun_is_the_same_task_with_its_secrets(node: Node) -> None:
    first = node.sh(
        'echo "$A $B"; pwd', env={"A": "s3cret"}, labels={"x": "y"}, name="n", timeout=9
    )
    original = node.result(first)
    answer = node.http.post(f"/v1/tasks/{first}/rerun")  # without any body
    second = answer.json()["taskId"]
    view = node.result(second)
    assert second != first
    assert (view["rerunOf"], original["rerunOf"]) == (first, None)
    same = ("machine", "parameters", "env", "labels", "name", "timeout", "outcome")
    assert {key: view[key] for key in same} == {key: original[key] for key in same}
    assert node.output(second) == f"s3cret \n{node.directory(second)}/files\n"
    assert "s3cret" not in answer.text
    assert node.result(rerun(node, second))["rerunOf"] == second


def test_a_rerun_with_changes(node: Node) -> None:
    parameters = {"argv": ["sh", "-c", 'echo "$A $B"'], "env": {"B": "two"}}
    first = node.submit("command", parameters, env={"A": "one"}, timeout=5, labels={"x": "y"})
    view = node.view(first)
    new = rerun(node, first, {"timeout": None, "labels": {}, "taskId": "mine", "env": {"A": "1"}})
    assert (new, node.output(node.result(new)["taskId"])) == ("mine", "1 two\n")
    assert (node.view(new)["timeout"], node.view(new)["labels"]) == (None, {})
    # What a view shows of the variables stands for their values, and can be sent back.
    view["parameters"]["argv"][2] = 'echo "again $A $B"'
    edited = rerun(node, first, {"parameters": view["parameters"], "env": view["env"]})
    node.result(edited)
    assert node.output(edited) == "again one two\n"
    without = rerun(node, first, {"env": []})
    node.result(without)
    assert node.output(without) == " two\n"


def test_a_rerun_can_be_sent_again(node: Node, tmp_path: Any) -> None:
    ran = tmp_path / "ran"
    first = node.sh(f"echo x >> {ran}")
    node.result(first)
    for _ in range(2):
        assert rerun(node, first, {"taskId": "mine"}) == "mine"
        node.result("mine")
    assert ran.read_text() == "x\nx\n"
    for taken in (first, "mine"):
        answer = node.http.post(f"/v1/tasks/{first}/rerun", json={"taskId": taken, "priority": 1})
        assert answer.status_code == 409


def test_an_active_task_can_be_run_again(node: Node) -> None:
    first = node.submit(parameters=["SLEEP 60"])
    second = rerun(node, first)
    assert node.states() == {first: "running", second: "running"}


def test_a_wrong_rerun_is_refused_and_leaves_nothing(node: Node) -> None:
    first = node.sh("true", env={"A": "s3cret"})
    node.result(first)
    url = f"/v1/tasks/{first}/rerun"
    for body, field in (
        ({"colour": 1}, "colour"),
        ({"createdAt": "2026-01-01T00:00:00Z"}, "createdAt"),
        ({"machine": None}, "machine"),
        ({"machine": "echo"}, "parameters"),
        ({"timeout": "5"}, "timeout"),
        ({"env": ["B"]}, "env"),
        ({"env": [1]}, "env"),
        ({"parameters": {"argv": ["ls"], "env": ["A"]}}, "parameters.env"),
    ):
        answer = node.http.post(url, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
        assert "s3cret" not in answer.text
    for content in (b"[]", b"{", b'"x"'):
        headers = {"Content-Type": "application/json"}
        assert node.http.post(url, content=content, headers=headers).status_code == 400
    assert node.http.post("/v1/tasks/nope/rerun").status_code == 404
    assert list(node.states()) == [first]


def test_a_limit_replaces_the_field_as_which_it_is_stored(node: Node) -> None:
    first = node.sh("true", limits={"runTime": 5, "output": 1000, "openFiles": 100})
    view = node.view(rerun(node, first, {"limits": {"runTime": 9}}))
    assert (view["timeout"], view["maxOutput"], view["limits"]) == (9, 1000, {})
    view = node.view(rerun(node, first))
    assert (view["timeout"], view["maxOutput"], view["limits"]) == (5, 1000, {"openFiles": 100})
    both = {"limits": {"runTime": 9}, "timeout": 9}
    assert node.http.post(f"/v1/tasks/{first}/rerun", json=both).status_code == 400


def test_a_damaged_task_is_not_run_again(node: Node) -> None:
    first = node.sh("true")
    node.result(first)
    (node.directory(first) / "task.json").write_text("{half")
    answer = node.http.post(f"/v1/tasks/{first}/rerun")
    assert (answer.status_code, "is damaged" in answer.json()["detail"]) == (409, True)
