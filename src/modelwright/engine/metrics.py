"""MetricDefinitions over the lines of a job's log -> FinalMetricDataList.

AWS searches every line with each regular expression; what its first group finds is the value, the last one counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any


class Metrics:
    """The latest value of each metric. `values` is plain JSON: name -> [value, milliseconds]."""

    def __init__(self, definitions: Iterable[Mapping[str, str]], values: Mapping[str, Any] | None = None) -> None:
        self._patterns = [(each["Name"], re.compile(each["Regex"])) for each in definitions]
        self.values: dict[str, list[float]] = {name: list(value) for name, value in (values or {}).items()}

    def read(self, line: str, time: int) -> list[tuple[str, float]]:
        """One more line; `time` in milliseconds. The values that stand in it."""
        found = []
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                value = _number(match)
                if value is not None:
                    self.values[name] = [value, time]
                    found.append((name, value))
        return found

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList, in the order of the definitions."""
        names = dict.fromkeys(name for name, _ in self._patterns)
        return [
            {"MetricName": name, "Value": self.values[name][0], "Timestamp": self.values[name][1] / 1000}
            for name in names
            if name in self.values
        ]


def _number(match: re.Match[str]) -> float | None:
    try:
        value = float(match[1] if match.re.groups else match[0])
    except (ValueError, TypeError):
        return None
    return value if math.isfinite(value) else None
