"""How a program in a container ended, by all that could be seen of it. Nothing is asked here.

The init tells the true wait status of the program. Podman, whose exit codes do not tell a signal
from an exit code, is believed only where the init could not speak.
"""

import os
import signal
from typing import Any, NamedTuple

from task_runner.isolation.container_tools import Sight

Words = dict[str, Any]

PYTHON_NEEDED = (
    "a Python machine needs Python 3.11 or later, as python3, and the package task_runner in the "
    "image"
)
NO_PACKAGE = "No module named 'task_runner"
KILLED = 128 + signal.SIGKILL


UNKNOWN: tuple[int | None, Words] = (None, {})
"""What nobody can tell."""


class Evidence(NamedTuple):
    """What was seen."""

    kind: str
    """Of the tool: its name."""
    client_code: int | None
    """How the client ended; None when nobody could see it."""
    sight: Sight | None
    """What the tool says in the end; None when it knows of no such container, or says nothing."""
    kills_for_memory: int
    """How many processes in the container the kernel was seen to kill for their memory."""
    words: Words
    """What was reported by the init, a Python machine, and whoever was to execute the client."""
    output: str
    """All of the output, when it is short: what podman says is there too."""


def ending_of(seen: Evidence) -> tuple[int | None, Words]:
    """Return wait status and last words of the program, as `Guarded.collect` does."""
    if "not_started" in seen.words:
        what = seen.words["not_started"]
        return None, {"not_started": f"{PYTHON_NEEDED}: {what}" if "python" in seen.words else what}
    if "entered" not in seen.words:
        if seen.sight is None and seen.client_code in (None, 0):
            return UNKNOWN  # somebody has removed it
        return None, {"not_started": _refusal(seen)}
    status = _status(seen)
    if status is None:
        return UNKNOWN
    if "python" in seen.words and status == 1 << 8 and NO_PACKAGE in seen.output:
        return None, {"not_started": f"{PYTHON_NEEDED}: {seen.output.strip().splitlines()[-1]}"}
    return status, seen.words


def _status(seen: Evidence) -> int | None:
    inside = seen.words.get("status", -1)
    if 0 <= inside <= 0xFFFF and (os.WIFEXITED(inside) or os.WIFSIGNALED(inside)):
        return int(inside)
    if is_out_of_memory(seen) or (seen.sight is not None and seen.sight.exit_code == KILLED):
        return int(signal.SIGKILL)  # of the init, and with it of everything
    return None


def is_out_of_memory(seen: Evidence) -> bool:
    """Say whether something in the container was killed for its memory."""
    return seen.kills_for_memory > 0 or (seen.sight is not None and seen.sight.out_of_memory)


def _refusal(seen: Evidence) -> str:
    said = " ".join(seen.output.split()) or "it said nothing"
    if seen.client_code is None:
        return f"{seen.kind} did not start the container: {said}"
    if seen.client_code < 0:
        how = f"was ended by {signal.Signals(-seen.client_code).name}"
        return f"{seen.kind} {how} before it had started the container: {said}"
    return f"{seen.kind} did not start the container (exit code {seen.client_code}): {said}"
