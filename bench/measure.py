"""What every measure has in common: what it is given, what it returns, and medians."""

import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True)
class Bench:
    """What a measure is given: a directory for everything it writes, and how much to do."""

    directory: str
    """Stays until all measures are done: ext4 does not use the inode of a removed file again for
    some minutes, but looks at each of them whenever it makes a file. Removing the files of one
    measure would slow the next."""
    quick: bool

    def path(self, name: str) -> str:
        """Return a path of that name in the directory."""
        return os.path.join(self.directory, name)

    def amount(self, full: int, quick: int) -> int:
        """Return how many of something, in a full run or in a quick one."""
        return quick if self.quick else full


@dataclass
class Row:
    """A line of the table, and what is said below the table about it."""

    name: str
    result: str
    target: str
    reached: bool
    floor: str = "-"
    notes: list[str] = field(default_factory=list)
    taken: bool = True
    """False when the measure itself has failed."""


Measure = Callable[[Bench], list[Row]]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def ratio(ours: Sequence[float], floors: Sequence[float]) -> float:
    """Return the median of the ratios, round by round: both of a round had the same weather."""
    return statistics.median(a / b for a, b in zip(ours, floors, strict=True))


def together(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Return the values of all rounds."""
    return [value for values in rounds for value in values]


def spread(values: Sequence[float], unit: str, digits: int = 1) -> str:
    """Return the median, and the lowest and highest value of several rounds."""
    low, high = min(values), max(values)
    middle = statistics.median(values)
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"
