"""What kinds of values the properties of a type take, asked before anything is made of them.

Only as far as the code that makes them looks inside; all else is refused by the operations that get it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.errors import ValidationException

NAME, SCALAR, DOCUMENT = "a string", "a value", "an object or its JSON text"
_TAGS = [{"Key": NAME, "Value": SCALAR}]
_POLICY = {"PolicyName": NAME, "PolicyDocument": DOCUMENT}

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "AWS::Logs::LogGroup": {"RetentionInDays": SCALAR, "LogGroupClass": SCALAR},
    "AWS::S3::Bucket": {
        **{"AccessControl": SCALAR, "PublicAccessBlockConfiguration": {}, "BucketEncryption": {}},
        **{"OwnershipControls": {}, "NotificationConfiguration": {"EventBridgeConfiguration": {}}},
    },
    "AWS::IAM::Role": {
        **{"AssumeRolePolicyDocument": DOCUMENT, "ManagedPolicyArns": [NAME], "Policies": [_POLICY]},
        **{"MaxSessionDuration": SCALAR, "Description": SCALAR, "Path": SCALAR},
    },
    "AWS::IAM::Policy": {**_POLICY, "Roles": [NAME], "Users": [NAME], "Groups": [NAME]},
    "AWS::SageMaker::ModelPackageGroup": {"ModelPackageGroupPolicy": DOCUMENT},
    "AWS::SageMaker::CodeRepository": {"GitConfig": {"RepositoryUrl": NAME, "Branch": NAME, "SecretArn": NAME}},
    "AWS::SageMaker::Project": {"TemplateProviderDetails": [{"CfnTemplateProviderDetail": {}}]},
    "AWS::SageMaker::Pipeline": {"PipelineDefinition": {"PipelineDefinitionS3Location": {}}},
    "AWS::CodeCommit::Repository": {"Code": {"BranchName": NAME, "S3": {"Bucket": NAME, "Key": NAME}}},
    "AWS::Events::Rule": {"EventPattern": DOCUMENT, "EventBusName": SCALAR, "Targets": [{}]},
}
"""`[shape]` is a list of such, `{...}` an object: these of its members are looked at. In a list's objects names and
documents must be there."""


def check_shape(kind: str, properties: Mapping[str, Any], *, tags: bool) -> None:
    """Raises ValidationException naming the first property that is of another kind."""
    _check({**SHAPES.get(kind, {}), **({"Tags": _TAGS} if tags else {})}, properties, "#")


def _check(shape: Any, value: Any, path: str) -> None:
    if isinstance(shape, Mapping):
        _must(isinstance(value, Mapping), path, "an object")
        for member, inner in shape.items():
            if member in value:
                _check(inner, value[member], f"{path}/{member}")
    elif isinstance(shape, list):
        _must(isinstance(value, list), path, "a list")
        for place, item in enumerate(value):
            _check(shape[0], item, f"{path}/{place}")
            for member, inner in shape[0].items() if isinstance(shape[0], Mapping) else ():
                needed = inner in (NAME, DOCUMENT)
                _must(not needed or member in item, f"{path}/{place}/{member}", str(inner))
    else:
        fine = {
            NAME: isinstance(value, str) and value != "",
            SCALAR: isinstance(value, str | int | float),
            DOCUMENT: isinstance(value, Mapping | str),
        }
        _must(fine[shape], path, shape)


def _must(fine: bool, path: str, wanted: str) -> None:
    if not fine:
        raise ValidationException(f"Model validation failed ({path}: {wanted} is needed)")
