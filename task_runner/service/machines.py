"""What there is to run: every machine, with what it says of itself."""

import inspect
import json
from typing import Any

from task_runner.lib.machine import DescribedMachine
from task_runner.lib.registry import MACHINE_ENTRY_POINTS, MACHINES, machine_of, names_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def machine_views() -> list[dict[str, Any]]:
    """Return name, description and JSON Schema of every machine, ours and plug-ins, by name.

    One that is broken has its `error`, and neither description nor schema. Imports all of them:
    call it in a thread.
    """
    return [_view(name) for name in sorted(names_of(MACHINES, MACHINE_ENTRY_POINTS))]


def _view(name: str) -> dict[str, Any]:
    view = {"name": name, "description": None, "schema": None, "error": None}
    try:
        machine = machine_of(name)
        return {**view, "description": _first_line(machine), "schema": _schema(machine)}
    except Exception as problem:  # whatever a plug-in does
        return {**view, "error": str(problem) or repr(problem)}


def _first_line(machine: object) -> str | None:
    # Not what the class inherits: `object` is described too.
    text = inspect.cleandoc(type(machine).__doc__ or "")
    return text.partition("\n")[0] or None


def _schema(machine: object) -> Any:
    """Return what a machine says of its parameters, checked to be JSON; None when it does not."""
    if not isinstance(machine, DescribedMachine):
        return None
    schema = {"$schema": DIALECT, **machine.schema()}
    try:
        return json.loads(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError) as problem:
        raise TypeError(f"its schema is not JSON: {problem}") from problem
