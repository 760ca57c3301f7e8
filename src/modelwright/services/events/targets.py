"""Targets of rules: where events go, in which form, and what happens when they don't arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError, UnsupportedOperation, ValidationException
from modelwright.events.transformers import check_input
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.events.base import MOST_RULES, EventsService, LimitExceeded, bus_name, check_bus, find_rule
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.checks import check_unique
from modelwright.store.event_bus import RULE
from modelwright.store.resources import Query, list_resources, replace_resource

MOST_TARGETS = 5
"""Of a rule."""

KINDS = {
    "codepipeline": "a pipeline of CodePipeline",
    "sagemaker": "a SageMaker pipeline",
    "codebuild": "a project of CodeBuild",
    "logs": "a log group",
    "events": "an API destination",
    "sqs": "a queue",
}
_WITH_ROLE = ("codepipeline", "sagemaker", "codebuild")

_NOT_A_TARGET = refused(f"Targets here are {', '.join(KINDS.values())}: leave it out.")

PUT_MEMBERS: Table = {
    "Rule": HONOURED,
    "EventBusName": HONOURED,
    "Targets": {
        "Id": HONOURED,
        "Arn": HONOURED,
        "RoleArn": recorded("Targets are called with the platform's own rights."),
        "Input": HONOURED,
        "InputPath": HONOURED,
        "InputTransformer": HONOURED,
        "KinesisParameters": _NOT_A_TARGET,
        "RunCommandParameters": _NOT_A_TARGET,
        "EcsParameters": _NOT_A_TARGET,
        "BatchParameters": _NOT_A_TARGET,
        "SqsParameters": refused("Queues here are standard queues, which have no message groups: leave it out."),
        "HttpParameters": HONOURED,
        "RedshiftDataParameters": _NOT_A_TARGET,
        "SageMakerPipelineParameters": HONOURED,
        "DeadLetterConfig": HONOURED,
        "RetryPolicy": HONOURED,
        "AppSyncParameters": _NOT_A_TARGET,
    },
}

REMOVE_MEMBERS: Table = {
    "Rule": HONOURED,
    "EventBusName": HONOURED,
    "Ids": HONOURED,
    "Force": recorded("There are no rules here that a service of AWS manages."),
}


class Targets(EventsService):
    """PutTargets and what belongs to it."""

    @operation("PutTargets", members=PUT_MEMBERS)
    def put(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Add targets, or change those of the same id. All of them or, when one is refused, none."""
        bus, name, targets = bus_name(parameters), parameters["Rule"], parameters["Targets"]
        check_unique([target["Id"] for target in targets], "Targets", "Id")
        for target in targets:
            _check(context, target)
        with self.database.write() as transaction:
            rule = find_rule(transaction, bus, name, lock=True)
            merged = {target["Id"]: target for target in (*rule["_Targets"], *targets)}
            if len(merged) > MOST_TARGETS:
                raise LimitExceeded(f"Rule {name} would have {len(merged)} targets; the limit is {MOST_TARGETS}.")
            rule["_Targets"] = list(merged.values())
            replace_resource(transaction, RULE, f"{bus}/{name}", rule, modified=self.now())
            self.events.changed(transaction)
        return {"FailedEntryCount": 0, "FailedEntries": []}

    @operation("RemoveTargets", members=REMOVE_MEMBERS)
    def remove(self, _: Context, parameters: dict[str, Any]) -> Document:
        """An id that the rule does not have is a failed entry; the others are removed."""
        bus, name, ids = bus_name(parameters), parameters["Rule"], parameters["Ids"]
        with self.database.write() as transaction:
            rule = find_rule(transaction, bus, name, lock=True)
            present = {target["Id"] for target in rule["_Targets"]}
            rule["_Targets"] = [target for target in rule["_Targets"] if target["Id"] not in ids]
            replace_resource(transaction, RULE, f"{bus}/{name}", rule, modified=self.now())
            self.events.changed(transaction)
        failed = [
            {
                "TargetId": each,
                "ErrorCode": "ResourceNotFoundException",
                "ErrorMessage": f"Rule {name} does not have a target with the Id {each}.",
            }
            for each in dict.fromkeys(ids)
            if each not in present
        ]
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    @operation("ListTargetsByRule")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """All of them: there are few."""
        with self.database.read() as transaction:
            return {"Targets": find_rule(transaction, bus_name(parameters), parameters["Rule"])["_Targets"]}

    @operation("ListRuleNamesByTarget")
    def list_rules(self, _: Context, parameters: dict[str, Any]) -> Document:
        """All of them on one page: a bus has few."""
        bus, arn = bus_name(parameters), parameters["TargetArn"]
        with self.database.read() as transaction:
            check_bus(transaction, bus)
            page = list_resources(transaction, Query(RULE, parent=bus, sort="name", descending=False, limit=MOST_RULES))
        rules = [rule["Name"] for rule in page.documents if any(t["Arn"] == arn for t in rule["_Targets"])]
        return {"RuleNames": rules}


def _check(context: Context, target: Mapping[str, Any]) -> None:
    """Raises the AWS error for a target that can't be delivered to."""
    try:
        arn = Arn.parse(target["Arn"])
    except AwsError:
        raise ValidationException(
            f"Parameter {target['Arn']} is not valid. Reason: Provided Arn is not in correct format."
        ) from None
    if arn.account != context.account:
        raise ValidationException(f"Target {target['Id']}: {arn} is of another account than {context.account}.")
    if not _known(arn):
        raise UnsupportedOperation.member(
            "PutTargets", f"the target {target['Arn']}", f"Targets here are {', '.join(KINDS.values())}."
        )
    if arn.service in _WITH_ROLE and "RoleArn" not in target:
        raise ValidationException(f"RoleArn is required for target {target['Arn']}.")
    for member, service in (("HttpParameters", "events"), ("SageMakerPipelineParameters", "sagemaker")):
        if member in target and arn.service != service:
            raise ValidationException(f"Target {target['Id']}: {member} is for {KINDS[service]}, not for {arn}.")
    check_input(target)
    _check_dead_letters(target)


def _known(arn: Arn) -> bool:
    match arn.service:
        case "codepipeline" | "sqs":
            return "/" not in arn.resource and ":" not in arn.resource
        case "sagemaker":
            return arn.resource_type == "pipeline"
        case "codebuild":
            return arn.resource_type == "project"
        case "logs":
            return arn.resource_type == "log-group"
        case "events":
            return arn.resource_type == "api-destination"
        case _:
            return False


def _check_dead_letters(target: Mapping[str, Any]) -> None:
    given = target.get("DeadLetterConfig", {}).get("Arn")
    if given is None:
        return
    arn = Arn.parse(given)
    if arn.service != "sqs" or "/" in arn.resource or arn.resource.endswith(".fifo"):
        raise ValidationException(f"DeadLetterConfig.Arn of target {target['Id']} must be the ARN of a standard queue.")
