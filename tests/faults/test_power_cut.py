"""The power of a whole computer is cut: of a guest, whose disk has only what was written to it."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.faults.power_cut import ACCEPTED, CUT, RAN, SLOTS
from tests.guest import running_guest
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
mkdir /mnt/disk
{mkfs}
mount /dev/ubdb /mnt/disk
cd {root}
exec {python} -B -m tests.faults.power_cut {when}
"""


def script(when: str, mkfs: str = "") -> str:
    root, python = shlex.quote(str(ROOT)), shlex.quote(sys.executable)
    return SCRIPT.format(root=root, python=python, when=when, mkfs=mkfs)


def lines_of(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def ended(scratch: Path) -> str:
    """Return what the script of a guest has said, once it is over."""
    return (scratch / "output").read_text() if (scratch / "status").exists() else ""


OVER, LOST = ("exited", "failed", 7), ("lost", "unknown", None)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("when", "endings"),
    [("before", [*[OVER] * SLOTS, *[LOST] * SLOTS, *[OVER] * SLOTS]), ("begun", [LOST] * SLOTS)],
)
def test_what_was_accepted_survives(
    tmp_path: Path, when: str, endings: list[tuple[str, str, int | None]]
) -> None:
    """What was over has its result, what ran is lost, what waited runs: each of them once."""
    accepted, ran, cut = (tmp_path / path.name for path in (ACCEPTED, RAN, CUT))
    with running_guest(script(when, "mkfs.ext4 -q /dev/ubdb"), tmp_path):
        wait_until(lambda: len(lines_of(accepted)) == len(endings) or ended(tmp_path), 90)
    assert not ended(tmp_path)
    cut.touch()
    with running_guest(script("after"), tmp_path) as guest:
        status, said = guest.wait(timeout=90)
    assert status == 0, said
    views = json.loads(said)
    assert [(view["state"], view["outcome"], view["exitCode"]) for view in views] == endings
    assert sorted(lines_of(ran)) == sorted(lines_of(accepted))
