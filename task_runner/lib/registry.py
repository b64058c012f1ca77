"""Names to objects: ours are lazy import strings, everybody else's are entry points."""

import importlib
import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from task_runner.lib.errors import SHORTAGES

MACHINES = {
    "command": "task_runner.machines.command:CommandMachine",
    "echo": "task_runner.machines.echo:EchoMachine",
}
MACHINE_ENTRY_POINTS = "task_runner.machines"
ISOLATIONS = {
    "container": "task_runner.isolation.container:ContainerIsolation",
    "sandbox": "task_runner.isolation.sandbox:Sandbox",
}
"""Besides `none`, which is nothing."""
ISOLATION_ENTRY_POINTS = "task_runner.isolations"
ENVIRONMENTS = {
    "multiprocess": "task_runner.environments.multiprocess:MultiprocessEnvironment",
    "slurm": "task_runner.environments.slurm.environment:SlurmEnvironment",
}
ENVIRONMENT_ENTRY_POINTS = "task_runner.environments"

log = logging.getLogger(__name__)


def load(name: str, known: Mapping[str, str], group: str) -> Any:
    """Return an instance of the class that `name` stands for; see `find`. Raises LookupError."""
    found = find(name, known, group)
    try:
        return found()
    except Exception as problem:
        log.exception("the plug-in %r is broken", name)
        raise LookupError(f"{name!r} cannot be made: {problem!r}") from problem


def find(name: str, known: Mapping[str, str], group: str) -> Any:
    """Import the object that `name` stands for.

    `known` maps names to `module:attribute`; another name is looked up among the installed entry
    points of `group`. Raises LookupError when there is none, or when it cannot be imported: a
    broken plug-in harms only those who ask for it.
    """
    target = known.get(name)
    if target is None:
        target = _entry_points(group).get(name)
    if target is None:
        names = ", ".join(sorted(names_of(known, group)))
        raise LookupError(f"there is no {name!r}; there are: {names}")
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno in SHORTAGES:  # nothing is wrong with it
            raise
        log.exception("the plug-in %r (%s) is broken", name, target)
        raise LookupError(f"{name!r} ({target}) cannot be loaded: {problem!r}") from problem


def machine_of(name: str) -> Any:
    """Return the machine (see lib/machine.py) of that name. Raises LookupError."""
    return load(name, MACHINES, MACHINE_ENTRY_POINTS)


def isolation_of(name: str) -> Any:
    """Return the isolation (see lib/isolation.py) of that name. Raises LookupError."""
    return load(name, ISOLATIONS, ISOLATION_ENTRY_POINTS)


def names_of(known: Mapping[str, str], group: str) -> Iterable[str]:
    """Return every name that `find` would try: ours and the installed ones."""
    return {*known, *_entry_points(group)}


def _entry_points(group: str) -> dict[str, str]:
    # A process of the standard library alone (the fork server runs `python -S`) meets the
    # installed packages here, and only the task that asks for one pays for them.
    if "site" not in sys.modules:
        import site

        site.main()
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=group)}
