"""What a stack consists of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelwright.services.cloudformation.base import CloudFormation, find_stack, page_of, stacks
from modelwright.services.dispatch import Context, Document, operation
from modelwright.templates.problems import TemplateError


class StackResources(CloudFormation):
    """DescribeStackResource(s), ListStackResources."""

    @operation("DescribeStackResources", quick=lambda parameters: "StackName" in parameters)
    def describe_all(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Of a stack, or of the stack that a resource belongs to."""
        name, physical = parameters.get("StackName"), parameters.get("PhysicalResourceId")
        if (name is None) == (physical is None):
            raise TemplateError("Either StackName or PhysicalResourceId must be specified, and not both.")
        with self.database.read() as transaction:
            if name is not None:
                stack = find_stack(transaction, name)
            else:
                owners = [
                    one
                    for one in stacks(transaction)
                    if any(each["PhysicalResourceId"] == physical for each in one.get("_Resources", []))
                ]
                if not owners:
                    raise TemplateError(f"Stack for {physical} does not exist")
                stack = owners[0]
        wanted = parameters.get("LogicalResourceId")
        found = [one for one in stack.get("_Resources", []) if wanted in (None, one["LogicalResourceId"])]
        if wanted is not None and not found:
            raise _none(wanted, stack)
        return {"StackResources": [{**_names(stack), **_present(one)} for one in found]}

    @operation("DescribeStackResource", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        wanted = parameters["LogicalResourceId"]
        with self.database.read() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
        for one in stack.get("_Resources", []):
            if one["LogicalResourceId"] == wanted:
                detail = {**_names(stack), **_summary(one)}
                metadata = stack["_Plan"]["Resources"].get(wanted, {}).get("Metadata")
                if metadata is not None:
                    detail["Metadata"] = json.dumps(metadata)
                return {"StackResourceDetail": detail}
        raise _none(wanted, stack)

    @operation("ListStackResources", quick=True)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
        found = [_summary(one) for one in stack.get("_Resources", [])]
        return page_of("StackResourceSummaries", found, parameters.get("NextToken"))


def _names(stack: Mapping[str, Any]) -> Document:
    return {"StackName": stack["StackName"], "StackId": stack["StackId"]}


def _present(resource: Mapping[str, Any]) -> Document:
    undrifted = {"StackResourceDriftStatus": "NOT_CHECKED"}
    return {**{key: value for key, value in resource.items() if value}, "DriftInformation": undrifted}


def _summary(resource: Mapping[str, Any]) -> Document:
    found = _present(resource)
    found["LastUpdatedTimestamp"] = found.pop("Timestamp")
    return found


def _none(wanted: str, stack: Mapping[str, Any]) -> TemplateError:
    return TemplateError(f"Resource {wanted} does not exist for stack {stack['StackName']}")
