"""What a client sees of a task: the names of the API, in camelCase."""

from collections.abc import Mapping
from typing import Any

from task_runner.service.index.rows import Row

STATUS_FILE_NAMES = {
    "started_at": "startedAt",
    "updated_at": "updatedAt",
    "finished_at": "finishedAt",
    "exit_code": "exitCode",
    "return_code": "returnCode",
    "signal": "signal",
    "outcome": "outcome",
    "error": "error",
    "status": "status",
    "process_id": "processId",
    "output_size": "outputSize",
    "output_dropped": "outputDropped",
    "stderr_size": "stderrSize",
    "stderr_dropped": "stderrDropped",
}
USAGE_NAMES = {
    "user_seconds": "userSeconds",
    "system_seconds": "systemSeconds",
    "max_rss_bytes": "maxRssBytes",
}
RESULT = (
    "taskId",
    "state",
    "outcome",
    "exitCode",
    "returnCode",
    "signal",
    "error",
    "finishedAt",
    "outputSize",
    "outputDropped",
    "stderrSize",
    "stderrDropped",
)


def full_view(row: Row, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return everything that is known of a task; what is not known yet, or never, is null.

    `stored` is what was asked for, in full: for the view of a single task. Of its environment
    variables only the names are shown, as the values are secrets.
    """
    usage, stop = row.record.get("usage"), row.record.get("stop")
    return {
        "taskId": row.task_id,
        "state": row.state,
        **{name: value for name, value in row.asked.items() if name != "taskId"},
        **(_parameters_view(stored) if stored is not None else {}),
        **{wire: row.record.get(name) for name, wire in STATUS_FILE_NAMES.items()},
        "stop": stop and {"reason": stop.get("reason"), "at": stop.get("at")},
        "environmentStatus": row.place,
        "usage": usage and {wire: usage.get(name) for name, wire in USAGE_NAMES.items()},
    }


def _parameters_view(stored: Mapping[str, Any]) -> dict[str, Any]:
    parameters = stored.get("parameters")
    if isinstance(parameters, dict) and isinstance(parameters.get("env"), dict):
        parameters = {**parameters, "env": sorted(parameters["env"])}
    return {"parameters": parameters, "env": sorted(stored.get("env", {}))}


def result_view(row: Row) -> dict[str, Any]:
    """Return the part of a view that tells how a task ended."""
    view = full_view(row)
    return {name: view[name] for name in RESULT}
