"""The intrinsic functions, evaluated as far as what they need is known.

`reduce` gives a value without functions where everything is known, else one in which those remain whose arguments
aren't: the same function is used for the plan (resources don't exist yet) and before a resource is made (they do).
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelwright.templates.parameters import as_text
from modelwright.templates.problems import TemplateError, template_error
from modelwright.templates.references import attribute, function_of, split_sub, sub_parts, walk

CONDITION_FUNCTIONS = ("Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or")
NO_VALUE = object()
"""What `!Ref AWS::NoValue` gives: the member goes."""


@dataclass(frozen=True)
class Scope:
    """What is known: `names` by Ref, `attributes` by (resource, attribute)."""

    names: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    imports: Callable[[str], str] | None = None


def reduce(value: Any, scope: Scope) -> Any:
    """The value with all that is known filled in. Raises TemplateError for a function that can't be."""
    function = function_of(value)
    if function is not None:
        argument = value[function]
        if function == "Fn::If":
            return reduce(argument[1] if scope.conditions[argument[0]] else argument[2], scope)
        if function == "Ref":
            return scope.names.get(argument, value)
        if function == "Fn::GetAtt":
            return scope.attributes.get(attribute(argument), value)
        if function == "Fn::Sub":
            return _sub(argument, scope)
        if function not in FUNCTIONS:
            raise template_error(f"{function} can't be used here.")
        argument = reduce(argument, scope)
        return {function: argument} if is_open(argument) else FUNCTIONS[function](argument, scope)
    if isinstance(value, Mapping):
        members = {key: reduce(item, scope) for key, item in value.items()}
        return {key: item for key, item in members.items() if item is not NO_VALUE}
    if isinstance(value, list):
        return [item for item in (reduce(each, scope) for each in value) if item is not NO_VALUE]
    return value


def is_open(value: Any) -> bool:
    """Whether there are functions left in it."""
    return any(True for _ in walk(value))


def holds(name: str, conditions: Mapping[str, Any], scope: Scope, *, within: tuple[str, ...] = ()) -> bool:
    """Whether a condition of the template holds."""
    if name in within:
        raise template_error(f"Circular dependency between conditions: [{', '.join(sorted(within))}]")

    def value_of(value: Any) -> bool:
        if isinstance(value, Mapping) and len(value) == 1:
            ((function, argument),) = value.items()
            many = argument if isinstance(argument, list) else [argument]
            if function == "Condition":
                return holds(argument, conditions, scope, within=(*within, name))
            if function == "Fn::Not" and len(many) == 1:
                return not value_of(many[0])
            if function in ("Fn::And", "Fn::Or") and 2 <= len(many) <= 10:
                return (all if function == "Fn::And" else any)([value_of(each) for each in many])
            if function == "Fn::Equals" and len(many) == 2:
                left, right = (reduce(each, scope) for each in many)
                return bool(_comparable(left) == _comparable(right))
            raise template_error(f"{function} has not the arguments that it must have, in condition {name}.")
        raise template_error(f"condition {name} must be made of Fn::And, Fn::Or, Fn::Not, Fn::Equals and Condition.")

    return value_of(conditions[name])


def _comparable(value: Any) -> Any:
    return value if isinstance(value, list | dict) else as_text(value)


def _sub(argument: Any, scope: Scope) -> Any:
    text, variables = sub_parts(argument)
    pieces: list[Any] = []
    for is_name, piece in split_sub(text):
        if not is_name:
            pieces.append(piece)
        elif piece in variables:
            pieces.append(reduce(variables[piece], scope))
        elif "." in piece:
            pieces.append(reduce({"Fn::GetAtt": piece.split(".", 1)}, scope))
        else:
            pieces.append(reduce({"Ref": piece}, scope))
    return reduce({"Fn::Join": ["", pieces]}, scope)


def _text(value: Any, function: str) -> str:
    if isinstance(value, str | int | float | bool):
        return as_text(value)
    raise template_error(f"{function}: a string is needed where there is {value!r}.")


def _join(argument: Any, _: Scope) -> str:
    if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[1], list):
        raise template_error(
            "every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be "
            "joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
        )
    return _text(argument[0], "Fn::Join").join(_text(item, "Fn::Join") for item in argument[1])


def _split(argument: Any, _: Scope) -> list[str]:
    if not isinstance(argument, list) or len(argument) != 2 or not argument[0]:
        raise template_error("every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string.")
    return _text(argument[1], "Fn::Split").split(_text(argument[0], "Fn::Split"))


def _select(argument: Any, _: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[1], list):
        raise template_error("Fn::Select requires a list argument with two elements: an integer index and a list")
    index = as_text(argument[0])
    if not index.isdigit() or int(index) >= len(argument[1]):
        raise template_error(f"Fn::Select cannot select nonexistent value at index {index}")
    return argument[1][int(index)]


def _find_in_map(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) != 3:
        raise template_error("Fn::FindInMap requires three parameters, the map name, map key and the attribute.")
    name, first, second = (_text(each, "Fn::FindInMap") for each in argument)
    try:
        return scope.mappings[name][first][second]
    except KeyError:
        raise template_error(f"Unable to get mapping for {name}::{first}::{second}") from None


def _base64(argument: Any, _: Scope) -> str:
    return base64.b64encode(_text(argument, "Fn::Base64").encode()).decode()


def _zones(argument: Any, scope: Scope) -> list[str]:
    region = _text(argument, "Fn::GetAZs") or scope.names["AWS::Region"]
    return [f"{region}{letter}" for letter in "abc"]


def _cidr(argument: Any, _: Scope) -> list[str]:
    if not isinstance(argument, list) or not argument or not isinstance(argument[0], str):
        raise template_error("Fn::Cidr takes a list: an address block, a number of blocks, and their bits.")
    try:
        block, count = ipaddress.ip_network(argument[0]), int(argument[1])
        bits = int(argument[2]) if len(argument) > 2 else 8
        if not 1 <= count <= 256:
            raise ValueError(f"{count} blocks")
        subnets = block.subnets(new_prefix=block.max_prefixlen - bits)
        return [str(next(subnets)) for _ in range(count)]
    except (ValueError, IndexError, TypeError, StopIteration) as error:
        raise template_error(f"Fn::Cidr can't be evaluated: {error or 'the block is too small'}.") from None


def _length(argument: Any, _: Scope) -> int:
    if not isinstance(argument, list):
        raise template_error("Fn::Length takes a list.")
    return len(argument)


def _json_text(argument: Any, _: Scope) -> str:
    if not isinstance(argument, list | dict):
        raise template_error("Fn::ToJsonString takes an object or a list.")
    return json.dumps(argument, separators=(",", ":"))


def _import(argument: Any, scope: Scope) -> str:
    name = _text(argument, "Fn::ImportValue")
    if scope.imports is None:
        raise TemplateError("Fn::ImportValue can't depend on a resource of the stack.")
    return scope.imports(name)


FUNCTIONS: Mapping[str, Callable[[Any, Scope], Any]] = {
    "Ref": lambda argument, _: argument,
    "Fn::GetAtt": lambda argument, _: argument,
    "Fn::If": lambda argument, _: argument,
    "Fn::Sub": lambda argument, _: argument,
    "Fn::Base64": _base64,
    "Fn::Cidr": _cidr,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAZs": _zones,
    "Fn::ImportValue": _import,
    "Fn::Join": _join,
    "Fn::Length": _length,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::ToJsonString": _json_text,
}
"""Ref, GetAtt, If and Sub are evaluated by `reduce` itself."""
