"""Parameters of a pipeline: their definition, and the values that an execution is started with.

Values arrive as text (`StartPipelineExecution`'s `Value`) and are converted by the parameter's type; the execution
holds them typed. All that is wrong is told at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.errors import ValidationException
from modelwright.pipelines.expressions import Json, Scalar
from modelwright.pipelines.problems import Problems, shown

MAX_PARAMETERS = 200
_NAME = re.compile(r"[A-Za-z0-9_\-]{1,256}")
_PYTHON: dict[str, tuple[type, ...]] = {"String": (str,), "Integer": (int,), "Float": (float, int), "Boolean": (bool,)}
_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MEMBERS = {"Name", "Type", "DefaultValue", "EnumValues"}


@dataclass(frozen=True)
class Parameter:
    """`default` None: a value must be given. `enum` empty: any value will do."""

    name: str
    type: str
    default: Scalar | None = None
    enum: tuple[Scalar, ...] = ()

    def convert(self, text: str) -> Scalar:
        """The typed value of a text. Raises ValueError with the reason."""
        value = _convert(self.type, text)
        if self.enum and value not in self.enum:
            raise ValueError(f"'{text}' is not one of {', '.join(map(str, self.enum))}")
        return value


def _convert(kind: str, text: str) -> Scalar:
    if kind == "String":
        return text
    if kind == "Integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "Float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if kind == "Boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise ValueError(f"'{text}' is not {_article(kind)}")


def _article(kind: str) -> str:
    return {"Integer": "an Integer", "Float": "a Float", "Boolean": "a Boolean (true or false)"}.get(kind, f"a {kind}")


def parse_parameters(value: Json, path: str, problems: Problems) -> dict[str, Parameter]:
    """The definition's `Parameters`, by name, in order."""
    if not isinstance(value, list):
        problems.add(path, "Expecting start of Json Array.")
        return {}
    if len(value) > MAX_PARAMETERS:
        problems.add(path, f"{len(value)} parameters; a pipeline can have {MAX_PARAMETERS}.")
    found: dict[str, Parameter] = {}
    for index, element in enumerate(value):
        parameter = _parse_parameter(element, f"{path}[{index}]", problems)
        if parameter is not None and parameter.name in found:
            problems.add(f"{path}[{index}].Name", f"there is a parameter '{parameter.name}' before it.")
        elif parameter is not None:
            found[parameter.name] = parameter
    return found


def _parse_parameter(value: Json, path: str, problems: Problems) -> Parameter | None:
    if not isinstance(value, dict):
        problems.add(path, "Expecting start of Json Object.")
        return None
    for member in set(value) - _MEMBERS:
        problems.add(f"{path}.{member}", "unknown member of a parameter.")
    name, kind = value.get("Name"), value.get("Type")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.add(f"{path}.Name", f"{shown(name)} must be 1 to 256 letters, digits, '-' or '_'.")
        return None
    if not isinstance(kind, str) or kind not in _PYTHON:
        problems.add(f"{path}.Type", f"{shown(kind)} is no type; known: {', '.join(_PYTHON)}.")
        return Parameter(name, "String")
    default = value.get("DefaultValue")
    if default is not None and not _has_type(default, kind):
        problems.add(f"{path}.DefaultValue", f"{shown(default)} is not {_article(kind)}.")
        default = None
    enum = value.get("EnumValues") or []
    if not isinstance(enum, list) or not all(_has_type(element, kind) for element in enum):
        problems.add(f"{path}.EnumValues", f"must be a list of values of type {kind}.")
        enum = []
    if enum and default is not None and default not in enum:
        problems.add(f"{path}.DefaultValue", f"{shown(default)} is not one of EnumValues {shown(enum)}.")
    return Parameter(name, kind, default, tuple(enum))


def _has_type(value: Json, kind: str) -> bool:
    return isinstance(value, _PYTHON[kind]) and (kind == "Boolean" or not isinstance(value, bool))


def bind(parameters: Mapping[str, Parameter], given: Sequence[Mapping[str, Any]]) -> dict[str, Scalar]:
    """The values of an execution: `given` is `[{"Name": ..., "Value": text}]`, the rest are defaults.

    Raises ValidationException with everything that is wrong: unknown, repeated or missing parameters, bad values.
    """
    wrong: list[str] = []
    values: dict[str, Scalar] = {}
    for pair in given:
        name, text = pair["Name"], pair["Value"]
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            wrong.append(f"unknown parameter '{name}' (the pipeline's parameters: {known})")
        elif name in values:
            wrong.append(f"parameter '{name}' comes more than once")
        else:
            try:
                values[name] = parameters[name].convert(text)
            except ValueError as error:
                values[name] = text
                wrong.append(f"parameter '{name}': {error}")
    for name, parameter in parameters.items():
        if name not in values and parameter.default is None:
            wrong.append(f"parameter '{name}' has no default and needs a value")
    if wrong:
        raise ValidationException(f"Invalid pipeline parameters: {'; '.join(wrong)}.")
    defaults = {name: p.default for name, p in parameters.items() if p.default is not None}
    return {name: values.get(name, defaults.get(name, "")) for name in parameters}
