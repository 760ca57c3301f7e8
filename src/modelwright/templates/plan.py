"""A template with its values: the resources that are to be, each with what it needs first. Plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelwright.templates.functions import NO_VALUE, Scope, holds, reduce
from modelwright.templates.parameters import typed, values_of
from modelwright.templates.problems import template_error, template_format
from modelwright.templates.references import attribute, check_acyclic, function_of, in_sub, resources_of, walk
from modelwright.templates.template import ResourceDeclaration, Template
from modelwright.templates.types import TYPES

Plan = dict[str, Any]


def make(
    template: Template,
    given: Mapping[str, str],
    *,
    account: str,
    region: str,
    stack_id: str,
    stack_name: str,
    imports: Callable[[str], str],
    tags: Sequence[Mapping[str, str]] = (),
) -> Plan:
    """`{"Parameters": {...}, "Resources": {id: {...}}, "Outputs": {...}, ...}`. Raises TemplateError.

    `tags` are the stack's, which its resources get too. `Imports` names the exports that it takes values from.
    """
    check_types(template)
    values = values_of(template.parameters, given)
    names: dict[str, Any] = {name: typed(template.parameters[name], value) for name, value in values.items()}
    names |= {
        "AWS::AccountId": account,
        "AWS::NoValue": NO_VALUE,
        "AWS::NotificationARNs": [],
        "AWS::Partition": "aws",
        "AWS::Region": region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com",
    }
    before = Scope(names, mappings=template.mappings)
    conditions = {name: holds(name, template.conditions, before) for name in template.conditions}
    taken: set[str] = set()

    def imported(name: str) -> str:
        value = imports(name)
        taken.add(name)
        return value

    scope = Scope(names, conditions=conditions, mappings=template.mappings, imports=imported)
    there = {
        name: one for name, one in template.resources.items() if one.condition is None or conditions[one.condition]
    }
    resources = {}
    for name, one in there.items():
        properties = reduce(dict(one.properties), scope)
        needs = resources_of(properties)
        _check_there(needs, there, "Resources")
        _check_attributes(properties, there)
        resources[name] = {
            "Type": one.type,
            "Properties": properties,
            "After": sorted(needs | {each for each in one.depends_on if each in there}),
            "DeletionPolicy": one.deletion_policy or "Delete",
            "UpdateReplacePolicy": one.update_replace_policy or "Delete",
            "Metadata": reduce(one.metadata, scope),
        }
    check_acyclic({name: set(one["After"]) for name, one in resources.items()})
    outputs = {}
    for name, output in template.outputs.items():
        if "Condition" not in output or conditions[output["Condition"]]:
            outputs[name] = reduce({key: value for key, value in output.items() if key != "Condition"}, scope)
            _check_there(resources_of(outputs[name]), there, "Outputs")
            _check_attributes(outputs[name], there)
    _check_exports(outputs)
    return {
        "Description": template.description,
        "Parameters": values,
        "Hidden": [name for name, one in template.parameters.items() if one.no_echo],
        "Resources": resources,
        "Outputs": outputs,
        "Imports": sorted(taken),
        "Tags": [dict(tag) for tag in tags],
    }


def check_types(template: Template) -> None:
    """Raises TemplateError naming the resource types that there are not here."""
    unknown = sorted({one.type for one in template.resources.values()} - set(TYPES))
    if unknown:
        raise template_format(f"Unrecognized resource types: [{', '.join(unknown)}]")


def capabilities(template: Template) -> list[str]:
    """What AWS wants to be acknowledged."""
    ours = [one for one in template.resources.values() if one.type in TYPES and TYPES[one.type].capability]
    named = any("RoleName" in one.properties for one in ours)
    needed = ["CAPABILITY_NAMED_IAM"] if named else ["CAPABILITY_IAM"] if ours else []
    return needed + (["CAPABILITY_AUTO_EXPAND"] if template.transforms else [])


def _check_attributes(value: Any, there: Mapping[str, ResourceDeclaration]) -> None:
    """Raises TemplateError for an attribute that its resource's type has not."""
    for function, argument in walk(value):
        named = [attribute(argument)] if function == "Fn::GetAtt" else []
        if function == "Fn::Sub":
            named = [attribute(name) for name in in_sub(argument) if "." in name]
        for resource, name in named:
            if name not in TYPES[there[resource].type].attributes:
                raise template_error(f"resource {resource} does not support attribute type {name} in Fn::GetAtt")


def _check_exports(outputs: Mapping[str, Any]) -> None:
    names = [output["Export"]["Name"] for output in outputs.values() if "Export" in output]
    known = [name for name in names if function_of(name) is None]
    twice = sorted({str(name) for name in known if known.count(name) > 1})
    if twice:
        raise template_format(f"Duplicate export names: [{', '.join(twice)}]. Each export needs a name of its own.")


def _check_there(needs: set[str], there: Mapping[str, Any], block: str) -> None:
    missing = sorted(needs - set(there))
    if missing:
        raise template_format(
            f"Unresolved resource dependencies [{', '.join(missing)}] in the {block} block of the template"
        )
