"""The resource types that a stack can have: what names them, what can't be changed without a replacement. Pure.

How one is made is the engine's (`engine.stack_types`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceType:
    """`name` is the property with the resource's own name; `fixed` those whose change means a replacement."""

    name: str
    fixed: frozenset[str] = frozenset()
    limit: int = 63
    lower: bool = False
    """Whether a name must be in lower case."""
    capability: bool = False
    """Whether it changes what somebody may do: AWS wants CAPABILITY_IAM for it."""


def _type(name: str, *fixed: str, limit: int = 63, lower: bool = False, capability: bool = False) -> ResourceType:
    return ResourceType(name, frozenset((name, *fixed)), limit, lower, capability)


TYPES: Mapping[str, ResourceType] = {
    "AWS::SageMaker::Model": _type(
        *("ModelName", "Containers", "PrimaryContainer", "ExecutionRoleArn", "EnableNetworkIsolation"),
        *("InferenceExecutionConfig", "VpcConfig"),
    ),
    "AWS::SageMaker::EndpointConfig": _type(
        *("EndpointConfigName", "ProductionVariants", "DataCaptureConfig", "AsyncInferenceConfig", "KmsKeyId"),
        *("ExplainerConfig", "ShadowProductionVariants", "ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation"),
    ),
    "AWS::SageMaker::Endpoint": _type("EndpointName"),
    "AWS::SageMaker::ModelPackageGroup": _type("ModelPackageGroupName", "ModelPackageGroupDescription"),
    "AWS::S3::Bucket": _type("BucketName", lower=True),
    "AWS::IAM::Role": _type("RoleName", "Path", limit=64, capability=True),
    # A repository that is renamed must not be replaced: its code would be lost.
    "AWS::CodeCommit::Repository": ResourceType("RepositoryName", limit=100),
    "AWS::CodeBuild::Project": _type("Name", limit=150),
    "AWS::CodePipeline::Pipeline": _type("Name", limit=100),
    "AWS::Events::Rule": _type("Name", limit=64),
    "AWS::SageMaker::Pipeline": _type("PipelineName", limit=63),
    "AWS::Logs::LogGroup": _type("LogGroupName", limit=512),
}
