"""The query protocol's form fields -> parameters: `Tags.member.1.Key=a` by the input shape.

A field that the model doesn't have, or that stands where the model has something else, stays in the result under its
own name, for `validation` to name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from modelwright.protocol import text

_DEEPEST = 100


@dataclass
class _Branch:
    """The fields whose names begin alike: `A.member.1.B` is four branches below the root, the last with a value."""

    value: str | None = None
    below: dict[str, _Branch] = field(default_factory=dict)


def read(shape: StructureShape, fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters that the fields mean. Raises RecursionError for a name of more than a hundred parts."""
    root = _Branch()
    for name, value in fields:
        path = name.split(".")
        if len(path) > _DEEPEST:
            raise RecursionError(name)
        branch = root
        for step in path:
            branch = branch.below.setdefault(step, _Branch())
        branch.value = value
    return _structure(shape, root)


def _read(shape: Shape, branch: _Branch) -> Any:
    match shape:
        case StructureShape() | ListShape() | MapShape() if branch.value:
            return _unknown(branch)
        case StructureShape():
            return _structure(shape, branch)
        case ListShape():
            return _list(shape, branch)
        case MapShape():
            return _map(shape, branch)
    if branch.value is None or branch.below:
        return _unknown(branch)
    return text.read(shape, branch.value)


def _structure(shape: StructureShape, branch: _Branch) -> dict[str, Any]:
    result: dict[str, Any] = {}
    known = set()
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        if isinstance(member, ListShape) and member.serialization.get("flattened"):
            key = member.member.serialization.get("name", key)
        known.add(key)
        if key in branch.below:
            result[name] = _read(member, branch.below[key])
    for key, other in branch.below.items():
        if key not in known:
            result[key] = _unknown(other)
    return result


def _list(shape: ListShape, branch: _Branch) -> Any:
    items = branch
    if not shape.serialization.get("flattened"):
        name = shape.member.serialization.get("name", "member")
        items = branch.below.get(name) or branch.below.get("member") or _Branch()
        if len(branch.below) > (1 if items.below else 0):
            return _unknown(branch)
    numbered = _numbered(items)
    if numbered is None:
        return _unknown(branch)
    return [_read(shape.member, item) for item in numbered]


def _map(shape: MapShape, branch: _Branch) -> Any:
    entries = branch if shape.serialization.get("flattened") else branch.below.get("entry", _Branch())
    key_name, value_name = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    numbered = _numbered(entries)
    if numbered is None or any(entry.below.keys() != {key_name, value_name} for entry in numbered):
        return _unknown(branch)
    return {entry.below[key_name].value or "": _read(shape.value, entry.below[value_name]) for entry in numbered}


def _numbered(branch: _Branch) -> list[_Branch] | None:
    """The branches `1`, `2`, ... in order; None when one has another name."""
    if not all(key.isdecimal() and len(key) < 10 for key in branch.below):
        return None
    return [branch.below[key] for key in sorted(branch.below, key=int)]


def _unknown(branch: _Branch) -> Any:
    """What the model doesn't know, kept in some form so that validation can name it."""
    if not branch.below:
        return branch.value or ""
    return {key: _unknown(other) for key, other in branch.below.items()}
