"""What an endpoint is to run, resolved when it is created or updated: a fleet (`lifecycles.endpoint`).

A fleet says all about its containers, so that an endpoint goes on when its configuration, model or model package has
been deleted, as on AWS. Whether a model may be deployed on an instance type is decided here too.
"""

from __future__ import annotations

from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ResourceLimitExceeded, ValidationException
from modelwright.services.dispatch import Context, Document
from modelwright.services.sagemaker.package_names import find_package
from modelwright.store.database import Transaction
from modelwright.store.resources import find_resource

CONFIG = "EndpointConfig"
MODEL = "Model"

INSTANCE_QUOTA = 20
"""Instances of one type that one endpoint may have; AWS's default quota for an account."""
CONTAINER_LIMIT = 15
"""Containers of an inference pipeline."""
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
                "Containers": resolve_containers(transaction, model, kind),
                "Isolated": bool(model.get("EnableNetworkIsolation") or config.get("EnableNetworkIsolation")),
                "Mode": model.get("InferenceExecutionConfig", {}).get("Mode", "Serial"),
            }
        )
    for kind, count in wanted.items():
        check_quota(kind, count)
    fleet: Document = {"Config": config["EndpointConfigName"], "Variants": variants}
    if "DataCaptureConfig" in config:
        fleet["Capture"] = config["DataCaptureConfig"]
    return fleet


def check_quota(kind: str, count: int) -> None:
    if count > INSTANCE_QUOTA:
        raise ResourceLimitExceeded(
            f"The account-level service limit '{kind} for endpoint usage' is {INSTANCE_QUOTA} Instances, with current "
            f"utilization of 0 Instances and a request delta of {count} Instances. Ask for fewer instances."
        )


def resolve_containers(transaction: Transaction, model: Document, instance_type: str) -> list[Document]:
    """Image, model data and environment of each of a model's containers, in their order; those of a model package are
    in its place. Raises ValidationException when it can't be deployed on this instance type."""
    resolved: list[Document] = []
    for container in model.get("Containers") or [model["PrimaryContainer"]]:
        if "ModelPackageName" not in container:
            resolved.append(container)
            continue
        package = find_package(transaction, container["ModelPackageName"])
        specification = _specification(package, container.get("InferenceSpecificationName"))
        _check_package(package, specification, instance_type)
        packaged = specification["Containers"]
        for number, each in enumerate(packaged):
            own = container.get("Environment", {}) if number == 0 else {}
            named = {"ContainerHostname": container["ContainerHostname"]} if "ContainerHostname" in container else {}
            more = named if len(packaged) == 1 else {}
            resolved.append({**each, **more, "Environment": {**each.get("Environment", {}), **own}})
    if len(resolved) > CONTAINER_LIMIT:
        raise ValidationException(
            f"The model '{model['ModelName']}' has {len(resolved)} containers with those of its model packages; "
            f"{CONTAINER_LIMIT} are the most."
        )
    members = (
        "ContainerHostname", "Image", "ImageDigest", "ModelDataUrl", "ModelDataSource", "ModelDataETag", "Environment"
    )  # fmt: skip
    return [{member: each[member] for member in members if member in each} for each in resolved]


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
