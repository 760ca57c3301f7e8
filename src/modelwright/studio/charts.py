"""Metrics as small line charts: coordinates for an SVG that needs no script. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
            pattern = re.compile(definition["Regex"])
        except re.error:
            continue
        values = [
            value
            for line in lines
            for match in pattern.finditer(line["message"])
            if (value := _number(match)) is not None
        ]
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


def _number(match: re.Match[str]) -> float | None:
    try:
        value = float(match[1] if match.re.groups else match[0])
    except (ValueError, TypeError):
        return None
    return value if math.isfinite(value) else None
