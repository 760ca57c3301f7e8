"""What stands between a model and production, and what only an administrator may therefore change.

To approve is an administrator's (`services.access`); so must be what would make approving needless. A pipeline with a
manual approval is *gated*; a stack that a gated pipeline deploys after its approval is *production*, and so are that
stack's endpoints. Others than administrators may not change or delete a gated pipeline, open a transition that somebody
has closed in it, change production directly or by another pipeline, or change what an approved model package runs.
They may start and stop gated pipelines, retry their stages and change what they build: all of it meets the approval.

The platform may do what those do who set it to work: they were asked when they did (to delete a stack that holds a
gated pipeline is asked as the pipeline's deletion). What a pipeline deploys is asked of everybody, because a stack may
bring a pipeline along. Objects in S3
may be overwritten by whoever may write there, so what is approved is named by its ETag too: a model package notes its
model data's, an execution its artifacts', and what has become another is not deployed (`objects.tags`). What this can't
close: an ETag is an MD5, which two contents made for the purpose can share, and an image's tag can be moved to another
image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelwright.services.access import SERVICE
from modelwright.store.database import Database, Transaction
from modelwright.store.resources import Query, find_by_arn, find_resource, list_resources

_GATED = frozenset({"UpdatePipeline", "DeletePipeline", "EnableStageTransition", "RollbackStage"})
_STACKS = frozenset({
    "CreateStack", "UpdateStack", "DeleteStack", "ExecuteChangeSet", "ContinueUpdateRollback", "CancelUpdateStack",
    "RollbackStack", "UpdateTerminationProtection",
})  # fmt: skip
_ENDPOINTS = frozenset({"UpdateEndpoint", "DeleteEndpoint", "UpdateEndpointWeightsAndCapacities"})
_PROJECTS = frozenset({"DeleteProject", "UpdateProject"})
_CONTENTS = frozenset({
    "InferenceSpecification", "AdditionalInferenceSpecificationsToAdd", "SourceUri", "ModelCard",
})  # fmt: skip
_ALL = 10_000


@dataclass(frozen=True)
class Gates:
    """What the pipelines that there are stand before."""

    pipelines: frozenset[str] = frozenset()
    """The gated ones."""
    production: Mapping[str, str] = field(default_factory=dict)
    """Stack -> the gated pipeline that deploys it after an approval."""


class Production:
    """A rule of `services.guard.Guard`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, service: str, operation: str, parameters: Mapping[str, Any], role: str) -> str | None:
        """Why only an administrator may, or None."""
        if service == "codepipeline" and operation in {*_GATED, "CreatePipeline"}:
            return self._pipeline(operation, parameters, role)
        if role == SERVICE:
            return None
        if service == "cloudformation" and operation in _STACKS:
            return self._stack(parameters)
        if service != "sagemaker":
            return None
        if operation in _ENDPOINTS:
            return self._endpoint(str(parameters.get("EndpointName", "")))
        if operation in _PROJECTS:
            return self._project(str(parameters.get("ProjectName", "")))
        if operation == "UpdateModelPackage" and _CONTENTS & parameters.keys():
            return self._package(str(parameters["ModelPackageArn"]))
        return None

    def _pipeline(self, operation: str, parameters: Mapping[str, Any], role: str) -> str | None:
        with self._database.read() as transaction:
            gates = read_gates(transaction)
        declaration = parameters.get("pipeline", {})
        name = declaration.get("name") or parameters.get("name") or parameters.get("pipelineName")
        if operation in _GATED and role != SERVICE and name in gates.pipelines:
            return f"The pipeline {name} has a manual approval, which this could get round."
        for stack, _ in deployed(declaration):
            if gates.production.get(stack, name) != name:
                return f"The stack {stack} is deployed by {gates.production[stack]}, after an approval."
        return None

    def _stack(self, parameters: Mapping[str, Any]) -> str | None:
        with self._database.read() as transaction:
            return _why_not_stack(transaction, _stack_name(transaction, parameters))

    def _endpoint(self, name: str) -> str | None:
        with self._database.read() as transaction:
            for stack, pipeline in read_gates(transaction).production.items():
                if name.lower() in (each.lower() for each in _held(transaction, stack, "AWS::SageMaker::Endpoint")):
                    return f"The endpoint {name} is production: {pipeline} deploys it, after an approval."
        return None

    def _project(self, name: str) -> str | None:
        with self._database.read() as transaction:
            project = find_resource(transaction, "Project", name)
            if project is None:
                return None
            product = project.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductId")
            account = project["ProjectArn"].split(":")[4]
            stack = f"SC-{account}-{product}" if product else f"sagemaker-{name}-{project['ProjectId']}"
            return _why_not_stack(transaction, stack)

    def _package(self, arn: str) -> str | None:
        with self._database.read() as transaction:
            found = find_by_arn(transaction, arn)
        if found is None or found[2].get("ModelApprovalStatus") != "Approved":
            return None
        return f"{arn} is approved: what it runs stays as it was approved."


def read_gates(transaction: Transaction) -> Gates:
    """What all pipelines say."""
    pipelines, production = set(), {}
    for document in list_resources(transaction, Query("CodePipeline", limit=_ALL)).documents:
        declaration = document["pipeline"]
        if is_gated(declaration):
            pipelines.add(declaration["name"])
            production.update({stack: declaration["name"] for stack, approved in deployed(declaration) if approved})
    return Gates(frozenset(pipelines), production)


def is_gated(declaration: Mapping[str, Any]) -> bool:
    """Whether a pipeline has a manual approval."""
    return any(_is_approval(action) for stage in declaration.get("stages", []) for action in stage.get("actions", []))


def deployed(declaration: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The stacks that a pipeline deploys, in order, and whether each comes after an approval."""
    approved = False
    for stage in declaration.get("stages", []):
        for action in sorted(stage.get("actions", []), key=lambda action: int(action.get("runOrder", 1))):
            stack = action.get("configuration", {}).get("StackName")
            if stack and action.get("actionTypeId", {}).get("provider") == "CloudFormation":
                yield stack, approved
            approved = approved or _is_approval(action)


def _is_approval(action: Mapping[str, Any]) -> bool:
    return bool(action.get("actionTypeId", {}).get("category") == "Approval")


def _why_not_stack(transaction: Transaction, name: str) -> str | None:
    gates = read_gates(transaction)
    if name in gates.production:
        return f"The stack {name} is production: {gates.production[name]} deploys it, after an approval."
    for pipeline in _held(transaction, name, "AWS::CodePipeline::Pipeline"):
        if pipeline in gates.pipelines:
            return f"The stack {name} holds the pipeline {pipeline}, which has a manual approval."
    return None


def _stack_name(transaction: Transaction, parameters: Mapping[str, Any]) -> str:
    """The name of the stack that is meant, which may be given as an ARN, or by its change set's."""
    name = str(parameters.get("StackName", ""))
    if not name and "ChangeSetName" in parameters:
        found = find_by_arn(transaction, str(parameters["ChangeSetName"]))
        name = str(found[2].get("StackName", "")) if found is not None else ""
    return name.split("/")[1] if name.startswith("arn:") and name.count("/") > 1 else name


def _held(transaction: Transaction, stack: str, kind: str) -> list[str]:
    """The names of a stack's resources of a type."""
    document = find_resource(transaction, "Stack", stack)
    resources = document.get("_Resources", []) if document is not None else []
    found = [each for each in resources if each.get("ResourceType") == kind]
    return [str(each.get("PhysicalResourceId", "")).rpartition("/")[2] for each in found]
