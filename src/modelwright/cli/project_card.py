"""A project on the terminal: what it is, and what it has made, each with the command that goes on from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from modelwright.cli.console import Console
from modelwright.cli.tables import GAP, cell, grid

Document = dict[str, Any]
_TAG = "sagemaker:project-id"


@dataclass
class Parts:
    """What a project has made. Documents are AWS's."""

    template: str = ""
    parameters: list[Document] = field(default_factory=list)
    repositories: list[Document] = field(default_factory=list)
    pipelines: list[tuple[str, str, str]] = field(default_factory=list)
    """(name, status of the newest execution, the approvals that wait)."""
    groups: list[tuple[str, Document | None]] = field(default_factory=list)
    """(name, newest version); None where there is no such group."""
    endpoints: list[Document] = field(default_factory=list)


def look(console: Console, project: Document) -> Parts:
    """Ask for everything of it."""
    parts = Parts()
    _template(console, project, parts)
    stacks = console.client("cloudformation").get_paginator("describe_stacks").paginate()
    own = [stack for page in stacks for stack in page["Stacks"] if _tags(stack).get(_TAG) == project["ProjectId"]]
    resources = [resource for stack in own for resource in _resources(console, stack)]
    _repositories(console, _of(resources, "AWS::CodeCommit::Repository"), parts)
    _pipelines(console, _of(resources, "AWS::CodePipeline::Pipeline"), parts)
    made = [arn.rpartition("/")[2] for arn in _of(resources, "AWS::SageMaker::ModelPackageGroup")]
    named = [each["Value"] for each in parts.parameters if each["Key"].endswith("ModelPackageGroupName")]
    _groups(console, list(dict.fromkeys([*made, *named])), parts)
    _endpoints(console, [arn.rpartition("/")[2] for arn in _of(resources, "AWS::SageMaker::Endpoint")], parts)
    return parts


def _tags(stack: Document) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}


def _template(console: Console, project: Document, parts: Parts) -> None:
    details = project.get("ServiceCatalogProvisioningDetails")
    if details is None:
        provider = project["TemplateProviderDetails"][0]["CfnTemplateProviderDetail"]
        parts.template, parts.parameters = provider["TemplateName"], provider.get("Parameters", [])
        return
    parts.template, parts.parameters = details["ProductId"], details.get("ProvisioningParameters", [])
    client = console.client("servicecatalog")
    try:
        parts.template = client.describe_product(Id=details["ProductId"])["ProductViewSummary"]["Name"]
    except client.exceptions.ClientError:
        return  # a template of one's own that is there no more: its id says all that is known


def _resources(console: Console, stack: Document) -> list[Document]:
    found: list[Document] = console.client("cloudformation").describe_stack_resources(StackName=stack["StackId"])[
        "StackResources"
    ]
    return [each for each in found if each.get("PhysicalResourceId") and each["ResourceStatus"] != "DELETE_COMPLETE"]


def _of(resources: Sequence[Document], kind: str) -> list[str]:
    return [str(each["PhysicalResourceId"]) for each in resources if each["ResourceType"] == kind]


def _repositories(console: Console, ids: list[str], parts: Parts) -> None:
    client = console.client("codecommit")
    pages = client.get_paginator("list_repositories").paginate() if ids else []
    for page in pages:
        for each in page["repositories"]:
            if each["repositoryId"] in ids:
                found = client.get_repository(repositoryName=each["repositoryName"])["repositoryMetadata"]
                parts.repositories.append(found)


def _pipelines(console: Console, names: list[str], parts: Parts) -> None:
    client = console.client("codepipeline")
    for name in names:
        newest = client.list_pipeline_executions(pipelineName=name, maxResults=1)["pipelineExecutionSummaries"]
        waiting = [
            f"{stage['stageName']}/{action['actionName']}"
            for stage in client.get_pipeline_state(name=name)["stageStates"]
            for action in stage["actionStates"]
            if "token" in action.get("latestExecution", {})
        ]
        parts.pipelines.append((name, newest[0]["status"] if newest else "", ", ".join(waiting)))


def _groups(console: Console, names: list[str], parts: Parts) -> None:
    client = console.client("sagemaker")
    for name in names:
        try:
            found = client.list_model_packages(ModelPackageGroupName=name, MaxResults=1)["ModelPackageSummaryList"]
        except client.exceptions.ClientError:
            parts.groups.append((name, None))  # named by a parameter, and not there yet
            continue
        parts.groups.append((name, found[0] if found else {}))


def _endpoints(console: Console, names: list[str], parts: Parts) -> None:
    client = console.client("sagemaker")
    for name in sorted(names):
        try:
            parts.endpoints.append(client.describe_endpoint(EndpointName=name))
        except client.exceptions.ClientError:
            continue  # somebody deleted it past its stack


# Drawing


def card(console: Console, project: Document, parts: Parts, message: str) -> Text:
    return Text("\n").join(_lines(console, project, parts, message))


def _lines(console: Console, project: Document, parts: Parts, message: str) -> Iterator[Text]:
    headline = Text(project["ProjectName"], style="bold").append(GAP)
    headline.append_text(cell(project["ProjectStatus"])).append(GAP)
    yield headline.append(f"{project['ProjectId']}, from the template {parts.template}", "dim")
    if project.get("ProjectDescription"):
        yield Text(project["ProjectDescription"])
    if message:
        failed = project["ProjectStatus"].endswith("Failed")
        yield Text(message, style="red" if failed else "dim")
    arn = project.get("CreatedBy", {}).get("IamIdentity", {}).get("Arn", "")
    made = [("created", cell(project["CreationTime"]).append(f" by {arn.rpartition('/')[2]}" if arn else ""))]
    made += [(each["Key"], cell(each.get("Value"))) for each in parts.parameters]
    yield from _table("", [[Text(key, style="dim"), value] for key, value in made])
    yield from _table(
        "Repositories",
        [[Text(each["repositoryName"]), Text(f"git clone {each['cloneUrlHttp']}")] for each in parts.repositories],
    )
    if parts.repositories:
        yield Text(f'  a shell needs the environment first: eval "$({console.command("env")})"', style="dim")
    rows = [[Text(name), cell(status), _waits(waiting)] for name, status, waiting in parts.pipelines]
    yield from _table("Deployments", rows)
    for name, status, waiting in parts.pipelines:
        if waiting or status == "Failed":
            yield Text(f"  {console.command(f'deployments show {name}')}", style="yellow")
    yield from _table("Models", [[Text(name), *_version(newest)] for name, newest in parts.groups])
    for _, newest in parts.groups:
        if newest and newest["ModelApprovalStatus"] == "PendingManualApproval":
            version = f"{newest['ModelPackageGroupName']}/{newest['ModelPackageVersion']}"
            yield Text(f"  {console.command(f'models approve {version}')}", style="yellow")
    rows = [[Text(each["EndpointName"]), cell(each["EndpointStatus"])] for each in parts.endpoints]
    yield from _table("Endpoints", rows)


def _table(title: str, rows: list[list[Text]]) -> Iterator[Text]:
    if rows:
        if title:
            yield Text(title, style="bold")
        for line in grid(rows).split("\n"):
            yield Text("  ").append_text(line)


def _waits(waiting: str) -> Text:
    return Text(f"waits for {waiting}" if waiting else "", style="yellow")


def _version(newest: Document | None) -> list[Text]:
    if newest is None:
        return [Text("there is no such group yet", style="yellow"), Text()]
    if not newest:
        return [Text("no version yet", style="dim"), Text()]
    return [Text(f"version {newest['ModelPackageVersion']}"), cell(newest["ModelApprovalStatus"])]
