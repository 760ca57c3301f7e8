"""Parameters of a template: their types and constraints, and what values they get."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelwright.regexes import InvalidRegex, Regex, SlowRegex
from modelwright.templates.problems import TemplateError, template_format

_TYPES = ("String", "Number", "List<Number>", "CommaDelimitedList")
_MEMBERS = {
    *("Type", "Default", "AllowedValues", "AllowedPattern", "MinLength", "MaxLength", "MinValue", "MaxValue"),
    *("NoEcho", "Description", "ConstraintDescription"),
}


@dataclass(frozen=True)
class Declaration:
    """A parameter as the template declares it; `default` None where it must be given."""

    name: str
    type: str
    default: str | None = None
    no_echo: bool = False
    description: str = ""
    constraints: Mapping[str, Any] = field(default_factory=dict)


def declaration(name: str, value: Any) -> Declaration:
    """Raises TemplateError for what a parameter can't be."""
    if not isinstance(value, dict):
        raise template_format(f"[/Parameters/{name}] Every Parameters member must be an object.")
    for member in value:
        if member not in _MEMBERS:
            raise TemplateError(f"Invalid template parameter property '{member}'")
    kind = value.get("Type")
    if not isinstance(kind, str):
        raise template_format(f"[/Parameters/{name}] Every Parameters object must contain a Type member.")
    if kind not in _TYPES:
        if kind.startswith(("AWS::", "List<AWS::")):
            raise template_format(
                f"Modelwright does not support the parameter type {kind} of {name}: use {', '.join(_TYPES)}."
            )
        raise template_format(f"Unrecognized parameter type: {kind}")
    default = value.get("Default")
    if isinstance(default, list | dict):
        raise template_format(f"[/Parameters/{name}] Every Default member must be a string.")
    _check_constraints(name, value)
    declared = Declaration(
        name=name,
        type=kind,
        default=None if default is None else as_text(default),
        no_echo=str(value.get("NoEcho", False)).lower() == "true",
        description=str(value.get("Description", "")),
        constraints={key: value[key] for key in value if key not in ("Type", "Default", "NoEcho", "Description")},
    )
    if declared.default is not None:
        check(declared, declared.default)
    return declared


def _check_constraints(name: str, value: Mapping[str, Any]) -> None:
    """Raises TemplateError for a constraint that could never be asked."""
    place = f"[/Parameters/{name}]"
    allowed = value.get("AllowedValues", [])
    if not isinstance(allowed, list) or any(isinstance(each, list | dict) or each is None for each in allowed):
        raise template_format(f"{place} Every AllowedValues member must be a list of values.")
    for member in ("MinLength", "MaxLength", "MinValue", "MaxValue"):
        given = value.get(member, 0)
        whole = member.endswith("Length")
        if isinstance(given, list | dict | bool) or not (
            as_text(given).isdigit() if whole else _is_number(as_text(given))
        ):
            raise template_format(f"{place} {member} must be a {'whole ' if whole else ''}number.")
    pattern = value.get("AllowedPattern", "")
    try:
        Regex(pattern if isinstance(pattern, str) else "(")
    except InvalidRegex as error:
        raise template_format(f"{place} AllowedPattern is not a regular expression: {error}.") from None


def values_of(declared: Mapping[str, Declaration], given: Mapping[str, str]) -> dict[str, str]:
    """The value of each parameter. Raises TemplateError for one that is unknown, missing or not allowed."""
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {name: given.get(name, one.default) for name, one in declared.items()}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    found = {name: value for name, value in values.items() if value is not None}
    for name, value in found.items():
        check(declared[name], value)
    return found


def check(declared: Declaration, value: str) -> None:
    """Raises TemplateError when a constraint does not hold."""
    problem = _problem(declared, value)
    if problem:
        described = declared.constraints.get("ConstraintDescription")
        if described:
            raise TemplateError(f"Parameter {declared.name} failed to satisfy constraint: {described}")
        raise TemplateError(f"Parameter '{declared.name}' {problem}")


def _problem(declared: Declaration, value: str) -> str:
    limits = declared.constraints
    items = [item.strip() for item in value.split(",")] if "List" in declared.type else [value]
    if "Number" in declared.type and not all(_is_number(item) for item in items):
        return "must be a number"
    allowed = [as_text(each) for each in limits.get("AllowedValues", [])]
    if allowed and not all(item in allowed for item in items):
        return f"must be one of AllowedValues [{', '.join(allowed)}]"
    for item in items:
        if "AllowedPattern" in limits:
            try:
                if not Regex(limits["AllowedPattern"]).fullmatch(item):
                    return f"must match pattern {limits['AllowedPattern']}"
            except SlowRegex as error:
                return f"can't be checked: {error}"
        if "MinLength" in limits and len(item) < int(limits["MinLength"]):
            return f"must contain at least {limits['MinLength']} characters"
        if "MaxLength" in limits and len(item) > int(limits["MaxLength"]):
            return f"must contain at most {limits['MaxLength']} characters"
        if "Number" not in declared.type:
            continue
        if "MinValue" in limits and float(item) < float(limits["MinValue"]):
            return f"must be a number not less than {limits['MinValue']}"
        if "MaxValue" in limits and float(item) > float(limits["MaxValue"]):
            return f"must be a number not greater than {limits['MaxValue']}"
    return ""


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None


def as_text(value: Any) -> str:
    """A scalar as CloudFormation writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def typed(declared: Declaration, value: str) -> Any:
    """What a Ref to it gives: a list for the list types."""
    return [item.strip() for item in value.split(",")] if "List" in declared.type else value
