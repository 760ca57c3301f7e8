"""The events that SageMaker sends when a state has changed, with AWS's field names. Pure.

Most details are the document that Describe answers, but times and some states are written otherwise: of jobs and
endpoints as milliseconds, of packages and executions as text; an endpoint `InService` is `IN_SERVICE`.
Source: "Events that Amazon SageMaker AI sends to Amazon EventBridge".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.events.envelopes import timestamp

SOURCE = "aws.sagemaker"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What has happened: an event without its envelope. The first resource says the region."""

    detail_type: str
    detail: Document
    resources: tuple[str, ...]


def model_package(document: Document, updated: Sequence[str] = ()) -> Change:
    """`updated` names the members that UpdateModelPackage has changed."""
    detail = _written(document, timestamp)
    if "ModelPackageVersion" in document:
        detail.pop("ModelPackageName", None)  # it is AWS's for packages without a group
    if updated:
        detail["UpdatedModelPackageFields"] = list(updated)
    return Change("SageMaker Model Package State Change", detail, (document["ModelPackageArn"],))


def training_job(document: Document) -> Change:
    detail = {**_written(document, _milliseconds), "Tags": {}}
    return Change("SageMaker Training Job State Change", detail, (document["TrainingJobArn"],))


def processing_job(document: Document) -> Change:
    detail = _written(document, _milliseconds)
    return Change("SageMaker Processing Job State Change", detail, (document["ProcessingJobArn"],))


def endpoint(document: Document) -> Change:
    status = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", document["EndpointStatus"]).upper()
    detail = {**_written(document, _milliseconds), "EndpointStatus": status, "Tags": {}}
    return Change("SageMaker Endpoint State Change", detail, (document["EndpointArn"],))


def model(document: Document) -> Change:
    detail = {**_written(document, _milliseconds), "Tags": {}}
    return Change("SageMaker Model State Change", detail, (document["ModelArn"],))


def endpoint_config(document: Document) -> Change:
    detail = {**_written(document, _milliseconds), "Tags": {}}
    return Change("SageMaker Endpoint Config State Change", detail, (document["EndpointConfigArn"],))


def pipeline_execution(document: Document, status: str, previous: str | None, ended: float | None = None) -> Change:
    """`document` as DescribePipelineExecution answers it."""
    pipeline, execution = document["PipelineArn"], document["PipelineExecutionArn"]
    detail = {
        "pipelineExecutionDisplayName": document.get("PipelineExecutionDisplayName"),
        "currentPipelineExecutionStatus": status,
        "previousPipelineExecutionStatus": previous,
        "executionStartTime": timestamp(document["CreationTime"]),
        "executionEndTime": None if ended is None else timestamp(ended),
        "pipelineExecutionDescription": document.get("PipelineExecutionDescription"),
        "failureReason": document.get("FailureReason"),
        "pipelineArn": pipeline,
        "pipelineExecutionArn": execution,
    }
    kind = "SageMaker Model Building Pipeline Execution Status Change"
    return Change(kind, _present(detail), (pipeline, execution))


def pipeline_step(
    *,
    pipeline: str,
    execution: str,
    name: str,
    type: str,
    status: str,
    previous: str | None,
    started: float,
    ended: float | None,
    metadata: Document,
    failure_reason: str | None,
    cache_hit: str | None,
) -> Change:
    """`pipeline`, `execution` and `cache_hit` are ARNs."""
    detail = {
        "metadata": _lower(metadata),
        "stepStartTime": timestamp(started),
        "stepEndTime": None if ended is None else timestamp(ended),
        "stepName": name,
        "stepType": type,
        "previousStepStatus": previous,
        "currentStepStatus": status,
        "failureReason": failure_reason,
        "cacheHitResult": None if cache_hit is None else {"sourcePipelineExecutionArn": cache_hit},
        "pipelineArn": pipeline,
        "pipelineExecutionArn": execution,
    }
    kind = "SageMaker Model Building Pipeline Execution Step Status Change"
    return Change(kind, _present(detail), (pipeline, execution))


def _written(value: Any, time: Any) -> Any:
    """Without our own members, its times (epoch seconds) as `time` writes them."""
    if isinstance(value, Mapping):
        return {
            name: time(item)
            if name.endswith("Time") and isinstance(item, int | float) and not isinstance(item, bool)
            else _written(item, time)
            for name, item in value.items()
            if not name.startswith("_")
        }
    return [_written(item, time) for item in value] if isinstance(value, list) else value


def _milliseconds(time: float) -> int:
    return int(time * 1000)


def _present(detail: Document) -> Document:
    return {name: value for name, value in detail.items() if value is not None}


def _lower(value: Any) -> Any:
    """Members of a step's metadata begin with a small letter here."""
    if isinstance(value, Mapping):
        return {name[:1].lower() + name[1:]: _lower(item) for name, item in value.items()}
    return value
