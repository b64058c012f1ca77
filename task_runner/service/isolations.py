"""What can stand around a task, and whether it can here."""

import inspect
from collections.abc import Collection
from typing import Any

from task_runner.lib.limits import HELD, held_by_groups
from task_runner.lib.policy import Policy
from task_runner.lib.registry import ISOLATION_ENTRY_POINTS, ISOLATIONS, isolation_of, names_of

NONE = {
    "name": "none",
    "description": "Nothing stands around a task.",
    "usable": True,
    "why": None,
    "install": None,
    "limits": None,
}


def isolation_views(policy: Policy) -> list[dict[str, Any]]:
    """Return every isolation, ours and plug-ins, `none` first.

    Imports all of them, and looks for their tools: call it in a thread.
    """
    names = sorted(names_of(ISOLATIONS, ISOLATION_ENTRY_POINTS))
    return [{**NONE, "limits": _held(None)}, *(_view(name, policy) for name in names)]


def _view(name: str, policy: Policy) -> dict[str, Any]:
    view = {**NONE, "name": name, "description": None}
    try:
        isolation = isolation_of(name)
        text = inspect.cleandoc(type(isolation).__doc__ or "")
        obstacle = isolation.obstacle(policy)
    except Exception as problem:  # whatever a plug-in does
        return {**view, "usable": False, "why": str(problem) or repr(problem)}
    view["limits"] = _held(isolation.own_limits)
    view["description"] = text.partition("\n")[0] or None
    if obstacle is None:
        return view
    return {**view, "usable": False, "why": obstacle.reason, "install": obstacle.remedy}


def _held(own_limits: Collection[str] | None) -> list[str]:
    """Return the limits that hold in it on this host; None: those that TaskRunner can hold."""
    return sorted(HELD | held_by_groups() if own_limits is None else own_limits)
