"""A pipeline's step against the operations that it stands for, before anything runs: arguments and properties.

Arguments are the body of a Create operation with expressions anywhere in it, whose values nobody knows yet: an
expression passes, and what is literal must have the kind that the model wants, only members that the model has, all
that it requires, and values of its enums. Lengths, ranges and patterns are left to the call itself, which knows every
value. AWS checks CreatePipeline so ("Unknown Argument member 'ModelPackageName'"). A property, `Steps.X.A.B`, is a path
into the answer of the Describe operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from modelwright.pipelines.expressions import form
from modelwright.pipelines.problems import shown
from modelwright.protocol import spec

Finding = tuple[str, str]
"""(path below the arguments, reason): `(".ResourceConfig.InstanceCount", "'two' is not an Integer.")`."""

_SCALARS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "string": ("a String", (str, int, float)),  # numbers and booleans become text
    "integer": ("an Integer", (int,)),
    "long": ("an Integer", (int,)),
    "float": ("a Float", (int, float)),
    "double": ("a Float", (int, float)),
    "boolean": ("a Boolean", (bool,)),
}


def check(service: str, operation: str, arguments: Mapping[str, Any], *, given: str | None = None) -> Iterator[Finding]:
    """What is wrong with the arguments of a step; `given` is the member that the engine fills in."""
    shape = spec.operation(service, operation).input_shape
    if isinstance(shape, StructureShape):
        filled = {given} | {name for name, member in shape.members.items() if member.metadata.get("idempotencyToken")}
        yield from _structure(shape, arguments, "", filled)


def _value(shape: Shape, value: Any, path: str) -> Iterator[Finding]:
    if value is None or form(value) is not None:
        return
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, path, set())
    elif isinstance(shape, MapShape):
        yield from _map(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _list(shape, value, path)
    else:
        yield from _scalar(shape, value, path)


def _structure(shape: StructureShape, value: Any, path: str, filled: set[str | None]) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield path, f"Expecting start of Json Object, not {shown(value)}."
        return
    for name, member in value.items():
        if name not in shape.members:
            yield f"{path}.{name}", f"Unknown Argument member '{name}'; known: {', '.join(shape.members)}."
        else:
            yield from _value(shape.members[name], member, f"{path}.{name}")
    for name in shape.required_members:
        if value.get(name) is None and name not in filled:
            yield f"{path}.{name}", "is missing."


def _map(shape: MapShape, value: Any, path: str) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield path, f"Expecting start of Json Object, not {shown(value)}."
        return
    for key, member in value.items():
        yield from _value(shape.value, member, f"{path}.{key}")


def _list(shape: ListShape, value: Any, path: str) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield path, f"Expecting start of Json Array, not {shown(value)}."
        return
    for index, element in enumerate(value):
        yield from _value(shape.member, element, f"{path}[{index}]")


def _scalar(shape: Shape, value: Any, path: str) -> Iterator[Finding]:
    what, kinds = _SCALARS.get(shape.type_name, ("", ()))
    if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and what not in ("a Boolean", "a String"))):
        yield path, f"{shown(value)} is not {what}."
        return
    allowed = shape.metadata.get("enum", [])
    if allowed and value not in allowed:
        yield path, f"{shown(value)} is not one of {', '.join(allowed[:30])}{', ...' if len(allowed) > 30 else ''}."


def check_path(service: str, operation: str, path: Sequence[str | int]) -> str | None:
    """Why the operation's answer can't have anything at this path; None when it can."""
    shape: Shape | None = spec.operation(service, operation).output_shape
    for segment in path:
        if isinstance(shape, StructureShape):
            if segment not in shape.members:
                return f"{operation} answers no {shown(segment)} there, but: {', '.join(shape.members)}."
            shape = shape.members[segment]
        elif isinstance(shape, ListShape):
            shape = shape.member
        elif isinstance(shape, MapShape):
            shape = shape.value
        else:
            return f"{shown(segment)} is looked for in a plain value of {operation}'s answer."
    return None
