"""The short form of the chaos run (`make chaos` is the long one), and what its audit would find."""

from typing import Any

import pytest

from tests.faults.chaos.audit import problems_of
from tests.faults.chaos.client import Accepted
from tests.faults.chaos.plan import Blow, Chore, make_plan
from tests.faults.chaos.run import chaos

SECONDS = 60
SEED = 20261124

CHORE = Chore(0, "quick", {"taskId": "t"}, "failed", 3, b"0\n1\n2\n")
VIEW = {"state": "exited", "outcome": "failed", "exitCode": 3, "error": None}
UNKNOWN = {"outcome": "unknown", "exitCode": None}


@pytest.mark.timeout(SECONDS + 400)
def test_nothing_is_lost_while_everything_breaks() -> None:
    report = chaos(SEED, SECONDS)
    print(report)
    assert report.problems == []
    assert len(report.accepted) == len(make_plan(SEED, SECONDS, "").chores)
    assert set(report.struck) == set(Blow)
    assert report.orphaned.total() > 5


def test_a_seed_repeats_a_plan() -> None:
    assert make_plan(1, 60, "/ledger") == make_plan(1, 60, "/ledger")
    assert make_plan(1, 60, "/ledger") != make_plan(2, 60, "/ledger")


@pytest.mark.parametrize(
    ("change", "output", "times_run", "orphaned", "problem"),
    [
        ({}, b"0\n1\n2\n", 1, False, None),
        (UNKNOWN, b"0\n1\n2\n", 1, True, None),
        (UNKNOWN, b"0\n1\n2\n", 1, False, "unknown"),
        (UNKNOWN | {"state": "lost"}, b"0\n", 1, True, None),
        ({"exitCode": 0}, b"0\n1\n2\n", 1, True, "with 0"),
        ({}, b"0\n1\n2\n", 2, True, "ran 2 times"),
        ({}, b"0\n1\n2\n", 0, True, "ran 0 times"),
        ({}, b"0\n2\n", 1, True, "at byte 2"),
        ({}, b"0\n1\n2\n2\n", 1, True, "log is wrong"),
        ({}, b"0\n1\n", 1, True, "4 bytes of 6"),
    ],
)
def test_the_audit_finds(
    change: dict[str, Any], output: bytes, times_run: int, orphaned: bool, problem: str | None
) -> None:
    found = list(problems_of(Accepted(CHORE, VIEW | change, output), times_run, orphaned=orphaned))
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]
