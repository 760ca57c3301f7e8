"""A template with its values: the resources that are to be, each with what it needs first. Plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelwright.templates.functions import NO_VALUE, Scope, holds, reduce
from modelwright.templates.parameters import typed, values_of
from modelwright.templates.problems import template_format
from modelwright.templates.references import check_acyclic, resources_of
from modelwright.templates.template import Template
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
) -> Plan:
    """`{"Parameters": {...}, "Resources": {id: {...}}, "Outputs": {...}}`. Raises TemplateError."""
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
    scope = Scope(names, conditions=conditions, mappings=template.mappings, imports=imports)
    there = {
        name: one for name, one in template.resources.items() if one.condition is None or conditions[one.condition]
    }
    resources = {}
    for name, one in there.items():
        properties = reduce(dict(one.properties), scope)
        needs = resources_of(properties)
        _check_there(needs, there, "Resources")
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
    return {
        "Description": template.description,
        "Parameters": values,
        "Hidden": [name for name, one in template.parameters.items() if one.no_echo],
        "Resources": resources,
        "Outputs": outputs,
    }


def check_types(template: Template) -> None:
    """Raises TemplateError naming the resource types that there are not here."""
    unknown = sorted({one.type for one in template.resources.values()} - set(TYPES))
    if unknown:
        raise template_format(f"Unrecognized resource types: [{', '.join(unknown)}]")


def capabilities(template: Template) -> str | None:
    """What AWS wants to be acknowledged: CAPABILITY_IAM, CAPABILITY_NAMED_IAM or nothing."""
    ours = [one for one in template.resources.values() if one.type in TYPES and TYPES[one.type].capability]
    if any("RoleName" in one.properties for one in ours):
        return "CAPABILITY_NAMED_IAM"
    return "CAPABILITY_IAM" if ours else None


def _check_there(needs: set[str], there: Mapping[str, Any], block: str) -> None:
    missing = sorted(needs - set(there))
    if missing:
        raise template_format(
            f"Unresolved resource dependencies [{', '.join(missing)}] in the {block} block of the template"
        )
