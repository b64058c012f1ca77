from typing import Any

import pytest

from task_runner.api.models import TaskView
from task_runner.lib.state import State
from task_runner.service.index.rows import Row
from task_runner.service.views import full_view

ASKED = {
    "taskId": "a",
    "machine": "echo",
    "name": None,
    "labels": {"team": "blue"},
    "environment": "multiprocess",
    "environmentOptions": {},
    "isolation": "none",
    "isolationOptions": {},
    "limits": {"memory": 1 << 30},
    "timeout": 1.5,
    "gracePeriod": 10.0,
    "priority": 0,
    "rerunOf": None,
    "maxOutput": None,
    "outputLimit": 4096,
    "stderr": "separate",
    "createdAt": "2026-11-24T09:00:00.000000+00:00",
    "resources": {"shared": ["printer"], "exclusive": []},
}
RECORD: dict[str, Any] = {
    "started_at": "2026-11-24T09:00:01.000000+00:00",
    "updated_at": "2026-11-24T09:00:02.000000+00:00",
    "finished_at": "2026-11-24T09:00:03.000000+00:00",
    "exit_code": -1,
    "return_code": 143,
    "signal": "SIGTERM",
    "outcome": "canceled",
    "error": "none",
    "status": {"progress": 1},
    "process_id": 77,
    "output_size": 12,
    "output_dropped": 34,
    "stderr_size": 56,
    "stderr_dropped": 0,
    "stop": {"reason": "canceled", "at": "2026-11-24T09:00:02.500000+00:00"},
    "usage": {"user_seconds": 0.5, "system_seconds": 0.25, "max_rss_bytes": 4096},
    # What is nobody's business:
    "host": "h",
    "boot_id": "b",
    "start_ticks": 5,
    "machine": {"pid": 78},
    "task_id": "a",
}
LATER = [
    "startedAt",
    "updatedAt",
    "finishedAt",
    "exitCode",
    "returnCode",
    "signal",
    "outcome",
    "error",
    "status",
    "processId",
    "outputSize",
    "outputDropped",
    "stderrSize",
    "stderrDropped",
    "stop",
    "environmentStatus",
    "usage",
]


def row(state: State, record: dict[str, Any]) -> Row:
    return Row(1, "a", state, state.is_over, None, ASKED, record, str(ASKED["createdAt"]))


def test_what_is_not_known_yet_is_null() -> None:
    view = full_view(row(State.CREATED, {}))
    assert view == {**ASKED, "state": "created", **dict.fromkeys(LATER)}


def test_everything_that_is_known() -> None:
    view = full_view(row(State.EXITED, RECORD))
    assert view == {
        **ASKED,
        "state": "exited",
        "environmentStatus": None,
        "startedAt": RECORD["started_at"],
        "updatedAt": RECORD["updated_at"],
        "finishedAt": RECORD["finished_at"],
        "exitCode": -1,
        "returnCode": 143,
        "signal": "SIGTERM",
        "outcome": "canceled",
        "error": "none",
        "status": {"progress": 1},
        "processId": 77,
        "outputSize": 12,
        "outputDropped": 34,
        "stderrSize": 56,
        "stderrDropped": 0,
        "stop": RECORD["stop"],
        "usage": {"userSeconds": 0.5, "systemSeconds": 0.25, "maxRssBytes": 4096},
    }


def test_identifier_and_state_come_first() -> None:
    assert list(full_view(row(State.RUNNING, RECORD)))[:2] == ["taskId", "state"]


@pytest.mark.parametrize("record", [{}, RECORD])
def test_the_view_is_what_openapi_promises(record: dict[str, Any]) -> None:
    shown = {"parameters": ["ECHO a"], "env": ["A"]}
    view = full_view(row(State.LOST, record), shown)
    assert view.keys() == TaskView.model_fields.keys()
    assert TaskView.model_validate(view).model_dump(mode="json") == view
    assert full_view(row(State.LOST, record)).keys() == view.keys() - shown
