"""What a call is about: the resource that it names, its ARN and CloudTrail's word for its type. Pure.

AWS's operations name their resource in a member that is called after it (`DeleteModel`: `ModelName`), so one rule and
a short table of ARN forms do for all of them. It is for messages and for the audit: nothing is decided by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from modelwright.arns import PARTITION

ACTION_PREFIXES = {
    "sagemaker-runtime": "sagemaker",
    "sagemaker-metrics": "sagemaker",
    "sagemaker-featurestore-runtime": "sagemaker",
}
"""What IAM calls a service where that is not botocore's name of it."""

_ACTIONS = {
    "ListBuckets": "ListAllMyBuckets",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}
"""IAM's names of S3's operations."""

_ARNS = {
    "codepipeline": "{name}",
    "codecommit": "{name}",
    "codebuild": "project/{name}",
    "cloudformation": "stack/{name}/*",
    "events": "rule/{name}",
    "ecr": "repository/{name}",
    "logs": "log-group:{name}",
}
_GLOBAL = ("iam", "s3", "sts")
_SERVICES = {
    "sagemaker": "SageMaker", "sagemaker-runtime": "SageMaker", "iam": "IAM", "logs": "Logs", "ecr": "ECR",
    "codepipeline": "CodePipeline", "codecommit": "CodeCommit", "codebuild": "CodeBuild",
    "cloudformation": "CloudFormation", "events": "Events", "cloudwatch": "CloudWatch",
}  # fmt: skip
_FIRST_WORD = re.compile(r"^(?:Batch)?[A-Z][a-z0-9]*")


@dataclass(frozen=True)
class Subject:
    """The resource of a call: `type` as CloudTrail has it (`AWS::SageMaker::Model`). Empty where none is named."""

    type: str
    name: str
    arn: str


def action(service: str, operation: str) -> str:
    """IAM's name of an operation: `sagemaker:UpdateModelPackage`."""
    if service == "s3":
        return f"s3:{_ACTIONS.get(operation, operation)}"
    return f"{ACTION_PREFIXES.get(service, service)}:{operation}"


def subject(service: str, operation: str, parameters: Mapping[str, Any], region: str, account: str) -> Subject:
    """What a call is about."""
    if service == "s3":
        return _of_s3(parameters)
    noun, name = _named(operation, parameters)
    prefix = ACTION_PREFIXES.get(service, service)
    kind = f"AWS::{_SERVICES.get(service, service)}::{noun}"
    if name.startswith("arn:"):
        return Subject(kind, name, name)
    if not name:
        return Subject("", "", "*")
    place = f"arn:{PARTITION}:{prefix}:{'' if service in _GLOBAL else region}:{account}:"
    return Subject(kind, name, place + _ARNS.get(service, f"{_dashed(noun)}/{{name}}").replace("{name}", name))


def _of_s3(parameters: Mapping[str, Any]) -> Subject:
    bucket, key = parameters.get("Bucket", ""), parameters.get("Key", "")
    if not bucket:
        return Subject("", "", "*")
    path = f"{bucket}/{key}" if key else bucket
    return Subject("AWS::S3::Object" if key else "AWS::S3::Bucket", path, f"arn:{PARTITION}:s3:::{path}")


def _named(operation: str, parameters: Mapping[str, Any]) -> tuple[str, str]:
    """(noun, name): the noun is the member's where the operation's own is not among them."""
    noun = _FIRST_WORD.sub("", operation)
    texts = dict(_texts(parameters))
    lower = {key.lower(): value for key, value in texts.items()}
    for word in dict.fromkeys((noun, noun.removesuffix("s"))):
        for suffix in ("Name", "Arn", "Id"):
            if lower.get(f"{word}{suffix}".lower()):
                return word, lower[f"{word}{suffix}".lower()]
    for key, value in texts.items():
        for suffix in ("Name", "Arn", "ARN", "Id"):
            if key.endswith(suffix) and value:
                stem = key[: -len(suffix)]
                return (stem[:1].upper() + stem[1:]) or noun, value
    return noun, lower.get("name", "")


def _texts(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The members that are texts; of a member like `pipeline: {name: ...}` what it holds."""
    for key, value in parameters.items():
        if isinstance(value, str):
            if "token" not in key.lower():
                yield key, value
        elif isinstance(value, Mapping) and isinstance(value.get("name"), str):
            yield f"{key}Name", value["name"]


@cache
def _dashed(noun: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", noun).lower()
