"""Who may do what: what each operation is, and which roles may. Pure; the one door asks it about every call.

An operation *reads*, is *use* (it runs or feeds something that is there, and changes nothing that is managed), or
*changes*. Which of them is told by its name's first word, as AWS names its operations, with few exceptions by name. A
name that begins with a word unknown here counts as a change, so that what is new is kept from viewers until somebody
has looked at it; a test wants every supported operation classified.

- An *admin* may do all.
- A *developer* may do all but decide: approve (or reject) model packages and deployments, change what stands between
  a model and production, manage users.
- A *viewer* reads.
- A *job* is code in a training job, processing job or endpoint: it reads and writes data and logs, and makes SageMaker
  resources, but deletes none. A *build* is a job that may also bring images.
- The *service* is the platform itself, acting for a pipeline, a stack or a rule. It may do what a developer may: a
  decision needs somebody's name. Acting for an administrator it may do what an administrator may.
- Without a role one may only ask who one is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Literal

Effect = Literal["read", "use", "change"]

ADMIN, DEVELOPER, VIEWER = "admin", "developer", "viewer"
JOB, BUILD, SERVICE = "job", "build", "service"
ROLES = (ADMIN, DEVELOPER, VIEWER)
"""The roles that users have, the mightiest first."""

READS = frozenset({
    "Check", "Describe", "Detect", "Evaluate", "Filter", "Get", "Head", "List", "Lookup", "Search", "Simulate", "Test",
    "Validate",
})  # fmt: skip
CHANGES = frozenset({
    "Abort", "Acknowledge", "Activate", "Add", "Apply", "Associate", "Attach", "Cancel", "Complete", "Continue",
    "Copy", "Create", "Deactivate", "Deauthorize", "Delete", "Deregister", "Detach", "Disable", "Disassociate",
    "Enable", "Execute", "Import", "Initiate", "Invalidate", "Merge", "Modify", "Override", "Post", "Purge", "Put",
    "Receive", "Register", "Remove", "Restore", "Resume", "Retry", "Rollback", "Send", "Set", "Signal", "Start",
    "Stop", "Suspend", "Tag", "Untag", "Update", "Upload",
})  # fmt: skip
EXCEPTIONS: Mapping[tuple[str, str], Effect] = {
    ("cloudwatch", "PutMetricData"): "use",
    ("codecommit", "GitPull"): "read",
    ("codecommit", "GitPush"): "change",
    ("logs", "PutLogEvents"): "use",
    ("logs", "StartQuery"): "read",
    ("logs", "StopQuery"): "read",
    ("s3", "AbortMultipartUpload"): "use",
    ("s3", "CreateMultipartUpload"): "use",
    ("s3", "UploadPart"): "use",
    ("s3", "UploadPartCopy"): "use",
    ("sagemaker-metrics", "BatchPutMetrics"): "use",
    ("sagemaker-runtime", "InvokeEndpoint"): "use",
    ("sagemaker-runtime", "InvokeEndpointAsync"): "use",
    ("sagemaker-runtime", "InvokeEndpointWithResponseStream"): "use",
}
"""What the first word gets wrong. An object that is uploaded in parts changes at its CompleteMultipartUpload."""

_FIRST_WORD = re.compile(r"[A-Z][a-z0-9]*")
_OF_USERS = re.compile(r"User|AccessKey|Group|LoginProfile|MFADevice|SSHPublicKey|SigningCertificate|ServiceSpecific")

DECISIONS = frozenset({"Approved", "Rejected"})

_READ_OF_JOBS = frozenset(
    {"cloudformation", "codecommit", "ecr", "iam", "logs", "s3", "sagemaker", "sts", "cloudwatch"}
)
_JOB = {
    "s3": re.compile(
        r"(Put|Copy|Delete)Objects?(Tagging)?|CreateBucket|(Create|Complete|Abort)MultipartUpload|UploadPart.*"
    ),
    "logs": re.compile(r"CreateLog(Group|Stream)|PutLogEvents|(Put|Delete)RetentionPolicy"),
    "cloudwatch": re.compile(r"PutMetricData"),
    "sagemaker": re.compile(
        r"(Create|Start|Stop|Retry)\w+|AddTags|Update(Pipeline\w*|ModelPackage|Experiment|Trial\w*)|AssociateTrialComponent"
    ),
    "sagemaker-runtime": re.compile(r"Invoke\w+"),
    "sagemaker-metrics": re.compile(r"BatchPutMetrics"),
    "events": re.compile(r"PutEvents"),
}
_NOT_OF_JOBS = re.compile(
    r"(Create|Delete|Update)(Project|Endpoint\w*|Domain|UserProfile|Space|App|Presigned\w*|Notebook\w*)"
    r"|(Start|Stop)Notebook\w*"
)
_BUILD = {
    **_JOB,
    "ecr": re.compile(
        r"CreateRepository|PutImage|InitiateLayerUpload|UploadLayerPart|CompleteLayerUpload|BatchCheckLayerAvailability"
    ),
    "codebuild": re.compile(r"(CreateReport\w*|UpdateReport|BatchPutTestCases|BatchPutCodeCoverages)"),
}


def role_of(groups: Collection[str]) -> str:
    """The mightiest of a user's groups; empty without one."""
    return next((role for role in ROLES if role in groups), "")


@cache
def effect(service: str, operation: str) -> Effect:
    """What an operation does to what is stored; `change` where nobody knows."""
    return known_effect(service, operation) or "change"


def known_effect(service: str, operation: str) -> Effect | None:
    """The same; None where the name tells nothing."""
    if (service, operation) in EXCEPTIONS:
        return EXCEPTIONS[service, operation]
    word = _FIRST_WORD.match(operation.removeprefix("Batch"))  # BatchGetBuilds reads as GetBuild does
    if word is None:
        return None
    return "read" if word[0] in READS else "change" if word[0] in CHANGES else None


def allows(role: str, service: str, operation: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a role may, as far as the operation and its parameters tell."""
    if role == ADMIN or (service, operation) == ("sts", "GetCallerIdentity"):
        return True
    does = effect(service, operation)
    if role in (DEVELOPER, SERVICE):
        return does == "read" or not is_reserved(service, operation, parameters)
    if role == VIEWER:
        return does == "read"
    if role in (JOB, BUILD):
        return _job_may(_JOB if role == JOB else _BUILD, does, service, operation, parameters)
    return False


def is_reserved(service: str, operation: str, parameters: Mapping[str, Any]) -> bool:
    """Whether this is an administrator's alone: users, and the decisions."""
    if service == "iam":
        return _OF_USERS.search(operation) is not None
    if service == "codepipeline":
        return operation in ("PutApprovalResult", "OverrideStageCondition")
    if service == "sagemaker":
        return decides(operation, parameters)
    return False


def decides(operation: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a call on a model package is an approval, a rejection or the withdrawal of one.

    A package that is made as waiting is no decision; changing the status of one that is there always is.
    """
    stage = parameters.get("ModelLifeCycle")
    if isinstance(stage, Mapping) and stage.get("StageStatus") in DECISIONS:
        return operation in ("CreateModelPackage", "UpdateModelPackage")
    if operation == "CreateModelPackage":
        return parameters.get("ModelApprovalStatus") in DECISIONS
    return operation == "UpdateModelPackage" and "ModelApprovalStatus" in parameters


def _job_may(
    table: Mapping[str, re.Pattern[str]], does: Effect, service: str, operation: str, parameters: Mapping[str, Any]
) -> bool:
    if does == "read" and service in _READ_OF_JOBS:
        return True
    if is_reserved(service, operation, parameters):
        return False
    if service == "sagemaker" and _NOT_OF_JOBS.fullmatch(operation):
        return False
    allowed = table.get(service)
    return allowed is not None and allowed.fullmatch(operation) is not None
