"""Metrics as small line charts: coordinates for an SVG that needs no script. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.regexes import BRIEF, InvalidRegex, Regex, SlowRegex

WIDTH, HEIGHT = 320.0, 120.0
_MOST_POINTS = 400


@dataclass(frozen=True)
class Chart:
    """One metric over its log's lines. `line` is a polyline's points; `low` and `high` the values at its edges."""

    name: str
    line: str
    dots: tuple[tuple[float, float], ...]
    low: float
    high: float
    last: float
    count: int


def of_log(definitions: Iterable[Mapping[str, str]], lines: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """A chart of each metric that the lines have a value of."""
    found = []
    for definition in definitions:
        try:
            pattern = Regex(definition["Regex"], each=BRIEF)
            values = [value for line in lines for value in pattern.numbers(line["message"])]
        except (InvalidRegex, SlowRegex):
            continue
        if values:
            found.append(chart(definition["Name"], values))
    return found


def chart(name: str, values: Sequence[float]) -> Chart:
    """`values` in order, at least one."""
    stride = max(1, math.ceil(len(values) / _MOST_POINTS))
    shown = [*values[:-1:stride], values[-1]]
    low, high = min(shown), max(shown)
    span = high - low or 1.0
    middle = high == low
    points = [
        (
            round(WIDTH * i / max(1, len(shown) - 1), 1),
            HEIGHT / 2 if middle else round(HEIGHT * (1 - (value - low) / span), 1),
        )
        for i, value in enumerate(shown)
    ]
    line = " ".join(f"{x},{y}" for x, y in points)
    return Chart(name, line, tuple(points) if len(points) <= 30 else (), low, high, values[-1], len(values))
