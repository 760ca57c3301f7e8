"""`modelwright projects`: projects, and the templates that they are made from."""

from __future__ import annotations

import threading
from typing import Any

import click

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.completion import project_names
from modelwright.cli.console import Console, expected, pages, stop_with, without_metadata
from modelwright.cli.project_card import card, look
from modelwright.cli.tables import Column
from modelwright.errors import ConfigurationError
from modelwright.projects.catalog import Catalog

COLUMNS = (
    Column("PROJECT", "ProjectName"),
    Column("ID", "ProjectId"),
    Column("STATUS", "ProjectStatus"),
    Column("CREATED", "CreationTime", spare=True),
    Column("DESCRIPTION", "ProjectDescription", spare=True),
)

TEMPLATE_COLUMNS = (
    Column("TEMPLATE", "Name"),
    Column("PRODUCT", "ProductId"),
    Column("PARAMETERS", "Parameters"),
    Column("DESCRIPTION", "ShortDescription", spare=True),
)


@click.group("projects", cls=ActingGroup)
def projects() -> None:
    """Repositories, builds and pipelines from a template: make, list, show and delete them."""


@projects.command("templates")
@pass_console
def list_templates(console: Console) -> None:
    """List the templates. Put your own into the home folder: project-templates/NAME.yml."""
    client = console.client("servicecatalog")
    found = client.search_products(PageSize=100)["ProductViewSummaries"]
    for template in found:
        answer = client.describe_provisioning_parameters(ProductId=template["ProductId"])
        names = [each["ParameterKey"] for each in answer["ProvisioningArtifactParameters"]]
        template["Parameters"] = ", ".join(names) or "none"
    console.rows(found, TEMPLATE_COLUMNS, "No templates.")
    for problem in Catalog(console.settings.project_templates).problems():
        console.tell(problem)


@projects.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_projects(console: Console, limit: int) -> None:
    """List projects; the newest first."""
    found = pages(console.client("sagemaker"), "list_projects", "ProjectSummaryList", limit)
    console.rows(found, COLUMNS, "No projects yet.")


@projects.command("show")
@click.argument("name", shell_complete=project_names)
@pass_console
def show_project(console: Console, name: str) -> None:
    """Show a project and what it has made: repositories, pipelines, model group, endpoints."""
    with expected(f"There is no project '{name}'. See: {console.command('projects list')}"):
        project = console.client("sagemaker").describe_project(ProjectName=name)
    _show(console, project)


def _show(console: Console, project: dict[str, Any]) -> None:
    document = without_metadata(project)
    console.show(document, lambda: card(console, document, look(console, document), message(document)))


@projects.command("create")
@click.argument("name")
@click.option("--template", required=True, metavar="TEMPLATE", help="Its name or product id: projects templates.")
@click.option("--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="One of the template's parameters.")
@click.option("-m", "--description", metavar="TEXT", help="What the project is for.")
@pass_console
def create_project(
    console: Console, name: str, template: str, parameters: tuple[str, ...], description: str | None
) -> None:
    """Make a project from a template, and wait until it is there."""
    catalog = console.client("servicecatalog")
    with expected(f"There is no template '{template}'. See: {console.command('projects templates')}"):
        by = "Id" if template.startswith("prod-") else "Name"
        product = catalog.describe_product(**{by: template})["ProductViewSummary"]["ProductId"]
    given = [_parameter(text) for text in parameters]
    wanted: dict[str, Any] = {"ProductId": product, **({"ProvisioningParameters": given} if given else {})}
    client = console.client("sagemaker")
    more = {"ProjectDescription": description} if description else {}
    _check_parameters(catalog, template, product, given)
    client.create_project(ProjectName=name, ServiceCatalogProvisioningDetails=wanted, **more)
    project = _wait(console, client, name)
    _show(console, project)
    if project["ProjectStatus"] != "CreateCompleted":
        stop_with(f"{name} is {project['ProjectStatus']}: {message(project)}")


def _check_parameters(catalog: Any, template: str, product: str, given: list[dict[str, str]]) -> None:
    """What the command line can say better than the service: which parameters there are, and what they are for."""
    wanted = catalog.describe_provisioning_parameters(ProductId=product)["ProvisioningArtifactParameters"]
    known = {each["Key"] for each in given}
    missing = [each for each in wanted if each["ParameterKey"] not in known and "DefaultValue" not in each]
    if missing:
        told = "; ".join(f"--parameter {each['ParameterKey']}=... ({each.get('Description', '')})" for each in missing)
        raise ConfigurationError(f"The template '{template}' needs {told}")


@projects.command("delete")
@click.argument("name", shell_complete=project_names)
@click.confirmation_option(prompt="Delete the project, its repositories, pipelines and endpoints?")
@pass_console
def delete_project(console: Console, name: str) -> None:
    """Delete a project and all that it made: endpoints, pipelines, repositories, buckets."""
    client = console.client("sagemaker")
    with expected(f"There is no project '{name}'. See: {console.command('projects list')}"):
        client.describe_project(ProjectName=name)
    client.delete_project(ProjectName=name)
    project = _wait(console, client, name)
    if project is not None and project["ProjectStatus"] == "DeleteFailed":
        stop_with(f"{name} could not be deleted: {message(project)}")
    console.tell(f"{name} is deleted")


def message(project: dict[str, Any]) -> str:
    """Why it is as it is."""
    if "TemplateProviderDetails" in project:
        detail = project["TemplateProviderDetails"][0]["CfnTemplateProviderDetail"]
        return str(detail.get("StackDetail", {}).get("StatusMessage", ""))
    return str(project.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductStatusMessage", ""))


def _parameter(text: str) -> dict[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.UsageError(f"--parameter '{text}': write KEY=VALUE.")
    return {"Key": key, "Value": value}


def _wait(console: Console, client: Any, name: str) -> Any:
    """The project once nothing is under way; None when it is gone."""
    pause = threading.Event()
    told = ""
    while True:
        try:
            project = client.describe_project(ProjectName=name)
        except client.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        status = project["ProjectStatus"]
        if not status.endswith("InProgress"):
            return project
        if status != told:
            console.tell(f"{name}: {status}")
            told = status
        pause.wait(0.5)


COMMANDS = (projects,)
