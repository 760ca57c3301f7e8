"""Projects: the list, one with all that it made, a new one from a template by a form, and their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio import project_form, project_parts
from modelwright.studio.executions import live_address
from modelwright.studio.project_form import FIELD, GROUP, Remark
from modelwright.studio.runs import identity, who
from modelwright.studio.view import Route, View

PER_PAGE = 25
_TEMPLATES = 100
_GROUPS = 100


def routes() -> list[Route]:
    return [
        ("/projects", ("GET",), all_of_them),
        ("/projects/{name}", ("GET",), one),
        ("/templates/{product}", ("GET", "POST"), create),
        ("/projects/{name}/delete", ("POST",), delete),
    ]


async def all_of_them(view: View) -> Response:
    found = await view.call(
        "ListProjects", SortBy="CreationTime", SortOrder="Descending", MaxResults=PER_PAGE,
        NextToken=view.argument("page") or None,
    )  # fmt: skip
    rows = [await view.find("DescribeProject", ProjectName=each["ProjectName"]) for each in found["ProjectSummaryList"]]
    return view.page(
        "projects.html",
        projects=[row for row in rows if row is not None],
        products=await _products(view),
        next=found.get("NextToken"),
        may_create=view.may("CreateProject"),
        may_delete=view.may("DeleteProject"),
        who=who,
        reason=reason,
        live=live_address(["resource/Project/"]),
    )


def reason(project: Document) -> str:
    """Why it has failed; nothing where it has not."""
    if not project["ProjectStatus"].endswith("Failed"):
        return ""
    for provider in project.get("TemplateProviderDetails", []):
        return str(provider["CfnTemplateProviderDetail"].get("StackDetail", {}).get("StatusMessage", ""))
    return str(project.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductStatusMessage", ""))


async def one(view: View) -> Response:
    """Everything of one project on one page, each with a link to its own."""
    project = await view.call("DescribeProject", ProjectName=view.argument("name"))
    parts = await project_parts.of(view, project)
    return view.page(
        "project.html",
        project=project,
        parts_of=parts,
        reason=reason(project),
        settled=not project["ProjectStatus"].endswith("InProgress"),
        may_delete=view.may("DeleteProject", ProjectName=project["ProjectName"]),
        who=who,
        identity=identity,
        live=live_address(
            ["resource/Project/", "resource/Stack", "resource/ModelPackage/", "resource/CodeCommitRepository/",
             "resource/Pipeline/", "codepipeline/", "execution/", "endpoint/"]
        ),
    )  # fmt: skip


async def _products(view: View) -> list[Document]:
    found = await view.call("SearchProducts", "servicecatalog", PageSize=_TEMPLATES)
    products: list[Document] = found["ProductViewSummaries"]
    return products


async def create(view: View) -> Response:
    """A form made from the template's parameters; what is wrong is told at its field, with what was typed.

    The page's script asks for the same with `check` set: then nothing is made.
    """
    product = await view.call("DescribeProduct", "servicecatalog", Id=view.argument("product"))
    summary, artifact = product["ProductViewSummary"], product["ProvisioningArtifacts"][0]["Id"]
    found = await view.call(
        "DescribeProvisioningParameters", "servicecatalog", ProductId=summary["ProductId"],
        ProvisioningArtifactId=artifact,
    )  # fmt: skip
    parameters: list[Document] = found["ProvisioningArtifactParameters"]
    groups = [
        each["ModelPackageGroupName"]
        for each in (await view.call("ListModelPackageGroups", MaxResults=_GROUPS))["ModelPackageGroupSummaryList"]
    ]
    sent, checking = view.request.method == "POST", bool(view.field("check"))
    problem, remarks = "", dict[str, Remark]()
    if sent:
        remarks = await _remarks(view, parameters, groups)
    if sent and not checking and all(remark.warning for remark in remarks.values()):
        details = {"ProductId": summary["ProductId"], "ProvisioningArtifactId": artifact}
        try:
            return await _made(view, parameters, details)
        except AwsError as error:
            problem = error.message
    values = {
        each["ParameterKey"]: view.field(FIELD + each["ParameterKey"]) if sent else each.get("DefaultValue", "")
        for each in parameters
    }
    return view.page(
        "new_project.html",
        http_status=400 if sent and not checking else 200,
        product=summary,
        parameters=parameters,
        values=values,
        groups=groups,
        group_suffix=GROUP,
        remarks=remarks,
        field=FIELD,
        name=view.field("name"),
        description=view.field("description"),
        may_create=view.may("CreateProject"),
        problem=problem,
    )


async def _remarks(view: View, parameters: list[Document], groups: list[str]) -> dict[str, Remark]:
    """What is wrong with what was typed."""
    given = {name: view.field(name) for name in view.form}
    name = given.get("name", "").strip()
    well_formed = project_form.NAME.fullmatch(name) is not None
    taken = well_formed and await view.find("DescribeProject", ProjectName=name) is not None
    named = [given[key] for key in given if key.startswith(FIELD) and key.endswith(GROUP) and given[key]]
    known = {each: each in groups or await _is_group(view, each) for each in named}
    return project_form.remarks(parameters, given, taken=taken, groups=known)


async def _is_group(view: View, name: str) -> bool:
    try:
        return await view.find("DescribeModelPackageGroup", ModelPackageGroupName=name) is not None
    except AwsError:
        return False  # it can be no group's name


async def _made(view: View, parameters: list[Document], details: Mapping[str, Any]) -> Response:
    """Raises AwsError."""
    name = view.field("name").strip()
    given = [{"Key": each["ParameterKey"], "Value": view.field(FIELD + each["ParameterKey"])} for each in parameters]
    await view.call(
        "CreateProject",
        ProjectName=name,
        ProjectDescription=view.field("description").strip() or None,
        ServiceCatalogProvisioningDetails={**details, "ProvisioningParameters": given},
    )
    return view.go("projects", name)


async def delete(view: View) -> Response:
    await view.call("DeleteProject", ProjectName=view.argument("name"))
    return view.go("projects")
