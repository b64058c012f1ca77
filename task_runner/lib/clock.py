"""Times: stamps for people and records, and a clock for deadlines."""

import time


def timestamp(seconds: float | None = None) -> str:
    """Return a wall clock time (seconds since the epoch; now by default) as RFC 3339, in UTC."""
    microseconds = round((time.time() if seconds is None else seconds) * 1_000_000)
    whole, fraction = divmod(microseconds, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:06d}+00:00"


def since_boot() -> float:
    """Return seconds since the machine started, time spent asleep included.

    Deadlines are kept on this clock: it never jumps, and `/proc/PID/stat` counts on it too.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
