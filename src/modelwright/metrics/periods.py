"""How long points are kept in which resolution, and where the periods of a question begin. Pure; times in seconds.

Every point is counted into a bucket of each width, so nothing has to be rolled up later: what is too old in one width
is deleted there and still stands in the wider ones. Widths and retentions are CloudWatch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

HOUR, DAY = 3600, 86400
RETENTION: Mapping[int, int] = {1: 3 * HOUR, 60: 15 * DAY, 300: 63 * DAY, 3600: 455 * DAY}
"""Width of a bucket -> how long it is kept. Those of one second are made for high-resolution metrics only."""
WIDTHS = (60, 300, 3600)
SHORT = (1, 5, 10, 20, 30)
"""Periods below a minute."""
LISTED = 14 * DAY
"""Metrics that had no point for longer are not listed."""
ACTIVE = 3 * HOUR


def is_period(seconds: int) -> bool:
    return seconds in SHORT or (seconds > 0 and seconds % 60 == 0)


def aligned_start(start: float, period: int, now: float) -> int:
    """The beginning of the first period."""
    if period in SHORT:
        return math.floor(start / period) * period
    age = now - start
    grain = 60 if age < RETENTION[60] else 300 if age < RETENTION[300] else 3600
    return math.floor(start / grain) * grain


def width_for(start: int, period: int, now: float) -> int | None:
    """The widest buckets that add up to these periods and are still there; None where the data is kept in wider ones
    only."""
    oldest = now - start
    fitting = [
        width
        for width, kept in RETENTION.items()
        if period % width == 0 and start % width == 0 and oldest <= kept + width and (width == 1) == (period in SHORT)
    ]
    return max(fitting, default=None)


def grouped(times: Iterable[int], start: int, period: int) -> dict[int, list[int]]:
    """The buckets' times by the beginning of their period."""
    found: dict[int, list[int]] = {}
    for time in times:
        found.setdefault(start + (time - start) // period * period, []).append(time)
    return found
