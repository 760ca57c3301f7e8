"""Where model packages serve: endpoints and variants, each with what deployed it, and whether that is production.

Production is what `services.production` calls so: what a deployment pipeline deploys after a manual approval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.services.dispatch import Document
from modelwright.services.production import deployed, is_gated
from modelwright.studio.view import View

_MOST = 100
_ACTIONS = 100
_PIPELINE = "codepipeline"


@dataclass(frozen=True)
class Deployer:
    """What deploys an endpoint."""

    pipeline: str
    stage: str
    stack: str
    production: bool
    gated: bool
    """Whether the pipeline has a manual approval: what it deploys before that is staging."""
    run: Document | None
    """The action execution that did it last."""
    approved_by: str
    """Who approved that execution; empty where nobody had to."""

    @property
    def title(self) -> str:
        """`Production`, `Staging` or nothing."""
        return ("Production" if self.production else "Staging") if self.gated else ""


@dataclass(frozen=True)
class Whereabouts:
    """One variant of one endpoint that serves a model package."""

    package: str
    """Its ARN, in small letters."""
    endpoint: str
    status: str
    variant: str
    model: str
    deployer: Deployer | None

    @property
    def stage(self) -> str:
        """`Production`, `Staging` or nothing: texts of ours."""
        return self.deployer.title if self.deployer is not None else ""


async def of_packages(view: View) -> list[Whereabouts]:
    """Everything that serves a model package right now, production first."""
    endpoints = (await view.call("ListEndpoints", MaxResults=_MOST))["Endpoints"]
    if not endpoints:
        return []
    found = []
    deployed_by = await deployers(view)
    for each in endpoints:
        name = each["EndpointName"]
        endpoint = await view.find("DescribeEndpoint", EndpointName=name)
        if endpoint is None:
            continue
        config = await view.find("DescribeEndpointConfig", EndpointConfigName=endpoint["EndpointConfigName"])
        for variant in (config or {}).get("ProductionVariants", []):
            model = str(variant.get("ModelName", ""))
            for package in await _packages(view, model):
                found.append(
                    Whereabouts(
                        package, name, endpoint["EndpointStatus"], variant["VariantName"], model,
                        deployed_by.get(name.lower()),
                    )
                )  # fmt: skip
    order = {"Production": 0, "Staging": 1, "": 2}
    return sorted(found, key=lambda one: (order[one.stage], one.endpoint, one.variant))


async def _packages(view: View, model: str) -> list[str]:
    """The ARNs of the packages that a model's containers name."""
    document = await view.find("DescribeModel", ModelName=model) if model else None
    if document is None:
        return []
    containers = [document.get("PrimaryContainer", {}), *document.get("Containers", [])]
    names = [str(each["ModelPackageName"]) for each in containers if each.get("ModelPackageName")]
    found = []
    for name in dict.fromkeys(names):
        if not name.startswith("arn:"):
            package = await view.find("DescribeModelPackage", ModelPackageName=name)
            name = str((package or {}).get("ModelPackageArn", name))
        found.append(name.lower())
    return found


async def deployers(view: View, pipelines: Sequence[str] = ()) -> dict[str, Deployer]:
    """Endpoint, in small letters -> what deploys it; of these deployment pipelines, else of all."""
    found = {}
    names = pipelines or [
        each["name"] for each in (await view.call("ListPipelines", _PIPELINE, maxResults=_MOST))["pipelines"]
    ]
    for name in names:
        pipeline = await view.find("GetPipeline", _PIPELINE, name=name)
        if pipeline is None:
            continue
        declaration = pipeline["pipeline"]
        approved = dict(deployed(declaration))
        if not approved:
            continue
        runs = await _runs(view, name)
        for stack, stage in _stages(declaration):
            resources = await view.find("DescribeStackResources", "cloudformation", StackName=stack)
            for each in (resources or {}).get("StackResources", []):
                if each["ResourceType"] == "AWS::SageMaker::Endpoint" and each.get("PhysicalResourceId"):
                    endpoint = str(each["PhysicalResourceId"]).rpartition("/")[2].lower()
                    run = _last(runs, stage, stack)
                    by = _approver(runs, run) if approved[stack] else ""
                    found[endpoint] = Deployer(name, stage, stack, approved[stack], is_gated(declaration), run, by)
    return found


def _stages(declaration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(stack, the stage that deploys it)."""
    return [
        (action["configuration"]["StackName"], stage["name"])
        for stage in declaration["stages"]
        for action in stage["actions"]
        if action["actionTypeId"]["provider"] == "CloudFormation" and action.get("configuration", {}).get("StackName")
    ]


async def _runs(view: View, pipeline: str) -> list[Document]:
    """The newest action executions of a pipeline, the newest first."""
    found = await view.find("ListActionExecutions", _PIPELINE, pipelineName=pipeline, maxResults=_ACTIONS)
    runs: list[Document] = (found or {}).get("actionExecutionDetails", [])
    return runs


def _last(runs: list[Document], stage: str, stack: str) -> Document | None:
    """The newest run that has deployed the stack, else that tries to."""
    mine = [
        run
        for run in runs
        if run["stageName"] == stage
        and (run["input"].get("resolvedConfiguration") or run["input"].get("configuration", {})).get("StackName")
        == stack
    ]
    return next((run for run in mine if run["status"] == "Succeeded"), next(iter(mine), None))


def _approver(runs: list[Document], run: Document | None) -> str:
    """Who approved the execution of a run."""
    for each in runs:
        category = each["input"]["actionTypeId"]["category"]
        if run is not None and each["pipelineExecutionId"] == run["pipelineExecutionId"] and category == "Approval":
            return str(each.get("updatedBy", "")).rpartition("/")[2]
    return ""
