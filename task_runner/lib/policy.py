"""What a node lets tasks ask of their isolation, and what it uses; stored with each task."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from task_runner.lib.errors import ValidationError


class Policy(NamedTuple):
    """Absolute paths, each standing for everything below it; by default nothing is allowed.

    And the command of containers, which has to be the same for all that concerns a task.
    """

    read_only: tuple[str, ...] = ()
    """What a task may have mounted into its isolation for reading."""
    writable: tuple[str, ...] = ()
    """What a task may have mounted for reading and writing."""
    hidden: tuple[str, ...] = ()
    """What no task may see from inside: the work directory, and where the index is."""
    container_command: tuple[str, ...] = ()
    """What podman or docker is executed by; empty: the first of them that is installed."""

    def check_read_only(self, path: object, field: str) -> None:
        """Check a path to be mounted for reading. Raises ValidationError."""
        _check(path, (*self.read_only, *self.writable), "read-only", field)
        if _lies_below(str(path), self.hidden):
            raise ValidationError(f"{path} belongs to the Task Runner", field)

    def check_writable(self, path: object, field: str) -> None:
        """Check a path to be mounted for writing. Raises ValidationError."""
        _check(path, self.writable, "writable", field)
        hidden = [hidden for hidden in self.hidden if _lies_below(hidden, (str(path),))]
        if hidden or _lies_below(str(path), self.hidden):
            raise ValidationError(f"{path} belongs to the Task Runner, or holds what does", field)


NOTHING = Policy()
EVERYTHING = Policy(("/",), ("/",))
"""For a task of the user who runs it in the foreground, and could do anything without it."""


def _check(path: object, allowed: Iterable[str], how: str, field: str) -> None:
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise ValidationError("it must be an absolute path", field)
    if not _lies_below(path, allowed):
        places = ", ".join(allowed) or "nothing is"
        raise ValidationError(
            f"{path} is not below what the settings of this node allow ({how}: {places})", field
        )
    if not os.path.exists(path):
        raise ValidationError(f"there is no {path}", field)


def _lies_below(path: str, places: Iterable[str]) -> bool:
    """Say whether the path, wherever its links lead, is one of the places or in one of them."""
    return any(
        os.path.commonpath((real := os.path.realpath(place), os.path.realpath(path))) == real
        for place in places
    )
