"""What an endpoint is to run, resolved when it is created or updated: a fleet (`lifecycles.endpoint`).

A fleet says all about its containers, so that an endpoint goes on when its configuration, model or model package has
been deleted, as on AWS. Whether a model may be deployed on an instance type is decided here too.
"""

from __future__ import annotations

from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ResourceLimitExceeded, UnsupportedOperation, ValidationException
from modelwright.services.dispatch import Context, Document
from modelwright.services.sagemaker.package_names import find_package
from modelwright.store.database import Transaction
from modelwright.store.resources import find_resource

CONFIG = "EndpointConfig"
MODEL = "Model"

INSTANCE_QUOTA = 20
"""Instances of one type that one endpoint may have; AWS's default quota for an account."""
STARTUP_SECONDS = 480
"""How long a container may take to answer /ping where the variant doesn't say; AWS's default."""


def find_model(transaction: Transaction, context: Context, name: str) -> Document:
    """Raises ValidationException when there is no such model."""
    model = find_resource(transaction, MODEL, name)
    if model is None:
        arn = sagemaker_arn(context.region, context.account, "model", name)
        raise ValidationException(f'Could not find model "{arn}".')
    return model


def make_fleet(transaction: Transaction, context: Context, config: Document) -> Document:
    """The fleet that an endpoint configuration describes. Raises ValidationException, ResourceLimitExceeded."""
    variants = []
    wanted: dict[str, int] = {}
    for variant in config["ProductionVariants"]:
        model = find_model(transaction, context, variant["ModelName"])
        kind, count = variant["InstanceType"], variant["InitialInstanceCount"]
        wanted[kind] = wanted.get(kind, 0) + count
        startup = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)
        variants.append(
            {
                "Name": variant["VariantName"],
                "Model": variant["ModelName"],
                "InstanceType": kind,
                "Count": count,
                "Weight": variant["InitialVariantWeight"],
                "Startup": startup,
                "Container": resolve_container(transaction, model, kind),
            }
        )
    for kind, count in wanted.items():
        check_quota(kind, count)
    return {"Config": config["EndpointConfigName"], "Variants": variants}


def check_quota(kind: str, count: int) -> None:
    if count > INSTANCE_QUOTA:
        raise ResourceLimitExceeded(
            f"The account-level service limit '{kind} for endpoint usage' is {INSTANCE_QUOTA} Instances, with current "
            f"utilization of 0 Instances and a request delta of {count} Instances. Ask for fewer instances."
        )


def resolve_container(transaction: Transaction, model: Document, instance_type: str) -> Document:
    """Image, model data and environment of a model's container. Raises ValidationException when it can't be deployed
    on this instance type."""
    containers = model.get("Containers") or [model["PrimaryContainer"]]
    container: Document = containers[0]
    if "ModelPackageName" in container:
        package = find_package(transaction, container["ModelPackageName"])
        specification = _specification(package, container.get("InferenceSpecificationName"))
        _check_package(package, specification, instance_type)
        packaged = specification["Containers"]
        environment = {**packaged[0].get("Environment", {}), **container.get("Environment", {})}
        container = {**packaged[0], "Environment": environment}
        containers = containers if len(containers) > 1 else packaged
    if len(containers) > 1:
        raise UnsupportedOperation.member(
            "CreateEndpointConfig",
            f"the model '{model['ModelName']}' with {len(containers)} containers (an inference pipeline)",
            "Deploy a model of one container.",
        )
    members = ("Image", "ModelDataUrl", "ModelDataSource", "Environment")
    return {member: container[member] for member in members if member in container}


def _specification(package: Document, name: str | None) -> Document:
    arn = package["ModelPackageArn"]
    if name is None:
        if "InferenceSpecification" not in package:
            raise ValidationException(f"Model package {arn} has no InferenceSpecification: it can't be deployed.")
        found: Document = package["InferenceSpecification"]
        return found
    for specification in package.get("AdditionalInferenceSpecifications", []):
        if specification["Name"] == name:
            return dict(specification)
    raise ValidationException(f"Model package {arn} has no additional inference specification '{name}'.")


def _check_package(package: Document, specification: Document, instance_type: str) -> None:
    arn = package["ModelPackageArn"]
    status: Any = package.get("ModelApprovalStatus", "Approved")
    if status != "Approved":
        raise ValidationException(
            f"Model package {arn} can't be deployed: its approval status is {status}. "
            "Approve it first (UpdateModelPackage, or `modelwright models approve`)."
        )
    supported = specification.get("SupportedRealtimeInferenceInstanceTypes", [])
    if supported and instance_type not in supported:
        raise ValidationException(
            f"The instance type {instance_type} is not supported by the model package {arn} for real-time inference. "
            f"Supported instance types: {', '.join(supported)}."
        )
