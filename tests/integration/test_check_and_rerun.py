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
