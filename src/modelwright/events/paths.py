"""The part of JSONPath that EventBridge has: `$.detail.items[0].name`, `$.resources[*]`. Pure.

Source: "Amazon EventBridge input transformation": dot notation, letters, digits, dashes, underscores, slashes, array
indices and wildcards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Step = str | int | None
"""A key, an index, or None: all of them."""

_STEP = re.compile(r"\.(?P<key>[A-Za-z0-9_\-/:]+|\*)|\[(?P<index>\d+|\*)\]")

MISSING = object()
"""What a path finds where there is nothing."""


@dataclass(frozen=True)
class JsonPath:
    """A parsed path."""

    steps: tuple[Step, ...]

    def find(self, document: Any) -> Any:
        """The value there, a list of all values when the path has a wildcard, MISSING when there is none."""
        found = list(_follow(document, self.steps))
        if None in self.steps:
            return found
        return found[0] if found else MISSING


def parse_path(text: str) -> JsonPath:
    """Raises ValueError, whose text names the path."""
    if not text.startswith("$"):
        raise ValueError(f"'{text}' is no JSON path: it must begin with '$'")
    steps, place = list[Step](), 1
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None:
            raise ValueError(f"'{text}' is no JSON path that EventBridge knows: '{text[place:]}' (write $.detail.name)")
        key, index = match["key"], match["index"]
        steps.append(None if "*" in (key, index) else key if key is not None else int(index))
        place = match.end()
    return JsonPath(tuple(steps))


def _follow(value: Any, steps: tuple[Step, ...]) -> Iterator[Any]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if step is None:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for each in inside:
            yield from _follow(each, rest)
    elif isinstance(step, int):
        if isinstance(value, list) and step < len(value):
            yield from _follow(value[step], rest)
    elif isinstance(value, dict) and step in value:
        yield from _follow(value[step], rest)
