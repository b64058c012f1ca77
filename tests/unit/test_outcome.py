import os
import signal
from typing import Any, NamedTuple

import pytest

from task_runner.lib.outcome import Outcome, Result, result_of


class Ending(NamedTuple):
    """How a machine can end: what wait(2) says, its last words, and what both mean."""

    wait_status: int | None
    report: dict[str, Any] | None
    outcome: Outcome
    exit_code: int | None
    signal: str | None = None
    error: str | None = None


def exited(code: int) -> int:
    return code << 8


ENDINGS = {
    "program, 0": Ending(exited(0), None, Outcome.SUCCEEDED, 0),
    "program, 1": Ending(exited(1), None, Outcome.FAILED, 1),
    "program, 127": Ending(exited(127), None, Outcome.FAILED, 127),
    "program, 255": Ending(exited(255), {}, Outcome.FAILED, 255),
    "program, SIGKILL": Ending(9, None, Outcome.CRASHED, 137, "SIGKILL"),
    "core dump": Ending(signal.SIGSEGV | 0x80, None, Outcome.CRASHED, 139, "SIGSEGV"),
    "no such program": Ending(
        exited(127), {"not_started": "x: no"}, Outcome.ERROR, None, error="x: no"
    ),
    "Python, None or 0": Ending(exited(0), {"returned": 0}, Outcome.SUCCEEDED, 0),
    "Python, 5": Ending(exited(5), {"returned": 5}, Outcome.FAILED, 5),
    "Python, 1000": Ending(exited(1), {"returned": 1000}, Outcome.FAILED, 1000),
    "Python, -1": Ending(exited(1), {"returned": -1}, Outcome.FAILED, -1),
    "Python raised": Ending(
        exited(1), {"exception": "E: no"}, Outcome.EXCEPTION, -3, error="E: no"
    ),
    "Python, somebody's SIGTERM": Ending(
        exited(143), {"canceled": True}, Outcome.CRASHED, 143, "SIGTERM"
    ),
    "Python, killed at its very end": Ending(9, {"returned": 0}, Outcome.SUCCEEDED, 0),
    "nobody saw it": Ending(None, None, Outcome.UNKNOWN, None, error="nobody saw how it ended"),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_by_itself(ending: Ending) -> None:
    result = result_of(None, ending.wait_status, ending.report)
    known = ending.outcome in {Outcome.SUCCEEDED, Outcome.FAILED}
    assert result == Result(
        outcome=ending.outcome,
        exit_code=ending.exit_code,
        return_code=ending.exit_code if known else None,
        signal=ending.signal,
        error=ending.error,
    )


@pytest.mark.parametrize(("stop", "code"), [(Outcome.CANCELED, -1), (Outcome.TIMEOUT, -2)])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_stopped(ending: Ending, stop: Outcome, code: int) -> None:
    result = result_of(stop, ending.wait_status, ending.report)
    assert (result.outcome, result.exit_code) == (stop, code)
    assert (result.return_code, result.signal) == (ending.exit_code, ending.signal)


@pytest.mark.parametrize("number", sorted({*range(1, 32), *range(34, 65)}))
def test_every_signal(number: int) -> None:
    result = result_of(None, number)
    assert (result.outcome, result.exit_code) == (Outcome.CRASHED, 128 + number)
    names = {member.value: member.name for member in signal.Signals}
    assert result.signal == names.get(number, f"SIG{number}")


def test_a_real_process_agrees() -> None:
    if (pid := os.fork()) == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    assert result_of(None, os.waitpid(pid, 0)[1]).exit_code == 137
    if (pid := os.fork()) == 0:
        os._exit(42)
    assert result_of(None, os.waitpid(pid, 0)[1]).exit_code == 42
