"""The one place that runs Slurm's tools."""

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from task_runner.environments.slurm.answers import complaint, is_transient
from task_runner.lib.errors import UnreachableError
from task_runner.lib.process import short_environment

PASSED_ON = ("PATH", "SLURM_CONF", "LD_LIBRARY_PATH")


class Answer(NamedTuple):
    """What a tool printed, and whether it did what it was told."""

    done: bool
    text: str
    complaint: str


class Tools:
    """Runs a tool, for at most some seconds."""

    def __init__(self, patience: float) -> None:
        """Wait `patience` seconds for each."""
        self._patience = patience
        ours = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._environment = {**short_environment(), **ours}

    def run(self, argv: Sequence[str]) -> Answer:
        """Run a tool and return what it says.

        Raises UnreachableError when it gave no answer, or says that it has got none: whether what
        was asked for was done is not known then.
        """
        try:
            ran = subprocess.run(
                argv,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=self._patience,
                env=self._environment,
                check=False,
                start_new_session=True,
                umask=0o077,
            )
        except subprocess.TimeoutExpired as problem:
            why = f"{argv[0]}: it does not answer within {self._patience:g} seconds"
            said = complaint((problem.stderr or b"").decode(errors="replace"))
            raise UnreachableError(f"{why}: {said}" if said else why) from problem
        except OSError as problem:
            raise UnreachableError(f"{argv[0]}: {problem.strerror}") from problem
        text, complaints = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
        if ran.returncode != 0 and (ran.returncode < 0 or is_transient(complaints)):
            raise UnreachableError(f"{argv[0]}: {complaint(complaints)}")
        return Answer(ran.returncode == 0, text, complaint(complaints))
