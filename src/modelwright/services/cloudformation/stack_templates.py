"""Templates: a stack's own back again, and what one needs and would make."""

from __future__ import annotations

import json
from typing import Any

from modelwright.services.cloudformation.base import CloudFormation, find_stack
from modelwright.services.cloudformation.change_sets import find_change_set
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.templates.parameters import Declaration, as_text
from modelwright.templates.plan import capabilities, check_types
from modelwright.templates.problems import TemplateError
from modelwright.templates.template import Template, parse
from modelwright.templates.types import TYPES

_SETS = refused("There are no stack sets here. Give the StackName, or the template.")
SUMMARY_MEMBERS: Table = {
    "TemplateBody": HONOURED,
    "TemplateURL": HONOURED,
    "StackName": HONOURED,
    "StackSetName": _SETS,
    "CallAs": _SETS,
    "TemplateSummaryConfig": HONOURED,
}


class StackTemplates(CloudFormation):
    """GetTemplate, GetTemplateSummary, ValidateTemplate."""

    @operation("GetTemplate")
    def get(self, _: Context, parameters: dict[str, Any]) -> Document:
        """As it was given: nothing is transformed here."""
        with self.database.read() as transaction:
            if "ChangeSetName" in parameters:
                found = find_change_set(transaction, parameters)
            elif "StackName" in parameters:
                found = find_stack(transaction, parameters["StackName"])
            else:
                raise TemplateError("Either StackName or ChangeSetName must be specified.")
        if "_Body" not in found:
            raise TemplateError(f"Stack [{found['StackName']}] has no template yet: give its ChangeSetName.")
        return {"TemplateBody": found["_Body"], "StagesAvailable": ["Original", "Processed"]}

    @operation("GetTemplateSummary", members=SUMMARY_MEMBERS)
    def summary(self, _: Context, parameters: dict[str, Any]) -> Document:
        """What it needs, and which types it makes. Types that there are not here are told among the warnings."""
        if "StackName" in parameters:
            if "TemplateBody" in parameters or "TemplateURL" in parameters:
                raise TemplateError("Give one of StackName, TemplateBody and TemplateURL.")
            with self.database.read() as transaction:
                stack = find_stack(transaction, parameters["StackName"])
            if "_Body" not in stack:
                raise TemplateError(f"Stack [{stack['StackName']}] has no template yet.")
            template = parse(stack["_Body"])
        else:
            template = self.template(parameters)[1]
        types = sorted({one.type for one in template.resources.values()})
        answer: Document = {
            "Parameters": [_declared(one) for one in template.parameters.values()],
            "ResourceTypes": types,
            **_about(template),
        }
        if template.version:
            answer["Version"] = template.version
        if template.metadata:
            answer["Metadata"] = json.dumps(template.metadata)
        unknown = [kind for kind in types if kind not in TYPES]
        if unknown:
            wanted = parameters.get("TemplateSummaryConfig", {}).get("TreatUnrecognizedResourceTypesAsWarnings")
            if not wanted:
                check_types(template)
            answer["Warnings"] = {"UnrecognizedResourceTypes": unknown}
        return answer

    @operation("ValidateTemplate")
    def validate(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationError for the first thing that is wrong with it."""
        template = self.template(parameters)[1]
        check_types(template)
        members = ("ParameterKey", "DefaultValue", "NoEcho", "Description")
        declared = [_declared(one) for one in template.parameters.values()]
        return {
            "Parameters": [{key: one[key] for key in members if key in one} for one in declared],
            **_about(template),
        }


def _about(template: Template) -> Document:
    found: Document = {"Description": template.description} if template.description else {}
    needed = capabilities(template)
    if needed:
        whose = sorted(
            {one.type for one in template.resources.values() if one.type in TYPES and TYPES[one.type].capability}
        )
        found["Capabilities"] = needed
        found["CapabilitiesReason"] = f"The following resource(s) require capabilities: [{', '.join(whose)}]"
    if template.transforms:
        found["DeclaredTransforms"] = list(template.transforms)
    return found


def _declared(one: Declaration) -> Document:
    found: Document = {"ParameterKey": one.name, "ParameterType": one.type, "NoEcho": one.no_echo}
    if one.default is not None:
        found["DefaultValue"] = one.default
    if one.description:
        found["Description"] = one.description
    allowed = one.constraints.get("AllowedValues")
    if allowed:
        found["ParameterConstraints"] = {"AllowedValues": [as_text(each) for each in allowed]}
    return found
