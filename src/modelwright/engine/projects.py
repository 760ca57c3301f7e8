"""Projects, driven: seed code to S3, the stack by CloudFormation's own calls, and all of it away again.

Names and tokens are made of the project alone, so a call that is repeated after a crash finds what it made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from modelwright.arns import Arn
from modelwright.engine.values import Call
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, ConfigurationError
from modelwright.lifecycles import project as lifecycle
from modelwright.lifecycles.job import Effect, Fact
from modelwright.lifecycles.project import Project
from modelwright.objects.base import ObjectStore
from modelwright.store.database import Transaction
from modelwright.store.history import Event
from modelwright.store.resources import delete_resource, find_resource, replace_resource

KIND = "Project"
SEED_BUCKET = "sagemaker-servicecatalog-seedcode-{region}"
TAG = "sagemaker:project-id"
"""Stacks that a project's pipelines deploy carry it; they go with the project."""
_REASON_LIMIT = 2048
_PAGE = 1000
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]


class Seeds(Protocol):
    """Where seed code comes from."""

    def __call__(self, template: str, seed: str) -> bytes:
        """A zip. Raises AwsError or ConfigurationError."""
        ...


def no_seeds(template: str, seed: str) -> bytes:
    """Where there are no templates."""
    raise ConfigurationError(f"There is no seed code '{seed}' of the project template '{template}' here.")


class Projects:
    """The driver of streams of kind `Project`."""

    kind = KIND

    def __init__(self, *, objects: ObjectStore, call: Call, seeds: Seeds, now: Callable[[], float]) -> None:
        self._objects = objects
        self._call = call
        self._seeds = seeds
        self._now = now

    # The state machine

    def begin(self, stream: str) -> Project:
        return Project()

    def apply(self, state: Project, event: Event) -> Project:
        return lifecycle.apply(state, event.kind, event.data)

    def decide(self, state: Project, now: float) -> Sequence[Fact]:
        return []

    def outstanding(self, state: Project) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Project) -> bool:
        return lifecycle.ended(state)

    def recover(self, stream: str, state: Project) -> None:
        """Nothing is held in memory."""

    def record(self, transaction: Transaction, stream: str, state: Project, events: Sequence[Event]) -> None:
        if state.phase == "Gone":
            delete_resource(transaction, KIND, state.name)
            return
        document = find_resource(transaction, KIND, state.name, lock=True)
        if document is None:
            return
        new = described(document, state)
        if new != document:
            new["LastModifiedTime"] = self._now()
            replace_resource(
                transaction, KIND, state.name, new, modified=new["LastModifiedTime"], status=new["ProjectStatus"]
            )

    def perform(self, work: Work) -> Sequence[Fact] | None:
        try:
            return _EFFECTS[work.effect.kind](self, work, work.state)
        except (AwsError, ConfigurationError) as error:
            return [_failed(str(error))]

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        return [_failed(f"InternalServerError: {work.effect.kind} failed: {type(error).__name__}: {error}")]

    def closed(self, stream: str, state: Project) -> None:
        """Nothing is left behind."""

    # Effects

    def _seed(self, work: Work, project: Project) -> Sequence[Fact]:
        names = project.plan.get("Seeds", [])
        bucket = SEED_BUCKET.format(region=project.region)
        if names:
            self._make_bucket(project.region, bucket)
        for name in names:
            self._objects.put_bytes(bucket, f"{name}.zip", self._seeds(project.plan["Template"], name))
        return [("Seeded", {})]

    def _stack(self, work: Work, project: Project) -> Sequence[Fact]:
        wanted: dict[str, Any] = {
            "StackName": project.stack_name,
            **{key: project.plan[key] for key in ("TemplateBody", "TemplateURL") if key in project.plan},
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in project.plan["Parameters"].items()
            ],
            "Tags": project.plan["Tags"],
            "Capabilities": _CAPABILITIES,
            "ClientRequestToken": f"{project.id}-{project.round}",
        }
        if project.verb == "Create":
            return [("StackRequested", {"StackId": self._create(project, wanted)})]
        try:
            answer = self._cloudformation(project, "UpdateStack", wanted)
        except AwsError as error:
            if "No updates are to be performed" in error.message:
                return [("Ended", {})]
            raise
        return [("StackRequested", {"StackId": answer["StackId"]})]

    def _await(self, work: Work, project: Project) -> Sequence[Fact] | None:
        """The stack's own end, good or bad."""
        work.resume_on(_stream(project.stack_id))
        status = self._status(project, project.stack_id)
        if status in (None, f"{project.verb.upper()}_COMPLETE"):
            if project.verb == "Delete" and (owed := self._undeploy(work, project)) != []:
                return owed  # its pipeline was at it while it was deleted
            return [("Ended", {})]
        if status.endswith("IN_PROGRESS"):
            return None
        if project.verb == "Delete" and project.stack_id not in project.asked:
            return [self._delete(project, project.stack_id)]
        return [_failed(f"The stack {project.stack_name} is {status}: {self._why(project, project.stack_id)}")]

    def _clear(self, work: Work, project: Project) -> Sequence[Fact] | None:
        """What was deployed, first; then what lies in the buckets that the stack made."""
        owed = self._undeploy(work, project)
        if owed != []:
            return owed
        for bucket in self._buckets(project):
            self._empty(project.region, bucket)
        return [("Cleared", {})]

    def _undeploy(self, work: Work, project: Project) -> Sequence[Fact] | None:
        """Delete the stacks that its pipelines have deployed. None: it is being done; empty: there are none."""
        for stack in list(self._deployed(project)):
            identity = stack["StackId"]
            work.resume_on(_stream(identity))
            status = self._status(project, identity)
            if status in (None, "DELETE_COMPLETE"):
                continue
            if status.endswith("_IN_PROGRESS"):
                return None
            if identity not in project.asked:
                return [self._delete(project, identity)]
            return [_failed(f"The stack {stack['StackName']} is {status}: {self._why(project, identity)}")]
        return []

    def _delete(self, project: Project, stack: str) -> Fact:
        self._cloudformation(project, "DeleteStack", {"StackName": stack})
        return ("StackDeletionRequested", {"StackId": stack})

    # Calls

    def _cloudformation(self, project: Project, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return self._call(project.region, "cloudformation", operation, parameters)

    def _create(self, project: Project, wanted: Mapping[str, Any]) -> str:
        try:
            return str(self._cloudformation(project, "CreateStack", wanted)["StackId"])
        except AwsError as error:
            if error.code != "AlreadyExistsException":
                raise
            return str(self._describe(project, project.stack_name)["StackId"])

    def _describe(self, project: Project, stack: str) -> dict[str, Any]:
        found: dict[str, Any] = self._cloudformation(project, "DescribeStacks", {"StackName": stack})["Stacks"][0]
        return found

    def _status(self, project: Project, stack: str) -> str | None:
        try:
            return str(self._describe(project, stack)["StackStatus"])
        except AwsError as error:
            if "does not exist" in error.message:
                return None
            raise

    def _why(self, project: Project, stack: str) -> str:
        """The first resource that failed, in its own words."""
        events = self._cloudformation(project, "DescribeStackEvents", {"StackName": stack})["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        told = [event for event in failed if "cancelled" not in event.get("ResourceStatusReason", "")]
        first = min(told or failed or events, key=lambda event: event["Timestamp"])
        return f"{first['LogicalResourceId']}: {first.get('ResourceStatusReason', first['ResourceStatus'])}"

    def _deployed(self, project: Project) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = self._cloudformation(project, "DescribeStacks", token)
            for stack in page["Stacks"]:
                tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
                if tags.get(TAG) == project.id and stack["StackId"] != project.stack_id:
                    yield stack
            if "NextToken" not in page:
                return
            token = {"NextToken": page["NextToken"]}

    def _buckets(self, project: Project) -> list[str]:
        if not project.stack_id or self._status(project, project.stack_id) in (None, "DELETE_COMPLETE"):
            return []
        found = self._cloudformation(project, "DescribeStackResources", {"StackName": project.stack_id})
        return [
            resource["PhysicalResourceId"]
            for resource in found["StackResources"]
            if resource["ResourceType"] == "AWS::S3::Bucket" and resource.get("PhysicalResourceId")
        ]

    def _empty(self, region: str, bucket: str) -> None:
        try:
            keys = [info.key for info in self._objects.list(bucket)]
        except AwsError as error:
            if error.code == "NoSuchBucket":
                return
            raise
        for start in range(0, len(keys), _PAGE):
            objects = [{"Key": key} for key in keys[start : start + _PAGE]]
            self._call(region, "s3", "DeleteObjects", {"Bucket": bucket, "Delete": {"Objects": objects, "Quiet": True}})

    def _make_bucket(self, region: str, bucket: str) -> None:
        try:
            self._call(region, "s3", "CreateBucket", {"Bucket": bucket})
        except AwsError as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise


_EFFECTS: Mapping[str, Callable[[Projects, Work, Project], Sequence[Fact] | None]] = {
    "seed": Projects._seed,
    "stack": Projects._stack,
    "await": Projects._await,
    "clear": Projects._clear,
}


def described(document: Mapping[str, Any], project: Project) -> dict[str, Any]:
    """The document that DescribeProject answers, in this state."""
    message = project.reason or {"Settled": "", "Gone": ""}.get(project.phase, f"{project.verb} is in progress.")
    new = {**document, "ProjectStatus": project.status}
    if "TemplateProviderDetails" in document:
        detail = dict(document["TemplateProviderDetails"][0]["CfnTemplateProviderDetail"])
        stack = {
            "Name": project.stack_name,
            "Id": project.stack_id,
            "StatusMessage": message or "The stack is complete.",
        }
        detail["StackDetail"] = {key: value for key, value in stack.items() if value}
        new["TemplateProviderDetails"] = [{"CfnTemplateProviderDetail": detail}]
    else:
        product = {**document["ServiceCatalogProvisionedProductDetails"], "ProvisionedProductStatusMessage": message}
        new["ServiceCatalogProvisionedProductDetails"] = {key: value for key, value in product.items() if value}
    if project.stack_id:
        new["_StackId"] = project.stack_id
    return new


def _stream(stack_id: str) -> str:
    return f"stack/{Arn.parse(stack_id).resource.rpartition('/')[2]}"


def _failed(reason: str) -> Fact:
    return ("Failed", {"Reason": reason[:_REASON_LIMIT]})
