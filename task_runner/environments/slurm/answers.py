"""What Slurm's tools print: text in, meaning out. What does not fit is left out, never guessed."""

import re
from typing import NamedTuple

from task_runner.environments.base import Place


class Job(NamedTuple):
    """A job as squeue or sacct show it."""

    number: str
    name: str
    state: str
    """A word such as PENDING or NODE_FAIL."""
    nodes: str = ""
    reason: str = ""


PLACES = {
    Place.WAITING: "CONFIGURING PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD "
    "SPECIAL_EXIT",
    Place.RUNNING: "COMPLETING RESIZING RUNNING SIGNALING STAGE_OUT STOPPED SUSPENDED",
    Place.CANCELED: "CANCELLED PREEMPTED REVOKED",
    Place.ENDED: "BOOT_FAIL COMPLETED DEADLINE FAILED LAUNCH_FAILED NODE_FAIL OUT_OF_MEMORY "
    "RECONFIG_FAIL TIMEOUT",
}
PLACE_OF = {word: place for place, words in PLACES.items() for word in words.split()}

NOT_NOW = (
    "Unable to contact slurm controller",
    "Socket timed out",
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "Transport endpoint",
    "Communication connection failure",
    "Zero Bytes were transmitted",
    "Slurm backup controller in standby mode",
    "Slurm temporarily unable to accept job",
    "Resource temporarily unavailable",
    "Unable to process configuration file",
    "authentication",
    "Munge",
    "munge",
)
"""What the tools say when they could not ask, or have no answer: trying again may help."""


def place_of(state: str) -> Place:
    """Return how far a job in this state is. A word that nobody knows yet says nothing."""
    return PLACE_OF.get(state, Place.UNKNOWN)


def submitted(text: str) -> str | None:
    """Return the number that `sbatch --parsable` prints, `123` or `123;cluster`.

    What a site's own scripts print around it is left out.
    """
    found = re.findall(r"^(\d+)(?:;\S+)?\s*$", text, re.MULTILINE)
    return found[-1] if found else None


def queue(text: str) -> dict[str, Job]:
    """Return the jobs that squeue prints, by number."""
    jobs = {}
    for line in text.splitlines():
        number, *rest = line.strip().split("|", 4)
        if number.isdecimal() and len(rest) == 4:
            name, state, nodes, reason = rest
            jobs[number] = Job(number, name, state, nodes, "" if reason == "None" else reason)
    return jobs


def accounted(text: str) -> dict[str, Job]:
    """Return the jobs that sacct prints, by number. `CANCELLED by 1000` is told as its reason."""
    jobs = {}
    for line in text.splitlines():
        number, *rest = line.strip().split("|")
        if number.isdecimal() and len(rest) == 3:
            name, words, nodes = rest
            state, _, by = words.partition(" ")
            nodes = "" if nodes == "None assigned" else nodes
            jobs[number] = Job(number, name, state.rstrip("+"), nodes, by)
    return jobs


def is_transient(text: str) -> bool:
    """Say whether an error of a tool means that it is to be tried again."""
    return any(words in text for words in NOT_NOW)


def complaint(text: str) -> str:
    """Return what a tool complains about, in one line."""
    lines = [re.sub(r"^\w+: (error|fatal): ", "", line.strip()) for line in text.splitlines()]
    return "; ".join(line for line in lines if line)


def setting(text: str, name: str) -> str | None:
    """Return a value out of `scontrol show config`, None when it is not there."""
    found = re.search(rf"^{re.escape(name)}\s*= (.*?)\s*$", text, re.MULTILINE)
    return found and found[1]
