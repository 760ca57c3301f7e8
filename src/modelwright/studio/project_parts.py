"""What a project has made: repositories, pipelines, model group, endpoints, executions, found by its stack and tags."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from modelwright.services.dispatch import Document
from modelwright.studio import deployments, whereabouts
from modelwright.studio.runs import recent
from modelwright.studio.view import View
from modelwright.studio.whereabouts import Deployer

_PIPELINE = "codepipeline"
_TAG = "sagemaker:project-name"
_EXECUTIONS = 5
_REPOSITORIES = 1000


@dataclass
class Parts:
    """Everything of one project. Documents are AWS's, with what is said here."""

    template: str = ""
    product: str = ""
    """The template's id, where it is one of the catalogue's."""
    parameters: dict[str, str] = field(default_factory=dict)
    stack: str = ""
    stack_status: str = ""
    repositories: list[Document] = field(default_factory=list)
    """Repository metadata, with `head`: the default branch's last commit, or None."""
    deployments: list[Document] = field(default_factory=list)
    """`name`, `stages` (name and status), `asks` (approvals that wait), `latest`."""
    pipelines: list[Document] = field(default_factory=list)
    """SageMaker's, with `executions`."""
    groups: list[Document] = field(default_factory=list)
    """Model package groups, with `latest`: the newest version, or None."""
    endpoints: list[tuple[Document, Deployer]] = field(default_factory=list)
    others: list[Document] = field(default_factory=list)
    """The stack's other resources."""


async def of(view: View, project: Document) -> Parts:
    parts = Parts(stack=_stack(project))
    await _template(view, project, parts)
    stack = await view.find("DescribeStacks", "cloudformation", StackName=parts.stack)
    for each in (stack or {}).get("Stacks", []):
        parts.stack_status = each["StackStatus"]
    found = await view.find("DescribeStackResources", "cloudformation", StackName=parts.stack)
    resources: list[Document] = [each for each in (found or {}).get("StackResources", []) if _is_there(each)]
    for name in _named(resources, "AWS::CodePipeline::Pipeline"):
        await _deployment(view, name, parts)
    await asyncio.gather(
        _repositories(view, _named(resources, "AWS::CodeCommit::Repository"), parts),
        _groups(view, _named(resources, "AWS::SageMaker::ModelPackageGroup"), parts),
        _pipelines(view, project["ProjectName"], parts),
        _endpoints(view, parts),
    )
    shown = ("AWS::CodeCommit::Repository", "AWS::CodePipeline::Pipeline", "AWS::SageMaker::ModelPackageGroup")
    parts.others = [each for each in resources if each["ResourceType"] not in shown]
    return parts


def _stack(project: Document) -> str:
    """The name of the project's stack."""
    product = project.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductId")
    account = project["ProjectArn"].split(":")[4]
    return f"SC-{account}-{product}" if product else f"sagemaker-{project['ProjectName']}-{project['ProjectId']}"


async def _template(view: View, project: Document, parts: Parts) -> None:
    details = project.get("ServiceCatalogProvisioningDetails")
    if details is not None:
        given = details.get("ProvisioningParameters", [])
        product = await view.find("DescribeProduct", "servicecatalog", Id=details["ProductId"])
        parts.template, parts.product = details["ProductId"], ""
        if product is not None:
            parts.template, parts.product = product["ProductViewSummary"]["Name"], details["ProductId"]
    else:
        provider: dict[str, Any] = {}
        for each in project.get("TemplateProviderDetails", []):
            provider = each["CfnTemplateProviderDetail"]
        parts.template, given = provider.get("TemplateName", ""), provider.get("Parameters", [])
    parts.parameters = {each["Key"]: each.get("Value", "") for each in given}


def _is_there(resource: Document) -> bool:
    return bool(resource.get("PhysicalResourceId")) and not str(resource["ResourceStatus"]).startswith(
        "DELETE_COMPLETE"
    )


def _named(resources: list[Document], kind: str) -> list[str]:
    return [str(each["PhysicalResourceId"]) for each in resources if each["ResourceType"] == kind]


async def _repositories(view: View, wanted: list[str], parts: Parts) -> None:
    """By their ids, which is what a stack knows of them."""
    if not wanted:
        return
    found = await view.call("ListRepositories", "codecommit")
    names = [each["repositoryName"] for each in found["repositories"] if each["repositoryId"] in wanted]
    described = await asyncio.gather(*(_repository(view, name) for name in sorted(names)))  # each asks git
    parts.repositories += [each for each in described if each is not None]


async def _repository(view: View, name: str) -> Document | None:
    found = await view.find("GetRepository", "codecommit", repositoryName=name)
    if found is None:
        return None
    metadata = found["repositoryMetadata"]
    return {**metadata, "head": await _head(view, metadata)}


async def _head(view: View, metadata: Document) -> Document | None:
    branch = metadata.get("defaultBranch")
    if not branch:
        return None
    name = metadata["repositoryName"]
    found = await view.find("GetBranch", "codecommit", repositoryName=name, branchName=branch)
    if found is None:
        return None
    commit = await view.find("GetCommit", "codecommit", repositoryName=name, commitId=found["branch"]["commitId"])
    return None if commit is None else dict(commit["commit"])


async def _deployment(view: View, name: str, parts: Parts) -> None:
    state = await view.find("GetPipelineState", _PIPELINE, name=name)
    if state is None:
        return
    found = await view.find("ListPipelineExecutions", _PIPELINE, pipelineName=name, maxResults=1)
    waiting = {ask["stage"] for ask in deployments.asks(state)}
    stages = [
        {
            "name": stage["stageName"],
            "status": "PendingManualApproval"
            if stage["stageName"] in waiting
            else stage.get("latestExecution", {}).get("status", ""),
        }
        for stage in state["stageStates"]
    ]
    parts.deployments.append(
        {
            "name": name,
            "stages": stages,
            "asks": deployments.asks(state),
            "latest": next(iter((found or {}).get("pipelineExecutionSummaries", [])), None),
        }
    )


async def _groups(view: View, made: list[str], parts: Parts) -> None:
    """Those that the project made, and those that its parameters name."""
    named = [value for key, value in parts.parameters.items() if key.endswith("ModelPackageGroupName") and value]
    for each in dict.fromkeys([*(name.rpartition("/")[2] for name in made), *named]):
        group = await view.find("DescribeModelPackageGroup", ModelPackageGroupName=each)
        if group is not None:
            found = await view.call(
                "ListModelPackages", ModelPackageGroupName=group["ModelPackageGroupName"], MaxResults=1,
                SortOrder="Descending",
            )  # fmt: skip
            parts.groups.append({**group, "latest": next(iter(found["ModelPackageSummaryList"]), None)})


async def _pipelines(view: View, project: str, parts: Parts) -> None:
    """The SageMaker pipelines that carry the project's tag: its build makes them."""
    wanted = [{"Name": f"Tags.{_TAG}", "Operator": "Equals", "Value": project}]
    found = await view.call("Search", Resource="Pipeline", SearchExpression={"Filters": wanted}, MaxResults=20)
    for each in found["Results"]:
        pipeline = each["Pipeline"]
        executions = await recent(view, pipeline["PipelineName"], _EXECUTIONS)
        parts.pipelines.append({**pipeline, "executions": executions})


async def _endpoints(view: View, parts: Parts) -> None:
    """What the project's deployment pipelines deploy."""
    own = [each["name"] for each in parts.deployments]
    if not own:
        return
    for name, deployer in (await whereabouts.deployers(view, own)).items():
        endpoint = await view.find("DescribeEndpoint", EndpointName=name)
        if endpoint is not None:
            parts.endpoints.append((endpoint, deployer))
