"""What is wrong with the fields of a new project, each told at its field. Pure.

The service checks again; what only it can know (a name that is taken) it tells as `taken`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.regexes import BRIEF, InvalidRegex, Regex, SlowRegex

FIELD = "parameter."
"""Before a parameter's name in the form."""
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}")
GROUP = "ModelPackageGroupName"
"""What the name of a parameter ends with that means a model package group."""


@dataclass(frozen=True)
class Remark:
    """What is to be said about a field: a text of ours, with what fills it in. A warning keeps nobody from going on."""

    text: str
    fill: str = ""
    warning: bool = False


def remarks(
    parameters: Sequence[Mapping[str, Any]], given: Mapping[str, str], *, taken: bool, groups: Mapping[str, bool]
) -> dict[str, Remark]:
    """Field -> what is to be said about it. `groups`: a group's name as it was given -> whether there is one."""
    found = {}
    name = given.get("name", "").strip()
    if not name:
        found["name"] = Remark("A value is needed.")
    elif len(name) > 32:
        found["name"] = Remark("A name has at most {what} characters.", "32")
    elif NAME.fullmatch(name) is None:
        found["name"] = Remark("Letters, digits and hyphens; a letter or digit at both ends.")
    elif taken:
        found["name"] = Remark("There is a project of this name.")
    for each in parameters:
        field = FIELD + each["ParameterKey"]
        said = _remark(each, given.get(field, ""))
        if said is None and each["ParameterKey"].endswith(GROUP) and groups.get(given.get(field, "")) is False:
            said = Remark("There is no model group of this name yet: nothing is deployed before there is.", "", True)
        if said is not None:
            found[field] = said
    return found


def _remark(parameter: Mapping[str, Any], value: str) -> Remark | None:
    rules = parameter.get("ParameterConstraints", {})
    if not value:
        return None if "DefaultValue" in parameter else Remark("A value is needed.")
    if rules.get("AllowedValues") and value not in rules["AllowedValues"]:
        return Remark("Choose one of: {what}", ", ".join(rules["AllowedValues"]))
    for limit, most in (("MaxLength", True), ("MinLength", False)):
        with contextlib.suppress(KeyError, ValueError):
            length = int(rules[limit])
            if len(value) > length if most else len(value) < length:
                return Remark("At most {what} characters." if most else "At least {what} characters.", str(length))
    return _number(parameter, rules, value) or _pattern(rules, value)


def _number(parameter: Mapping[str, Any], rules: Mapping[str, str], value: str) -> Remark | None:
    if parameter.get("ParameterType") != "Number":
        return None
    try:
        number = float(value)
    except ValueError:
        return Remark("Enter a number.")
    with contextlib.suppress(KeyError, ValueError):
        if number < float(rules["MinValue"]):
            return Remark("At least {what}.", rules["MinValue"])
    with contextlib.suppress(KeyError, ValueError):
        if number > float(rules["MaxValue"]):
            return Remark("At most {what}.", rules["MaxValue"])
    return None


def _pattern(rules: Mapping[str, str], value: str) -> Remark | None:
    with contextlib.suppress(KeyError, InvalidRegex, SlowRegex):  # the template's own check says it
        if not Regex(rules["AllowedPattern"], each=BRIEF).fullmatch(value):
            if rules.get("ConstraintDescription"):
                return Remark("{what}", rules["ConstraintDescription"])
            return Remark("It must match {what}", rules["AllowedPattern"])
    return None
