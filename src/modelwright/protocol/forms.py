"""The query protocol's form fields -> parameters: `Tags.member.1.Key=a` by the input shape.

A field that the model doesn't have stays in the result under its own name, for `validation` to name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from modelwright.protocol import text

_DEEPEST = 100

Tree = dict[str, Any]
"""A branch by its name; the value of the field that ends here under ''."""


def read(shape: StructureShape, fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters that the fields mean. Raises RecursionError for a name of more than a hundred parts."""
    tree: Tree = {}
    for name, value in fields:
        path = name.split(".")
        if len(path) > _DEEPEST:
            raise RecursionError(name)
        _plant(tree, path, value)
    return _structure(shape, tree)


def _plant(tree: Tree, path: list[str], value: str) -> None:
    """`A.member.1.B=x` -> {"A": {"member": {"1": {"B": {"": "x"}}}}}."""
    for step in path:
        tree = tree.setdefault(step, {})
    tree[""] = value


def _value(shape: Shape, tree: Tree) -> Any:
    match shape:
        case StructureShape():
            return _structure(shape, tree)
        case ListShape():
            return _list(shape, tree)
        case MapShape():
            return _map(shape, tree)
        case _:
            return text.read(shape, tree[""]) if "" in tree else _unknown(tree)


def _structure(shape: StructureShape, tree: Tree) -> dict[str, Any]:
    result = {}
    known = {"": ""}
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        if isinstance(member, ListShape) and member.serialization.get("flattened"):
            key = member.member.serialization.get("name", key)
        known[key] = name
        if key in tree:
            result[name] = _value(member, tree[key])
    for key, branch in tree.items():
        if key not in known:
            result[key] = _unknown(branch)
    return result


def _list(shape: ListShape, tree: Tree) -> Any:
    if shape.serialization.get("flattened"):
        items = tree
    else:
        items = tree.get(shape.member.serialization.get("name", "member"), {})
        if not items:
            items = tree.get("member", {})
    numbered = {int(key): branch for key, branch in items.items() if key.isdecimal()}
    if not numbered and tree.keys() - {""}:
        return _unknown(tree)
    return [_value(shape.member, numbered[index]) for index in sorted(numbered)]


def _map(shape: MapShape, tree: Tree) -> Any:
    entries = tree if shape.serialization.get("flattened") else tree.get("entry", {})
    key_name, value_name = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    numbered = {int(index): entry for index, entry in entries.items() if index.isdecimal()}
    return {
        entry.get(key_name, {}).get("", ""): _value(shape.value, entry.get(value_name, {"": ""}))
        for _, entry in sorted(numbered.items())
    }


def _unknown(tree: Tree) -> Any:
    """What the model doesn't know, kept in some form so that validation can name it."""
    return tree[""] if tree.keys() == {""} else {key: _unknown(branch) for key, branch in tree.items() if key}
