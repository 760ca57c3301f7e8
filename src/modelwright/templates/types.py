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
    attributes: frozenset[str]
    """What Fn::GetAtt can ask for."""
    fixed: frozenset[str] = frozenset()
    limit: int = 63
    lower: bool = False
    """Whether a name must be in lower case."""
    capability: bool = False
    """Whether it changes what somebody may do: AWS wants CAPABILITY_IAM for it."""
    tags: bool = True
    """Whether it has Tags, and so gets the stack's."""


def _type(
    name: str,
    attributes: str = "",
    fixed: str = "",
    *,
    limit: int = 63,
    lower: bool = False,
    capability: bool = False,
    tags: bool = True,
) -> ResourceType:
    known = frozenset(attributes.split())
    return ResourceType(name, known, frozenset((name, *fixed.split())), limit, lower, capability, tags)


TYPES: Mapping[str, ResourceType] = {
    "AWS::SageMaker::Model": _type(
        "ModelName",
        "ModelName",
        "Containers PrimaryContainer ExecutionRoleArn EnableNetworkIsolation InferenceExecutionConfig VpcConfig",
    ),
    "AWS::SageMaker::EndpointConfig": _type(
        "EndpointConfigName",
        "EndpointConfigName",
        "ProductionVariants DataCaptureConfig AsyncInferenceConfig KmsKeyId ExplainerConfig ShadowProductionVariants "
        "ExecutionRoleArn VpcConfig EnableNetworkIsolation",
    ),
    "AWS::SageMaker::Endpoint": _type("EndpointName", "EndpointName"),
    "AWS::SageMaker::ModelPackageGroup": _type(
        "ModelPackageGroupName",
        "CreationTime ModelPackageGroupArn ModelPackageGroupName ModelPackageGroupStatus",
        "ModelPackageGroupDescription",
    ),
    "AWS::SageMaker::Pipeline": _type("PipelineName"),
    "AWS::SageMaker::Project": _type(
        "ProjectName",
        "CreationTime ProjectArn ProjectId ProjectStatus",
        "ProjectDescription ServiceCatalogProvisioningDetails TemplateProviderDetails",
        limit=32,
    ),
    "AWS::SageMaker::CodeRepository": _type("CodeRepositoryName", "CodeRepositoryName"),
    "AWS::S3::Bucket": _type("BucketName", "Arn DomainName RegionalDomainName", lower=True),
    "AWS::IAM::Role": _type("RoleName", "Arn RoleId", "Path", limit=64, capability=True),
    # Its name is the stack's: several stacks, and several of a stack's, may give roles a policy of the same PolicyName.
    "AWS::IAM::Policy": ResourceType("", frozenset({"Id"}), limit=128, capability=True, tags=False),
    # A repository that is renamed must not be replaced: its code would be lost.
    "AWS::CodeCommit::Repository": ResourceType(
        "RepositoryName", frozenset({"Arn", "CloneUrlHttp", "CloneUrlSsh", "Name"}), limit=100
    ),
    "AWS::CodeBuild::Project": _type("Name", "Arn", limit=150),
    "AWS::CodePipeline::Pipeline": _type("Name", "Version", limit=100),
    "AWS::Events::Rule": _type("Name", "Arn", limit=64),
    "AWS::Logs::LogGroup": _type("LogGroupName", "Arn", limit=512),
}
