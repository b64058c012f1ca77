"""The table of endings: what was seen of the end of a machine, and what that is called.

| TaskRunner had begun | what was seen of the machine      | outcome   | exit code    |
| -------------------- | --------------------------------- | --------- | ------------ |
| to stop it: cancel   | anything, also nothing            | canceled  | -1           |
| to stop it: time-out | anything, also nothing            | timeout   | -2           |
| nothing              | the program could not be executed | error     | unknown      |
| nothing              | a Python machine raised           | exception | -3           |
| nothing              | it ended by itself with 0         | succeeded | 0            |
| nothing              | it ended by itself with n         | failed    | n            |
| nothing              | it was killed by a signal         | crashed   | 128 + signal |
| nothing              | nobody saw how it ended           | unknown   | unknown      |

The first line that fits is taken. A stop begins when TaskRunner has seen that the machine is not
over yet; one that comes later changes nothing.
"""

import os
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Outcome(StrEnum):
    """How a task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CRASHED = "crashed"
    EXCEPTION = "exception"
    CANCELED = "canceled"
    TIMEOUT = "timeout"
    ERROR = "error"
    UNKNOWN = "unknown"


STOP_EXIT_CODES = {Outcome.CANCELED: -1, Outcome.TIMEOUT: -2}
EXCEPTION_EXIT_CODE = -3


class Result(NamedTuple):
    """An ending in the words of the status file; None is "not known" or "there is none"."""

    outcome: Outcome
    exit_code: int | None = None
    return_code: int | None = None
    signal: str | None = None
    error: str | None = None


def result_of(
    stop: Outcome | None, wait_status: int | None, report: Mapping[str, Any] | None = None
) -> Result:
    """Look an ending up in the table.

    `stop` is CANCELED or TIMEOUT when TaskRunner had begun to stop the machine, `wait_status`
    what wait(2) gave (None: nobody could wait), `report` the machine's last words: one of
    `{"returned": code}`, `{"exception": text}`, `{"not_started": text}`, `{"canceled": true}`; and
    `{"out_of_memory": text}`, from whoever has seen the kernel kill for it: told in any case.
    """
    report = report or {}
    own = _own_ending(wait_status, report)
    if "out_of_memory" in report:
        own = own._replace(error=report["out_of_memory"])
    if stop is not None:
        return own._replace(
            outcome=stop, exit_code=STOP_EXIT_CODES[stop], return_code=own.exit_code
        )
    if own.outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        return own._replace(return_code=own.exit_code)
    return own


def _own_ending(wait_status: int | None, report: Mapping[str, Any]) -> Result:
    if "not_started" in report:
        return Result(Outcome.ERROR, error=report["not_started"])
    if "exception" in report:
        return Result(Outcome.EXCEPTION, EXCEPTION_EXIT_CODE, error=report["exception"])
    if "canceled" in report:  # by a SIGTERM; when it was not ours, that is what ended it
        return _killed_by(signal.SIGTERM)
    if wait_status is None:
        return Result(Outcome.UNKNOWN, error="nobody saw how it ended")
    code = report.get("returned", os.waitstatus_to_exitcode(wait_status))
    if "returned" not in report and code < 0:
        return _killed_by(-code)
    return Result(Outcome.SUCCEEDED if code == 0 else Outcome.FAILED, code)


def _killed_by(number: int) -> Result:
    return Result(Outcome.CRASHED, 128 + number, signal=signal_name(number))


def signal_name(number: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIG{number}"
