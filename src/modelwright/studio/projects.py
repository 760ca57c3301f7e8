"""Projects: the list, a new one from a template by a form, and their end."""

from __future__ import annotations

from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio.executions import live_address
from modelwright.studio.runs import who
from modelwright.studio.view import Route, View

PER_PAGE = 25
_TEMPLATES = 100


def routes() -> list[Route]:
    return [
        ("/projects", ("GET",), all_of_them),
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


async def _products(view: View) -> list[Document]:
    found = await view.call("SearchProducts", "servicecatalog", PageSize=_TEMPLATES)
    products: list[Document] = found["ProductViewSummaries"]
    return products


async def create(view: View) -> Response:
    """A form made from the template's parameters; what was refused is told in it, with what was typed."""
    product = await view.call("DescribeProduct", "servicecatalog", Id=view.argument("product"))
    summary, artifact = product["ProductViewSummary"], product["ProvisioningArtifacts"][0]["Id"]
    found = await view.call(
        "DescribeProvisioningParameters", "servicecatalog", ProductId=summary["ProductId"],
        ProvisioningArtifactId=artifact,
    )  # fmt: skip
    parameters = found["ProvisioningArtifactParameters"]
    problem, sent = "", view.request.method == "POST"
    if sent:
        given = [
            {"Key": each["ParameterKey"], "Value": view.field(f"parameter.{each['ParameterKey']}")}
            for each in parameters
        ]
        details = {"ProductId": summary["ProductId"], "ProvisioningArtifactId": artifact}
        try:
            await view.call(
                "CreateProject",
                ProjectName=view.field("name").strip(),
                ProjectDescription=view.field("description").strip() or None,
                ServiceCatalogProvisioningDetails={**details, "ProvisioningParameters": given},
            )
        except AwsError as error:
            problem = error.message
        else:
            return view.go("projects")
    values = {
        each["ParameterKey"]: view.field(f"parameter.{each['ParameterKey']}") if sent else each.get("DefaultValue", "")
        for each in parameters
    }
    return view.page(
        "project.html",
        http_status=400 if problem else 200,
        product=summary,
        parameters=parameters,
        values=values,
        name=view.field("name"),
        description=view.field("description"),
        may_create=view.may("CreateProject"),
        problem=problem,
    )


async def delete(view: View) -> Response:
    await view.call("DeleteProject", ProjectName=view.argument("name"))
    return view.go("projects")
