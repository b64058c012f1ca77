"""What a task gets of the settings when it says nothing of it."""

from collections.abc import Mapping
from typing import Any, Literal

Defaulted = Literal["environmentOptions", "isolation", "isolationOptions", "limits"]

OPTIONS_OF = {"environmentOptions": "environment", "isolationOptions": "isolation"}


def with_defaults(fields: Mapping[str, Any], defaults: Mapping[Defaulted, Any]) -> dict[str, Any]:
    """Return the fields of a task with those that are missing.

    Options by default are for what is used by default: a task that names its isolation gets none.
    """
    missing: dict[str, Any] = {
        name: value for name, value in defaults.items() if OPTIONS_OF.get(name) not in fields
    }
    return {**missing, **fields}
