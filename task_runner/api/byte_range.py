"""The Range header, RFC 9110 section 14: one range of bytes, anything else is not understood."""

import re
from collections.abc import Mapping

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
UNSATISFIABLE = (-1, -1)


def requested_range(headers: Mapping[str, str], tag: str, size: int) -> tuple[int, int] | None:
    """Return first byte and the one after the last; None when the whole is asked for.

    A range that is not understood, or is meant for another version (`If-Range`), is ignored, as
    the RFC has it. One that begins behind the end is UNSATISFIABLE.
    """
    found = RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if not found or headers.get("if-range", tag) != tag:
        return None
    first, last = found.groups()
    if first:
        start, stop = int(first), min(int(last or size) + 1, size)
        if last and int(last) < start:
            return None
    elif last:
        start, stop = max(0, size - int(last)), size
    else:
        return None
    return (start, stop) if start < stop else UNSATISFIABLE
