"""What differs between two pipeline definitions: first in words (steps, parameters), then as lines of JSON. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_BRANCHES = ("IfSteps", "ElseSteps")
_CONTEXT = 2
MOST_LINES = 4000
"""A part that is longer on both sides is shown whole, removed and added: finding the smallest difference takes long."""


@dataclass(frozen=True)
class Detail:
    """One value that is another one now. None: there was, or is, none."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Change:
    """What happened to a step, a parameter or another part of the definition."""

    kind: str
    """`added`, `removed` or `changed`."""
    part: str
    """`step`, `parameter` or `setting`."""
    name: str
    details: tuple[Detail, ...]
    lines: tuple[tuple[str, str], ...]
    """(`+`, `-`, space or `@`, text)."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """In the order of the definition: parameters, steps (those of branches too), all else."""
    found = []
    for part, read in (("parameter", _parameters), ("step", _steps), ("setting", _settings)):
        old, new = read(before), read(after)
        for name in [*old, *(name for name in new if name not in old)]:
            if name not in new:
                found.append(Change("removed", part, name, (), tuple(_lines(old[name], None))))
            elif name not in old:
                found.append(Change("added", part, name, (), tuple(_lines(None, new[name]))))
            elif old[name] != new[name]:
                details = tuple(_details(old[name], new[name], ""))
                found.append(Change("changed", part, name, details, tuple(_lines(old[name], new[name]))))
    return found


def _parameters(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each for each in definition.get("Parameters", [])}


def _settings(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in definition.items() if name not in ("Parameters", "Steps") and value != {}}


def _steps(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Every step by its name; a condition names the steps of its branches, which stand beside it."""
    found: dict[str, Any] = {}

    def add(steps: list[Mapping[str, Any]]) -> None:
        for step in steps:
            arguments = step.get("Arguments", {})
            if any(branch in arguments for branch in _BRANCHES):
                names = {branch: [each["Name"] for each in arguments.get(branch, [])] for branch in _BRANCHES}
                found[step["Name"]] = {**step, "Arguments": {**arguments, **names}}
                for branch in _BRANCHES:
                    add(arguments.get(branch, []))
            else:
                found[step["Name"]] = step

    add(definition.get("Steps", []))
    return found


def _details(before: Any, after: Any, path: str) -> Iterator[Detail]:
    """The innermost values that differ. Lists of named things are compared by name, others by position."""
    if before == after:
        return
    old, new = _members(before), _members(after)
    if old is None or new is None or isinstance(before, dict) != isinstance(after, dict):
        yield Detail(path, _short(before), _short(after))
        return
    for key in [*old, *(key for key in new if key not in old)]:
        further = f"{path}.{key}" if path else key
        if key not in new:
            yield Detail(further, _short(old[key]), None)
        elif key not in old:
            yield Detail(further, None, _short(new[key]))
        else:
            yield from _details(old[key], new[key], further)


def _members(value: Any) -> dict[str, Any] | None:
    """The parts of what has parts; an expression (`{"Get": ...}`) is one value."""
    if isinstance(value, dict):
        return None if len(value) == 1 and next(iter(value)) in ("Get", "Std:Join", "Std:JsonGet") else value
    if isinstance(value, list):
        for key in ("Name", "ChannelName", "InputName", "OutputName", "StepName"):
            names = [item.get(key) for item in value if isinstance(item, dict)]
            if value and len(names) == len(value) and all(names) and len(set(names)) == len(names):
                return dict(zip(map(str, names), value, strict=True))
        return {str(position): item for position, item in enumerate(value)}
    return None


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(before: Any, after: Any) -> Iterator[tuple[str, str]]:
    old, new = _text(before), _text(after)
    if not old or not new or (len(old) > MOST_LINES and len(new) > MOST_LINES):
        yield from (("-", line) for line in old)
        yield from (("+", line) for line in new)
        return
    for line in list(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT))[2:]:
        yield ("@", "") if line.startswith("@@") else (line[0], line[1:])


def _text(value: Any) -> list[str]:
    return [] if value is None else json.dumps(value, indent=2, ensure_ascii=False).splitlines()
