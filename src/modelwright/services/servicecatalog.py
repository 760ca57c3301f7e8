"""Service Catalog, as far as SageMaker projects need it: the project templates as products."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from modelwright.errors import AwsError, ResourceNotFoundException, ValidationException
from modelwright.projects.catalog import Catalog, Template
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused

_LANGUAGE = recorded("Texts are in English.")
_ARTIFACT_NAME = refused("Leave it out, or give the ProvisioningArtifactId: a product has one artifact.")
_PATH = recorded("There are no portfolios here: a product has one launch path.")
_CONSTRAINTS = (
    "AllowedValues",
    "AllowedPattern",
    "ConstraintDescription",
    "MaxLength",
    "MinLength",
    "MaxValue",
    "MinValue",
)
DEFAULT_PAGE = 20

SEARCH_MEMBERS: Table = {
    "AcceptLanguage": _LANGUAGE,
    "Filters": HONOURED,
    "PageSize": HONOURED,
    "SortBy": refused("Products come sorted by title.", "Title"),
    "SortOrder": HONOURED,
    "PageToken": HONOURED,
}

PARAMETER_MEMBERS: Table = {
    "AcceptLanguage": _LANGUAGE,
    "ProductId": HONOURED,
    "ProductName": HONOURED,
    "ProvisioningArtifactId": HONOURED,
    "ProvisioningArtifactName": _ARTIFACT_NAME,
    "PathId": _PATH,
    "PathName": _PATH,
}


class ServiceCatalog:
    """The products: the project templates of the package and of the home folder."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @operation("SearchProducts", members=SEARCH_MEMBERS)
    def search(self, _: Context, parameters: dict[str, Any]) -> Document:
        """A page of products whose names and descriptions contain the words of `FullTextSearch`."""
        filters = parameters.get("Filters", {})
        for name in filters:
            if name not in ("FullTextSearch", "Owner"):
                raise ValidationException(f"Filters.{name}: only FullTextSearch and Owner are supported here.")
        found = [template for template in self._catalog.templates() if _matches(template, filters)]
        if parameters.get("SortOrder") == "DESCENDING":
            found.reverse()
        start = _position(parameters.get("PageToken"))
        end = start + (parameters.get("PageSize") or DEFAULT_PAGE)
        result: Document = {"ProductViewSummaries": [_view(template) for template in found[start:end]]}
        if end < len(found):
            result["NextPageToken"] = base64.urlsafe_b64encode(str(end).encode()).decode()
        return result

    @operation("DescribeProduct")
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        template = self._find(parameters.get("Id"), parameters.get("Name"))
        return {
            "ProductViewSummary": _view(template),
            "ProvisioningArtifacts": [_artifact(template)],
            "LaunchPaths": [{"Id": f"lpv-{template.product_id[5:]}", "Name": "modelwright"}],
        }

    @operation("ListLaunchPaths")
    def launch_paths(self, _: Context, parameters: dict[str, Any]) -> Document:
        """One: whoever may call this may use the product."""
        template = self._find(parameters["ProductId"], None)
        return {"LaunchPathSummaries": [{"Id": f"lpv-{template.product_id[5:]}", "Name": "modelwright"}]}

    @operation("DescribeProvisioningParameters", members=PARAMETER_MEMBERS)
    def parameters(self, _: Context, parameters: dict[str, Any]) -> Document:
        """What CreateProject needs for this product."""
        template = self._find(parameters.get("ProductId"), parameters.get("ProductName"))
        artifact = parameters.get("ProvisioningArtifactId")
        if artifact not in (None, template.artifact_id):
            raise _missing(f"Product {template.product_id} has no provisioning artifact '{artifact}'")
        return {"ProvisioningArtifactParameters": [_parameter(*each) for each in template.parameters.items()]}

    def _find(self, product: str | None, name: str | None) -> Template:
        wanted = product or name
        if wanted is None:
            raise AwsError("Give the product's id or its name.", code="InvalidParametersException")
        try:
            return self._catalog.find(wanted)
        except ValidationException as error:
            raise _missing(error.message) from error


def _missing(text: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(text)


def _matches(template: Template, filters: Mapping[str, list[str]]) -> bool:
    text = f"{template.name} {template.description}".lower()
    words = [word for each in filters.get("FullTextSearch", []) for word in each.lower().split()]
    owners = filters.get("Owner")
    return all(word in text for word in words) and (owners is None or template.owner in owners)


def _view(template: Template) -> Document:
    return {
        "Id": f"prodview-{template.product_id[5:]}",
        "ProductId": template.product_id,
        "Name": template.name,
        "Owner": template.owner,
        "ShortDescription": template.description,
        "Type": "CLOUD_FORMATION_TEMPLATE",
        "HasDefaultPath": True,
    }


def _artifact(template: Template) -> Document:
    return {
        "Id": template.artifact_id,
        "Name": "current",
        "Description": f"The template as it is now: {template.path.name}",
        "CreatedTime": template.path.stat().st_mtime,
        "Guidance": "DEFAULT",
    }


def _parameter(name: str, rules: Mapping[str, Any]) -> Document:
    constraints = {
        key: [str(value) for value in rules[key]] if key == "AllowedValues" else str(rules[key])
        for key in _CONSTRAINTS
        if key in rules
    }
    result: Document = {
        "ParameterKey": name,
        "ParameterType": str(rules.get("Type", "String")),
        "IsNoEcho": bool(rules.get("NoEcho", False)),
        "ParameterConstraints": constraints,
    }
    if "Description" in rules:
        result["Description"] = str(rules["Description"])
    if "Default" in rules:
        result["DefaultValue"] = str(rules["Default"])
    return result


def _position(token: str | None) -> int:
    try:
        position = int(base64.urlsafe_b64decode(token)) if token else 0
    except (ValueError, binascii.Error):
        position = -1
    if position < 0:
        raise AwsError("PageToken is not one of this list's.", code="InvalidParametersException")
    return position
