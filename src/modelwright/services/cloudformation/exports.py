"""Exports: outputs of a stack that others import by name."""

from __future__ import annotations

from typing import Any

from modelwright.services.cloudformation.base import CloudFormation, importers, page_of, stacks
from modelwright.services.dispatch import Context, Document, operation
from modelwright.templates.problems import TemplateError


class Exports(CloudFormation):
    """ListExports, ListImports."""

    @operation("ListExports")
    def list_exports(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            found = [
                {"ExportingStackId": stack["StackId"], "Name": each["ExportName"], "Value": each["OutputValue"]}
                for stack in stacks(transaction)
                for each in stack.get("Outputs", [])
                if "ExportName" in each
            ]
        return page_of("Exports", sorted(found, key=lambda each: str(each["Name"])), parameters.get("NextToken"))

    @operation("ListImports")
    def list_imports(self, _: Context, parameters: dict[str, Any]) -> Document:
        """The stacks that need an export. Raises ValidationError where there is none, as AWS does."""
        name = parameters["ExportName"]
        with self.database.read() as transaction:
            found = importers(transaction, name)
        if not found:
            raise TemplateError(f"Export '{name}' is not imported by any stack.")
        return page_of("Imports", found, parameters.get("NextToken"))
