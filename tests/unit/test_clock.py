import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_runner.lib.clock import since_boot, timestamp


@given(st.integers(0, 4_000_000_000_000_000))
def test_it_is_what_others_read(microseconds: int) -> None:
    found = datetime.fromisoformat(timestamp(microseconds / 1_000_000))
    assert abs(found.timestamp() - microseconds / 1_000_000) < 2e-6
    assert found.utcoffset() == UTC.utcoffset(None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000+00:00"),
        (0.5, "1970-01-01T00:00:00.500000+00:00"),
        (0.9999999, "1970-01-01T00:00:01.000000+00:00"),
        (951782399.999999, "2000-02-28T23:59:59.999999+00:00"),
    ],
)
def test_it_has_one_form(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text


def test_later_sorts_later() -> None:
    assert timestamp() < timestamp(time.time() + 1)


def test_the_clock_of_deadlines_is_the_one_of_proc() -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert uptime <= since_boot() + 0.01 < uptime + 5
    assert since_boot() <= since_boot()
