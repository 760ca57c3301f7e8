"""A template's sections, checked: what is declared, and that what is referred to is declared too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelwright.templates.functions import CONDITION_FUNCTIONS, FUNCTIONS
from modelwright.templates.parameters import Declaration, declaration
from modelwright.templates.problems import TemplateError, template_error, template_format
from modelwright.templates.reader import read
from modelwright.templates.references import PSEUDO_PARAMETERS, attribute, in_sub, walk

LANGUAGE_EXTENSIONS = "AWS::LanguageExtensions"
MOST_RESOURCES = 500
MOST_PARAMETERS = 200
MOST_OUTPUTS = 200
MOST_MAPPINGS = 200
MOST_DESCRIPTION = 1024
MOST_BYTES = 51_200
"""Of a template in the request itself."""
MOST_BYTES_BY_URL = 1024 * 1024

_SECTIONS = {
    *("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions"),
    *("Transform", "Resources", "Outputs", "Hooks"),
}
_RESOURCE_MEMBERS = {
    *("Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy"),
    *("CreationPolicy", "UpdatePolicy"),
}
_POLICIES = ("Delete", "Retain", "RetainExceptOnCreate")
_NAME = re.compile(r"[A-Za-z0-9]{1,255}")


@dataclass(frozen=True)
class ResourceDeclaration:
    """A resource as the template has it; `properties` with their functions."""

    name: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    deletion_policy: Any = None
    update_replace_policy: Any = None
    metadata: Any = None


@dataclass(frozen=True)
class Template:
    """What a template declares."""

    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Declaration] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, ResourceDeclaration] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    version: str = ""
    transforms: tuple[str, ...] = ()


def parse(text: str) -> Template:
    """The template. Raises TemplateError with AWS's text for the first thing that is wrong."""
    data = read(text)
    unknown = sorted(set(data) - _SECTIONS)
    if unknown:
        raise TemplateError(f"Invalid template property or properties [{', '.join(unknown)}]")
    _check_head(data)
    resources = _section(data, "Resources")
    if not resources:
        raise template_format("At least one Resources member must be defined.")
    template = Template(
        description=data.get("Description", ""),
        metadata=_section(data, "Metadata"),
        parameters={
            name: declaration(name, value)
            for name, value in _named(data, "Parameters", MOST_PARAMETERS, "parameters").items()
        },
        mappings=_mappings(data),
        conditions=_named(data, "Conditions", 10_000, "conditions"),
        resources={
            name: _resource(name, value)
            for name, value in _named(data, "Resources", MOST_RESOURCES, "resources").items()
        },
        outputs={
            name: _output(name, value) for name, value in _named(data, "Outputs", MOST_OUTPUTS, "outputs").items()
        },
        version=str(data.get("AWSTemplateFormatVersion", "")),
        transforms=_transforms(data),
    )
    _check_references(template)
    return template


def _check_head(data: Mapping[str, Any]) -> None:
    version = data.get("AWSTemplateFormatVersion", "2010-09-09")
    if version != "2010-09-09":
        raise template_format(f"Unsupported template format version '{version}': it must be '2010-09-09'.")
    description = data.get("Description", "")
    if not isinstance(description, str):
        raise template_format("Every Description member must be a string.")
    if len(description.encode()) > MOST_DESCRIPTION:
        raise template_format(f"Description is longer than {MOST_DESCRIPTION} bytes.")
    for section in ("Rules", "Hooks"):
        if data.get(section):
            raise template_format(f"Modelwright does not support the section {section} of a template. Leave it out.")


def _transforms(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Raises TemplateError for all but AWS::LanguageExtensions, whose functions are known anyway."""
    given = data.get("Transform", [])
    names = given if isinstance(given, list) else [given]
    shown = [str(name.get("Name", name) if isinstance(name, dict) else name) for name in names]
    others = [name for name in shown if name != LANGUAGE_EXTENSIONS]
    if others:
        raise template_format(
            f"Modelwright does not support Transform [{', '.join(others)}]: write the resources out, without macros."
        )
    return tuple(shown)


def _section(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = data.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise template_format(f"[/{name}] {name} must be an object.")
    return section


def _named(data: Mapping[str, Any], name: str, most: int, noun: str) -> dict[str, Any]:
    section = _section(data, name)
    for key in section:
        if key.startswith("Fn::"):
            raise template_format(f"[/{name}/{key}] Modelwright does not support {key}: it takes a transform.")
        if not _NAME.fullmatch(key):
            noun_of = {"Resources": "Resource", "Parameters": "Parameter", "Outputs": "Output"}.get(name, "Condition")
            raise template_format(f"{noun_of} name {key} is non alphanumeric.")
    if len(section) > most:
        raise template_format(f"Number of {noun}, {len(section)}, is greater than maximum allowed, {most}")
    return section


def _mappings(data: Mapping[str, Any]) -> dict[str, Any]:
    mappings = _named(data, "Mappings", MOST_MAPPINGS, "mappings")
    for name, first in mappings.items():
        if not isinstance(first, dict):
            raise template_format(f"[/Mappings/{name}] Every Mappings member must be a map.")
        for key, second in first.items():
            if not isinstance(second, dict):
                raise template_format(f"[/Mappings/{name}/{key}] Every Mappings attribute must be a map.")
            for last, value in second.items():
                if not (_is_scalar(value) or (isinstance(value, list) and all(_is_scalar(item) for item in value))):
                    raise template_format(
                        f"[/Mappings/{name}/{key}/{last}] Every Mappings attribute must be a String or a List."
                    )
    return mappings


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _resource(name: str, value: Any) -> ResourceDeclaration:
    place = f"[/Resources/{name}]"
    if not isinstance(value, dict):
        raise template_format(f"{place} Every Resources member must be an object.")
    for member in value:
        if member not in _RESOURCE_MEMBERS:
            raise TemplateError(f"Invalid template resource property '{member}'")
    if not isinstance(value.get("Type"), str):
        raise template_format(f"{place} Every Resources object must contain a Type member.")
    for member in ("CreationPolicy", "UpdatePolicy"):
        if member in value:
            raise template_format(f"{place} Modelwright does not support {member}: no type here has one. Leave it out.")
    properties = value.get("Properties", {})
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        raise template_format(f"{place} 'Properties' must be an object.")
    depends = value.get("DependsOn", [])
    depends = [depends] if isinstance(depends, str) else depends
    if not isinstance(depends, list) or not all(isinstance(each, str) for each in depends):
        raise template_format(f"{place} Every DependsOn value must be a string.")
    condition = value.get("Condition")
    if condition is not None and not isinstance(condition, str):
        raise template_format(f"{place} Every Condition member must be a string.")
    for member in ("DeletionPolicy", "UpdateReplacePolicy"):
        _check_policy(place, member, value)
    return ResourceDeclaration(
        name=name,
        type=value["Type"],
        properties=properties,
        depends_on=tuple(depends),
        condition=condition,
        deletion_policy=value.get("DeletionPolicy"),
        update_replace_policy=value.get("UpdateReplacePolicy"),
        metadata=value.get("Metadata"),
    )


def _check_policy(place: str, member: str, value: Mapping[str, Any]) -> None:
    if member not in value:
        return
    policy = value[member]
    if policy == "Snapshot":
        raise template_format(
            f"{place} {member} 'Snapshot': {value['Type']} can't be snapshotted. Use Delete or Retain."
        )
    if policy not in _POLICIES or (policy == "RetainExceptOnCreate" and member != "DeletionPolicy"):
        raise template_format(f"{place} Unrecognized {member} {policy}: it must be Delete or Retain, as a string.")


def _output(name: str, value: Any) -> Mapping[str, Any]:
    place = f"[/Outputs/{name}]"
    if not isinstance(value, dict):
        raise template_format(f"{place} Every Outputs member must be an object.")
    unknown = sorted(set(value) - {"Description", "Value", "Export", "Condition"})
    if unknown:
        raise TemplateError(f"Invalid template output property '{unknown[0]}' of output {name}")
    if value.get("Value") is None:
        raise template_format(f"{place} Every Outputs object must contain a Value member.")
    if not isinstance(value.get("Description", ""), str):
        raise template_format(f"{place} Every Description member must be a string.")
    if "Condition" in value and not isinstance(value["Condition"], str):
        raise template_format(f"{place} Every Condition member must be a string.")
    export = value.get("Export", {"Name": ""})
    if not isinstance(export, dict) or set(export) != {"Name"} or export["Name"] is None:
        raise template_format(f"{place} Export must be an object with a Name.")
    return value


# What is referred to


def _check_references(template: Template) -> None:
    _check_conditions(template)
    for resource in template.resources.values():
        _check_value(template, resource.properties, "Resources")
        missing = [name for name in resource.depends_on if name not in template.resources]
        if missing:
            raise _unresolved(missing, "Resources")
        _check_condition(template, resource.condition, f"Resources/{resource.name}")
    for name, output in template.outputs.items():
        _check_value(template, {key: output[key] for key in ("Value", "Export") if key in output}, "Outputs")
        _check_condition(template, output.get("Condition"), f"Outputs/{name}")


def _check_value(template: Template, value: Any, block: str) -> None:
    known = {*template.resources, *template.parameters, *PSEUDO_PARAMETERS}
    missing = set()
    for function, argument in walk(value):
        if function == "Ref":
            if not isinstance(argument, str):
                raise template_error("Ref takes the name of a parameter or a resource, as a string.")
            if argument not in known:
                missing.add(argument)
        elif function == "Fn::GetAtt":
            name, _ = attribute(argument)
            if name not in template.resources:
                raise template_error(f"instance of Fn::GetAtt references undefined resource {name}")
        elif function == "Fn::Sub":
            for name in in_sub(argument):
                head, dot, _ = name.partition(".")
                if dot and head not in template.resources:
                    raise template_error(f"instance of Fn::Sub references invalid resource attribute {name}")
                if not dot and name not in known:
                    missing.add(name)
        elif function == "Fn::If":
            if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
                raise template_error(
                    "Fn::If requires a list argument with three parameters: the name of a condition and two values."
                )
            _check_condition(template, argument[0], "a value of Fn::If")
        elif function == "Condition":
            continue
        elif function in CONDITION_FUNCTIONS:
            raise template_error(f"{function} can only be used in the Conditions of a template and in Fn::If.")
        elif function not in FUNCTIONS:
            raise template_error(f"Encountered unsupported function: {function} Supported functions: {_supported()}")
    if missing:
        raise _unresolved(sorted(missing), block)


def _supported() -> str:
    return f"[{', '.join(sorted((*FUNCTIONS, *CONDITION_FUNCTIONS)))}]"


def _check_conditions(template: Template) -> None:
    known = {*template.parameters, *PSEUDO_PARAMETERS}
    for name, value in template.conditions.items():
        if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in (
            "Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition"
        ):  # fmt: skip
            raise template_format(
                f"Conditions can only be boolean operations on parameters and other conditions: see {name}."
            )
        missing = set()
        for function, argument in walk(value, conditions=True):
            if function == "Fn::If" or function not in (*FUNCTIONS, *CONDITION_FUNCTIONS, "Condition"):
                raise template_error(f"{function} can't be used in the Conditions of a template: see {name}.")
            if function == "Ref" and (not isinstance(argument, str) or argument not in known):
                missing.add(str(argument))
            elif function == "Fn::GetAtt":
                missing.add(attribute(argument)[0])
            elif function == "Fn::Sub":
                missing |= {each for each in in_sub(argument) if each not in known}
            elif function == "Condition":
                _check_condition(template, argument, f"Conditions/{name}")
        if missing:
            raise template_format(
                f"Unresolved dependencies [{', '.join(sorted(missing))}]. "
                "Cannot reference resources in the Conditions block of the template"
            )


def _check_condition(template: Template, name: Any, where: str) -> None:
    if name is not None and (not isinstance(name, str) or name not in template.conditions):
        raise template_format(f"Unresolved condition dependency {name} in {where} of the template")


def _unresolved(names: list[str], block: str) -> TemplateError:
    return template_format(
        f"Unresolved resource dependencies [{', '.join(names)}] in the {block} block of the template"
    )
