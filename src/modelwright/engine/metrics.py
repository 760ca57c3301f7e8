"""MetricDefinitions over the lines of a job's log -> FinalMetricDataList.

AWS searches every line with each regular expression; what its first group finds is the value, the last one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelwright.regexes import Regex, SlowRegex


class Metrics:
    """The latest value of each metric. `values` is plain JSON: name -> [value, milliseconds]."""

    def __init__(self, definitions: Iterable[Mapping[str, str]], values: Mapping[str, Any] | None = None) -> None:
        self._names = [each["Name"] for each in definitions]
        self._patterns = [(each["Name"], Regex(each["Regex"])) for each in definitions]
        self._problems: list[str] = []
        self.values: dict[str, list[float]] = {name: list(value) for name, value in (values or {}).items()}

    def read(self, line: str, time: int) -> list[tuple[str, float]]:
        """One more line; `time` in milliseconds. The values that stand in it."""
        found = []
        for name, pattern in tuple(self._patterns):
            try:
                values = pattern.numbers(line)
            except SlowRegex as error:
                self._patterns.remove((name, pattern))
                self._problems.append(f"Modelwright reads the metric {name} no more: {error}.")
                continue
            found += [(name, value) for value in values]
            if values:
                self.values[name] = [values[-1], time]
        return found

    def problems(self) -> list[str]:
        """What has gone wrong since this was last asked."""
        problems, self._problems = self._problems, []
        return problems

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList, in the order of the definitions."""
        names = dict.fromkeys(self._names)
        return [
            {"MetricName": name, "Value": self.values[name][0], "Timestamp": self.values[name][1] / 1000}
            for name in names
            if name in self.values
        ]
