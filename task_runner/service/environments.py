"""The environments of this node: which there are, made with their configuration when first used."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from task_runner.environments.base import Environment, RemoteEnvironment, Usability
from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.errors import StartError, ValidationError
from task_runner.lib.limits import HELD, held_by_groups
from task_runner.lib.registry import ENVIRONMENT_ENTRY_POINTS, ENVIRONMENTS, find, names_of
from task_runner.lib.task import Task

LOCAL = "multiprocess"
REMEMBERED = 15.0
"""Seconds for which is remembered whether an environment can be used: finding out runs programs."""

log = logging.getLogger(__name__)


class Environments:
    """Every environment by its name. Any thread may ask."""

    def __init__(
        self, local: MultiprocessEnvironment, config: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Know `local`; the others are made of their `config` when they are asked for."""
        self.local = local
        self._config = config
        self._made: dict[str, RemoteEnvironment] = {}
        self._usability: dict[str, tuple[float, Usability]] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> Environment:
        """Return an environment. Raises StartError when it is not there, or cannot be made."""
        return self.local if name == LOCAL else self.remote(name)

    def remote(self, name: str) -> RemoteEnvironment:
        """Return an environment of another computer; may take long, as a plug-in is imported.

        Raises StartError.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def _make(self, name: str) -> RemoteEnvironment:
        try:
            kind = find(name, ENVIRONMENTS, ENVIRONMENT_ENTRY_POINTS)
            made = kind(self.local.work_dir, self._config.get(name, {}))
            if not isinstance(made, RemoteEnvironment):
                raise TypeError(f"{kind.__qualname__} is no RemoteEnvironment")
        except Exception as problem:  # whatever a plug-in does
            raise StartError(f"the environment {name!r} cannot be used: {problem}") from problem
        return made

    def admit(self, task: Task) -> None:
        """Check a valid task against what this node allows. Raises ValidationError."""
        try:
            environment = self.of(task.environment)
        except StartError as problem:
            raise ValidationError(str(problem), "environment") from problem
        environment.admit(task)

    def views(self) -> list[dict[str, Any]]:
        """Return what every environment can do, and whether it can be used here. May take long."""
        names = sorted(names_of(ENVIRONMENTS, ENVIRONMENT_ENTRY_POINTS))
        return [self._view(name) for name in names]

    def _view(self, name: str) -> dict[str, Any]:
        capabilities = limits = None
        try:
            capabilities = self.of(name).capabilities
            limits = capabilities.limits
            usability = self._find_out(name)
        except Exception as problem:  # one that is broken does not hide the others
            log.warning("the environment %r is broken: %r", name, problem)
            usability = Usability(usable=False, why=str(problem) or repr(problem))
        return {
            "name": name,
            "usable": usability.usable,
            "why": usability.why,
            "install": usability.install,
            "found": dict(usability.found),
            "capabilities": capabilities
            and {
                "elsewhere": capabilities.elsewhere,
                "limits": sorted(HELD | held_by_groups() if limits is None else limits),
                "options": dict(capabilities.options),
            },
        }

    def _find_out(self, name: str) -> Usability:
        found_at, usability = self._usability.get(name, (float("-inf"), None))
        if usability is None or time.monotonic() > found_at + REMEMBERED:
            usability = self.of(name).usability()
            self._usability[name] = time.monotonic(), usability
        return usability

    def close(self) -> None:
        """Let go of all of them; every task goes on."""
        self.local.close()
        for environment in self._made.values():
            environment.close()
