"""Many values as few numbers: count, sum, least, greatest, and a histogram for percentiles.

The histogram's classes grow by 2 %, so a percentile is within 1 % of the true one whatever the values are, and a minute
of latencies is some dozens of numbers. A value that came as a statistic set has no place in it, neither has a negative
one; an aggregate that holds such values has no percentiles, as on AWS.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_GROWTH = 1.02
_STEP = math.log(_GROWTH)
_ZERO = -(1 << 20)
"""The class of nothing at all."""
STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_OTHERS = re.compile(r"(?:(?:tm|wm|tc|ts)\d+(?:\.\d+)?|(?:TM|WM|TC|TS|PR)\([^)]*\)|IQM)", re.IGNORECASE)


@dataclass(slots=True)
class Aggregate:
    """Of at least one value."""

    count: float = 0.0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    histogram: dict[int, float] = field(default_factory=dict)
    """How many values are in which class."""

    def add(self, value: float, count: float = 1.0) -> None:
        """`count` times the value."""
        self.count += count
        self.total += value * count
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        if value >= 0:
            place = _class(value)
            self.histogram[place] = self.histogram.get(place, 0.0) + count

    def merge(self, other: Aggregate) -> None:
        """The other one's values too."""
        self.count += other.count
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        for place, count in other.histogram.items():
            self.histogram[place] = self.histogram.get(place, 0.0) + count

    def statistic(self, name: str) -> float | None:
        """Its value; None where it can't be told. `name` must be one that `is_statistic` accepts."""
        match name:
            case "SampleCount":
                return self.count
            case "Sum":
                return self.total
            case "Minimum":
                return self.low
            case "Maximum":
                return self.high
            case "Average":
                return self.total / self.count if self.count else None
        return self._percentile(float(name[1:]))

    def _percentile(self, percent: float) -> float | None:
        held = sum(self.histogram.values())
        if not held or not math.isclose(held, self.count, rel_tol=1e-9):
            return None
        wanted, seen = held * percent / 100, 0.0
        if percent == 0:
            return self.low
        for place in sorted(self.histogram):
            seen += self.histogram[place]
            if seen >= wanted or math.isclose(seen, wanted):
                return min(self.high, max(self.low, _middle(place)))
        return self.high

    def dumps(self) -> str:
        """The histogram as text."""
        return json.dumps({str(place): _short(count) for place, count in sorted(self.histogram.items())})


def loads(count: float, total: float, low: float, high: float, histogram: str) -> Aggregate:
    """The aggregate of what was stored."""
    places = {int(place): float(found) for place, found in json.loads(histogram).items()}
    return Aggregate(count, total, low, high, places)


def of_values(values: Iterable[float]) -> Aggregate:
    """Each of them once."""
    found = Aggregate()
    for value in values:
        found.add(value)
    return found


def of_set(count: float, total: float, low: float, high: float) -> Aggregate:
    """A statistic set: without percentiles, unless all its values must be the same."""
    if low == high and math.isclose(total, low * count, rel_tol=1e-9, abs_tol=1e-12):
        found = Aggregate()
        found.add(low, count)
        return found
    return Aggregate(count, total, low, high)


def merged(parts: Iterable[Aggregate]) -> Aggregate:
    """All their values together."""
    found = Aggregate()
    for part in parts:
        found.merge(part)
    return found


def is_statistic(name: str) -> bool:
    """Whether it can be computed here: the five plain ones, and percentiles `p0` to `p100`."""
    return name in STATISTICS or is_percentile(name)


def is_percentile(name: str) -> bool:
    return _PERCENTILE.fullmatch(name) is not None


def is_known_elsewhere(name: str) -> bool:
    """Whether CloudWatch has a statistic of this form that is not computed here."""
    return _OTHERS.fullmatch(name) is not None


def _class(value: float) -> int:
    return _ZERO if value == 0 else math.ceil(math.log(value) / _STEP)


def _middle(place: int) -> float:
    """The value whose distance from both ends of the class is the same share of them."""
    return 0.0 if place == _ZERO else 2 * math.exp(place * _STEP) / (1 + _GROWTH)


def _short(count: float) -> float | int:
    return int(count) if count.is_integer() else count
