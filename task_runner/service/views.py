"""What a client sees of a task: the names of the API, in camelCase."""

from collections.abc import Mapping
from typing import Any

from task_runner.service.index import Row

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
    "stop": "stop",
}
USAGE_NAMES = {
    "user_seconds": "userSeconds",
    "system_seconds": "systemSeconds",
    "max_rss_bytes": "maxRssBytes",
}


def full_view(row: Row, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return everything that is known of a task; what is not known yet, or never, is null.

    `parameters` adds what only the view of a single task shows.
    """
    usage = row.record.get("usage")
    return {
        "taskId": row.task_id,
        "state": row.state,
        **{name: value for name, value in row.asked.items() if name != "taskId"},
        **(parameters or {}),
        **{wire: row.record.get(name) for name, wire in STATUS_FILE_NAMES.items()},
        "usage": usage and {wire: usage.get(name) for name, wire in USAGE_NAMES.items()},
    }
