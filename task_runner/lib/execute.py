"""The last thing a process does before it is the program of a task.

The init of a sandbox needs it too, so it imports next to nothing: `typing` takes as long as all
the rest of the init.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

NAME_LIMIT = 200
NOT_STARTED_EXIT_CODE = 127


def execute(argv: tuple[str, ...], environment: Mapping[str, str], report: int) -> NoReturn:
    """Become the program, found on the PATH of its environment; say on `report` why if not."""
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as problem:
        import json

        # In full it may fill the pipe of the report, which is read only when this process is over.
        name = argv[0] if len(argv[0]) <= NAME_LIMIT else f"{argv[0][:NAME_LIMIT]}..."
        words = json.dumps({"not_started": f"{name}: {problem.strerror}"})
        try:
            os.write(report, words.encode() + b"\n")
        finally:  # also when TaskRunner was killed
            os._exit(NOT_STARTED_EXIT_CODE)
