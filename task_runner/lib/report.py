"""What a machine's process reports to TaskRunner, over a pipe: lines of JSON with a few words."""

import json
import os
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

REPORT_FD = 4
REPORT_SIZE = 65536
REPORT_LIMIT = 2000
"""Characters of an error that are reported: the report is written at once into an empty pipe."""

HEARD = b'{"heard":true}\n'
"""What a Python machine reports at once when it is told to end."""
WORDS: Mapping[str, type] = {
    "returned": int,
    "exception": str,
    "canceled": bool,
    "not_started": str,
    "heard": bool,
    "entered": bool,
    "status": int,
    "kills_for_memory": int,
    "python": bool,
}
"""What can be reported; the last four come from isolations. Who runs inside may write anything."""


def words_of_report(report: bytes) -> dict[str, Any]:
    """Return the words in a report, see `WORDS`."""
    words: dict[str, Any] = {}
    for line in report.splitlines():
        try:
            words |= {k: v for k, v in json.loads(line).items() if type(v) is WORDS.get(k)}
        except (ValueError, AttributeError, RecursionError):
            words["said"] = words.get("said", "") + line.decode(errors="replace") + "\n"
    return words


def say(report: int, **words: Any) -> None:
    """Write words to the report."""
    with suppress(OSError):  # TaskRunner was killed: nobody is going to read it
        os.write(report, json.dumps(words).encode() + b"\n")


def describe(problem: BaseException) -> str:
    """Return an exception in words that fit into a report."""
    text = "".join(traceback.format_exception_only(problem)).strip()
    # Half of a surrogate pair, as in the name of a file, could not be shown to anybody.
    return text[:REPORT_LIMIT].encode(errors="backslashreplace").decode()
