"""What it means to deliver an event to a target: one function for each service that can be one.

All but API destinations go through the one door, as a client would; where the call knows an idempotency token it gets
the delivery's, which is the same for every attempt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import Arn
from modelwright.engine.api_destinations import ApiDestinations, looked_up
from modelwright.engine.values import Call
from modelwright.errors import AwsError, ValidationException
from modelwright.events.envelopes import timestamp
from modelwright.events.transformers import Origin, make_input
from modelwright.lifecycles.delivery import Delivery


class Targets:
    """Delivers."""

    def __init__(self, *, call: Call, destinations: ApiDestinations) -> None:
        self._call = call
        self._destinations = destinations

    def deliver(self, delivery: Delivery) -> float | None:
        """Do it now. Returns the time at which to try when it may not be done yet. Raises AwsError."""
        arn = Arn.parse(delivery.target["Arn"])
        origin = Origin(delivery.rule_name, delivery.rule_arn, timestamp(delivery.created))
        text = make_input(delivery.target, dict(delivery.event), origin)
        if arn.service == "events":
            return self._destinations.deliver(delivery, arn, text)
        _TARGETS[arn.service](self._call, delivery, arn, text)
        return None


def _codepipeline(call: Call, delivery: Delivery, arn: Arn, text: str) -> None:
    """A constant or transformed input may hold `variables` and `sourceRevisions`."""
    parameters = _given(delivery, text, "variables", "sourceRevisions")
    parameters |= {"name": arn.resource, "clientRequestToken": delivery.token}
    call(arn.region, "codepipeline", "StartPipelineExecution", parameters)


def _sagemaker(call: Call, delivery: Delivery, arn: Arn, text: str) -> None:
    """The pipeline's parameters are the target's; a value that is a JSON path is looked up in the event."""
    given = delivery.target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    parameters: dict[str, Any] = {"PipelineName": str(arn), "ClientRequestToken": delivery.token}
    if given:
        parameters["PipelineParameters"] = [
            {"Name": each["Name"], "Value": looked_up(each["Value"], delivery)} for each in given
        ]
    call(arn.region, "sagemaker", "StartPipelineExecution", parameters)


def _codebuild(call: Call, delivery: Delivery, arn: Arn, text: str) -> None:
    """A constant or transformed input may hold other members of StartBuild."""
    parameters = _given(delivery, text)
    initiator = {"name": "CODEBUILD_INITIATOR", "value": f"rule/{delivery.rule_name}"}  # as CodeBuild tells it
    variables = [*parameters.get("environmentVariablesOverride", []), initiator]
    parameters |= {"projectName": arn.name, "idempotencyToken": delivery.token}
    parameters["environmentVariablesOverride"] = variables
    call(arn.region, "codebuild", "StartBuild", parameters)


def _logs(call: Call, delivery: Delivery, arn: Arn, text: str) -> None:
    """A stream for each event, named by the token: whether it holds a line says whether it was delivered."""
    group = arn.resource.removeprefix("log-group:").removesuffix(":*")
    place = {"logGroupName": group, "logStreamName": delivery.token}
    try:
        call(arn.region, "logs", "CreateLogStream", place)
    except AwsError as error:
        if error.code != "ResourceAlreadyExistsException":
            raise
        if call(arn.region, "logs", "GetLogEvents", {**place, "limit": 1, "startFromHead": True})["events"]:
            return
    time = int(delivery.created * 1000)
    if "InputTransformer" in delivery.target and isinstance(found := json.loads(text), dict) and "message" in found:
        text = found["message"] if isinstance(found["message"], str) else json.dumps(found["message"])
        time = found["timestamp"] if isinstance(found.get("timestamp"), int) else time
    call(arn.region, "logs", "PutLogEvents", {**place, "logEvents": [{"timestamp": time, "message": text}]})


def _sqs(call: Call, delivery: Delivery, arn: Arn, text: str) -> None:
    url = call(arn.region, "sqs", "GetQueueUrl", {"QueueName": arn.resource})["QueueUrl"]
    call(arn.region, "sqs", "SendMessage", {"QueueUrl": url, "MessageBody": text})


_TARGETS: Mapping[str, Callable[[Call, Delivery, Arn, str], None]] = {
    "codepipeline": _codepipeline,
    "sagemaker": _sagemaker,
    "codebuild": _codebuild,
    "logs": _logs,
    "sqs": _sqs,
}


def _given(delivery: Delivery, text: str, *members: str) -> dict[str, Any]:
    """What the target's own input says; an event as it is says nothing to the target."""
    if "Input" not in delivery.target and "InputTransformer" not in delivery.target:
        return {}
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValidationException(f"The input of target {delivery.target['Id']} is not a JSON object.")
    unknown = [name for name in found if members and name not in members]
    if unknown:
        raise ValidationException(f"The target's input has {', '.join(unknown)}; it may have {', '.join(members)}.")
    return found
