"""Conditions of a Condition step: whether they are well formed, and whether they hold.

Numbers compare as numbers whatever their type, texts as texts. A text beside a number is read as a number where it is
one (a joined parameter beside a metric), a text beside a boolean as `true` or `false`. Equality of values that have
nothing to do with each other is false; their order is an error that fails the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelwright.errors import ValidationException
from modelwright.pipelines.expressions import Environment, Json, check, form, resolve
from modelwright.pipelines.problems import Problems, shown

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": lambda left, right: left > right,
    "GreaterThanOrEqualTo": lambda left, right: left >= right,
    "LessThan": lambda left, right: left < right,
    "LessThanOrEqualTo": lambda left, right: left <= right,
}
_MEMBERS = {
    **dict.fromkeys(("Equals", *_ORDERS), ("LeftValue", "RightValue")),
    "In": ("QueryValue", "Values"),
    "Not": ("Condition",),
    "Or": ("Conditions",),
    "And": ("Conditions",),
}


def check_condition(condition: Json, path: str, problems: Problems) -> None:
    """Whether a condition, and every one inside it, is well formed."""
    if not isinstance(condition, Mapping):
        problems.add(path, "Expecting start of Json Object.")
        return
    kind = condition.get("Type")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        problems.add(f"{path}.Type", f"{shown(kind)} is no condition; known: {', '.join(_MEMBERS)}.")
        return
    for member in condition:
        if member not in ("Type", *_MEMBERS[kind]):
            problems.add(f"{path}.{member}", f"unknown member of a condition of type {kind}.")
    for member in _MEMBERS[kind]:
        if member not in condition:
            problems.add(path, f"a condition of type {kind} needs {member}.")
        else:
            _check_member(condition[member], member, f"{path}.{member}", problems)


def _check_member(value: Json, member: str, path: str, problems: Problems) -> None:
    if member == "Condition":
        check_condition(value, path, problems)
    elif member in ("Conditions", "Values") and not (isinstance(value, list) and value):
        problems.add(path, "must be a list with at least one element.")
    elif member == "Conditions":
        for index, inner in enumerate(value):
            check_condition(inner, f"{path}[{index}]", problems)
    elif member == "Values":
        for index, element in enumerate(value):
            _check_operand(element, f"{path}[{index}]", problems)
    else:
        _check_operand(value, path, problems)


def _check_operand(value: Json, path: str, problems: Problems) -> None:
    if form(value) is None and not isinstance(value, str | int | float):
        problems.add(path, f"can't compare {shown(value)}: neither a plain value nor an expression.")
    else:
        check(value, path, problems)


def holds(conditions: Sequence[Mapping[str, Any]], environment: Environment) -> bool:
    """Whether all of a Condition step's conditions hold. Raises ValidationException and what the environment raises."""
    return all(evaluate(condition, environment) for condition in conditions)


def evaluate(condition: Mapping[str, Any], environment: Environment) -> bool:
    """Whether one condition holds."""
    kind = condition["Type"]
    if kind == "Not":
        return not evaluate(condition["Condition"], environment)
    if kind == "Or":
        return any(evaluate(inner, environment) for inner in condition["Conditions"])
    if kind == "And":
        return holds(condition["Conditions"], environment)
    if kind == "In":
        query = resolve(condition["QueryValue"], environment)
        return any(_equal(query, resolve(value, environment)) for value in condition["Values"])
    left, right = resolve(condition["LeftValue"], environment), resolve(condition["RightValue"], environment)
    if kind == "Equals":
        return _equal(left, right)
    return _ORDERS[kind](*_ordered(left, right))


def _equal(left: Json, right: Json) -> bool:
    pair = _comparable(left, right)
    return pair is not None and bool(pair[0] == pair[1])


def _ordered(left: Json, right: Json) -> tuple[Any, Any]:
    pair = _comparable(left, right)
    if pair is None or isinstance(pair[0], bool):
        raise ValidationException(f"The condition can't tell which of {shown(left)} and {shown(right)} is greater.")
    return pair


def _comparable(left: Json, right: Json) -> tuple[Any, Any] | None:
    """Both as values of one kind, or None where there is none."""
    for value in (left, right):
        if not isinstance(value, str | int | float):
            raise ValidationException(f"The condition can't compare {shown(value)}: only text, numbers and booleans.")
    kinds = {_kind(left), _kind(right)}
    if len(kinds) == 1:
        return left, right
    if kinds == {"text", "number"}:
        convert: Callable[[Json], Any] = float
    elif kinds == {"text", "boolean"}:
        convert = _boolean
    else:
        return None
    try:
        return convert(left), convert(right)
    except ValueError:
        return None


def _kind(value: Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False}
    if str(value).lower() not in known:
        raise ValueError(value)
    return known[str(value).lower()]
