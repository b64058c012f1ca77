"""A task once more: what was stored of it, with changes."""

from collections.abc import Mapping

from task_runner.lib.errors import ValidationError
from task_runner.lib.limits import OTHER_NAMES
from task_runner.lib.task import FOUND_OUT, Json

OF_ITS_OWN = (*FOUND_OUT, "taskId", "rerunOf")


def fields_of_rerun(
    task_id: str, stored: Mapping[str, Json], changes: Mapping[str, Json]
) -> dict[str, Json]:
    """Return the fields to submit when the task `task_id` is run again.

    `stored` is its `task.json`. A field in `changes` replaces that of the original as a whole; None
    stands for the default. A list of names in place of an `env` is what a view shows of it, and
    stands for the variables of these names, with the values that are never shown. Raises
    ValidationError when the original has none of that name.
    """
    fields = {name: value for name, value in stored.items() if name not in OF_ITS_OWN}
    for limit, field in OTHER_NAMES.items():
        if limit in (changes.get("limits") or ()):
            fields.pop(field, None)  # as which it is stored
    fields |= {**changes, "rerunOf": task_id}
    fields["env"] = _env(fields.get("env"), stored.get("env"), "env")
    parameters, old = fields.get("parameters"), stored.get("parameters")
    if isinstance(parameters, dict) and isinstance(parameters.get("env"), list):
        known = old.get("env") if isinstance(old, dict) else None
        env = _env(parameters["env"], known, "parameters.env")
        fields["parameters"] = {**parameters, "env": env}
    return {name: value for name, value in fields.items() if value is not None}


def _env(wanted: Json, known: Json, field: str) -> Json:
    if not isinstance(wanted, list):
        return wanted
    known = known if isinstance(known, dict) else {}
    for name in wanted:
        if not isinstance(name, str) or name not in known:
            raise ValidationError(f"the original has no variable {name!r:.80}", field)
    return {name: known[name] for name in wanted}
