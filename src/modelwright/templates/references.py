"""Which functions a value has in it, what they refer to, and the order that follows from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelwright.templates.problems import TemplateError, template_error

PSEUDO_PARAMETERS = frozenset(
    f"AWS::{name}"
    for name in ("AccountId", "NoValue", "NotificationARNs", "Partition", "Region", "StackId", "StackName", "URLSuffix")
)
_IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")


def function_of(value: Any) -> str | None:
    """The function that an object stands for: `{"Fn::Join": ...}`, `{"Ref": ...}`, `{"Condition": "Name"}`."""
    if isinstance(value, Mapping) and len(value) == 1:
        (name,) = value
        if name == "Ref" or (isinstance(name, str) and name.startswith("Fn::")):
            return str(name)
    return None


def walk(value: Any, *, conditions: bool = False) -> Iterator[tuple[str, Any]]:
    """(function, argument) of every function in a value, outermost first; `conditions`: those by name too."""
    function = function_of(value)
    if function is None and conditions and isinstance(value, Mapping) and set(value) == {"Condition"}:
        yield "Condition", value["Condition"]
        return
    if function is not None:
        yield function, value[function]
        yield from walk(value[function], conditions=conditions or function == "Fn::If")
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from walk(item, conditions=conditions)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item, conditions=conditions)


def attribute(argument: Any) -> tuple[str, str]:
    """(logical id, attribute) of Fn::GetAtt, whose attribute may have dots."""
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    if isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) and part for part in parts):
        return parts[0], parts[1]
    raise template_error(
        "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute"
    )


def sub_parts(argument: Any) -> tuple[str, Mapping[str, Any]]:
    """(text, variables) of Fn::Sub."""
    if isinstance(argument, str):
        return argument, {}
    if isinstance(argument, list) and len(argument) == 2:
        text, variables = argument
        if isinstance(text, str) and isinstance(variables, Mapping) and function_of(variables) is None:
            return text, variables
    raise template_error(
        "One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first "
        "argument, and an optional second argument to specify a mapping of values to replace in the string"
    )


def in_sub(argument: Any) -> list[str]:
    """The names between `${` and `}` that are not variables of the Fn::Sub itself."""
    text, variables = sub_parts(argument)
    return [name for name in (found.strip() for found in _IN_SUB.findall(text)) if name not in variables]


def split_sub(text: str) -> list[tuple[bool, str]]:
    """(is a name, text) of each piece. `${!Literal}` is the text `${Literal}`."""
    pieces: list[tuple[bool, str]] = []
    end = 0
    for found in _IN_SUB.finditer(text):
        pieces.append((False, text[end : found.start()].replace("${!", "${")))
        pieces.append((True, found[1].strip()))
        end = found.end()
    pieces.append((False, text[end:].replace("${!", "${")))
    return [piece for piece in pieces if piece[0] or piece[1]]


def resources_of(value: Any) -> set[str]:
    """The names that a value refers to (resources, and parameters where they are not filled in yet)."""
    names = set()
    for function, argument in walk(value):
        if function == "Ref":
            names.add(argument)
        elif function == "Fn::GetAtt":
            names.add(attribute(argument)[0])
        elif function == "Fn::Sub":
            names |= {name.partition(".")[0] for name in in_sub(argument)}
    return names


def check_acyclic(after: Mapping[str, set[str]]) -> None:
    """Raises TemplateError naming the resources that wait for each other."""
    waiting = {name: set(needs) for name, needs in after.items()}
    while True:
        ready = {name for name, needs in waiting.items() if not needs & set(waiting)}
        if not ready:
            break
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}
    # What only waits for a cycle is none of it.
    while True:
        needed = {name for needs in waiting.values() for name in needs}
        rest = {name: needs for name, needs in waiting.items() if name in needed}
        if len(rest) == len(waiting):
            break
        waiting = rest
    if waiting:
        raise TemplateError(f"Circular dependency between resources: [{', '.join(sorted(waiting))}]")
