import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node import running_node
from tests.plug_ins import install

PROBE = """
import json, sys
from task_runner.lib.errors import ValidationError
from task_runner.lib.task import task_from_dict

for line in sys.stdin:
    try:
        task = task_from_dict(json.loads(line))
    except ValidationError as error:
        print(json.dumps({"field": error.field, "detail": error.detail}))
    else:
        print(json.dumps(task.parameters))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install("example_machine", tmp_path_factory.mktemp("plug_in"))


def ask(*tasks: object, path: Path | None = None) -> list[object]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input="\n".join(map(json.dumps, tasks)),
        env=environment,
        text=True,
        check=True,
        capture_output=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def countdown(parameters: object) -> dict[str, object]:
    return {"machine": "countdown", "parameters": parameters}


def test_an_installed_machine_is_found(site: Path) -> None:
    assert ask(countdown({"from": 3}), path=site) == [{"from": 3}]


def test_an_installed_machine_refuses_with_the_field(site: Path) -> None:
    wrong = [None, {}, {"from": 1, "to": 2}, {"from": "3"}, {"from": True}, {"from": 0}]
    answers = ask(*map(countdown, wrong), path=site)
    fields = [answer["field"] for answer in answers if isinstance(answer, dict)]
    assert fields == ["parameters"] * 3 + ["parameters.from"] * 3


def test_without_the_package_the_machine_is_unknown() -> None:
    (answer,) = ask(countdown({"from": 3}))
    assert isinstance(answer, dict)
    assert answer["field"] == "machine"
    assert "there is no 'countdown'" in str(answer["detail"])


def test_an_installed_machine_runs_on_a_node(site: Path, tmp_path: Path) -> None:
    with running_node(tmp_path / "work", PYTHONPATH=str(site)) as node:
        task = node.submit("countdown", {"from": 3})
        result = node.result(task)
        assert (result["outcome"], result["status"]) == ("succeeded", {"progress": 1.0})
        *counted, lift_off, over = node.output(task).splitlines()
        assert counted == ["3", "2", "1"]
        assert lift_off.endswith("INFO [countdown] lift-off")
        assert over.endswith("INFO [countdown] the countdown from 3 is over")
        stopped = node.submit("countdown", {"from": 1000})
        node.http.post(f"/v1/tasks/{stopped}/stop")
        assert node.result(stopped)["outcome"] == "canceled"
        assert "the countdown from 1000 is over" in node.output(stopped)
