"""Metrics over time as charts of one or more lines: coordinates for an SVG that needs no script. Pure.

The left edge is the first moment asked for, the right one the last, the lowest value is zero. Where there are no points
there is no line: a gap says that nothing was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480.0, 140.0
_MOST_DOTS = 40


@dataclass(frozen=True)
class Line:
    """One series. `pieces` are polylines' points, `dots` are shown where there are few; `told` is the number that
    stands for all: the sum, or the newest."""

    name: str
    pieces: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    told: float
    count: int


@dataclass(frozen=True)
class TimeChart:
    """`high` is the value at the upper edge; `start` and `end` are the edges' times."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    high: float
    start: float
    end: float

    @property
    def empty(self) -> bool:
        return not any(line.count for line in self.lines)


def time_chart(
    title: str,
    unit: str,
    series: Mapping[str, Mapping[float, float]],
    start: float,
    end: float,
    period: float,
    *,
    total: bool,
) -> TimeChart:
    """`series` has each line's values by time. A line stands for its sum where `total`, else for its newest value."""
    high = max((value for points in series.values() for value in points.values()), default=0.0) or 1.0
    lines = []
    for name, points in series.items():
        ordered = sorted(points.items())
        placed = [
            (
                time,
                round(WIDTH * (time - start) / max(1.0, end - start), 1),
                round(HEIGHT * (1 - max(0.0, value) / high), 1),
            )
            for time, value in ordered
        ]
        told = sum(points.values()) if total else ordered[-1][1] if ordered else 0.0
        dots = tuple((x, y) for _, x, y in placed) if len(placed) <= _MOST_DOTS else ()
        lines.append(Line(name, tuple(_pieces(placed, period)), dots, told, len(points)))
    return TimeChart(title, unit, tuple(lines), high, start, end)


def _pieces(placed: Sequence[tuple[float, float, float]], period: float) -> list[str]:
    pieces: list[list[str]] = []
    last = None
    for time, x, y in placed:
        if last is None or time - last > period * 1.5:
            pieces.append([])
        pieces[-1].append(f"{x},{y}")
        last = time
    return [" ".join(piece) for piece in pieces if len(piece) > 1]
