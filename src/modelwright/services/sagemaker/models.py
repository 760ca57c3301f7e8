"""Models: an image, the model's data and an environment under one name, for endpoints and transform jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ValidationException
from modelwright.events import sagemaker as changes
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import SageMakerService, answer, is_short, list_query, pick, taken
from modelwright.services.sagemaker.checks import ONE_MACHINE, ROLE, check_s3_uri, check_unique
from modelwright.services.sagemaker.package_names import find_package
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import (
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    put_tags,
)

KIND = "Model"

MODEL_DATA: Table = {
    "S3DataSource": {
        "S3Uri": HONOURED,
        "S3DataType": HONOURED,
        "CompressionType": HONOURED,
        "ModelAccessConfig": recorded("There is no licence to accept for data of your own."),
        "HubAccessConfig": refused("Models of the JumpStart hub can't be reached; copy them into a bucket."),
        "ManifestS3Uri": refused("Use an S3Prefix or an S3Object."),
        "ETag": recorded("AWS's own note of what it found."),
        "ManifestEtag": recorded("AWS's own note of what it found."),
    }
}

_CONTAINER: Table = {
    "ContainerHostname": HONOURED,
    "Image": HONOURED,
    "ImageConfig": {
        "RepositoryAccessMode": refused(
            "Add the image here with `modelwright images add`: private registries are not reached.", "Platform"
        ),
        "RepositoryAuthConfig": refused("Add the image here with `modelwright images add`."),
    },
    "Mode": refused("Use 'SingleModel', one model a container.", "SingleModel"),
    "ModelDataUrl": HONOURED,
    "ModelDataSource": MODEL_DATA,
    "AdditionalModelDataSources": refused("Put everything that the container needs into one model archive."),
    "Environment": HONOURED,
    "ModelPackageName": HONOURED,
    "InferenceSpecificationName": HONOURED,
    "MultiModelConfig": refused("Use one model a container."),
    "ContainerMetricsConfig": refused("Leave it out: metrics endpoints of containers are not read."),
}

MEMBERS: Table = {
    "ModelName": HONOURED,
    "PrimaryContainer": _CONTAINER,
    "Containers": _CONTAINER,
    "InferenceExecutionConfig": HONOURED,
    "ExecutionRoleArn": recorded(ROLE),
    "Tags": HONOURED,
    "VpcConfig": recorded(ONE_MACHINE.format("network placement")),
    "EnableNetworkIsolation": HONOURED,
}


class Models(SageMakerService):
    """CreateModel and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        events: EventBus,
        check_image: Callable[[str], None],
    ) -> None:
        """`check_image` raises ValidationException for an image URI that can't be resolved at all."""
        super().__init__(database=database, history=history, now=now, events=events)
        self._check_image = check_image

    @operation("CreateModel", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException when there is a model of this name."""
        for container in _containers(parameters):
            self._check(container)
        _check_hostnames(parameters)
        name = parameters["ModelName"]
        arn = sagemaker_arn(context.region, context.account, "model", name)
        now = self.now()
        document = {
            **{key: value for key, value in parameters.items() if key != "Tags"},
            "EnableNetworkIsolation": parameters.get("EnableNetworkIsolation", False),
            "ModelArn": arn,
            "CreationTime": now,
        }
        if "PrimaryContainer" in document:
            document["PrimaryContainer"] = {"Mode": "SingleModel", **document["PrimaryContainer"]}
        if "Containers" in document:
            document["Containers"] = [{"Mode": "SingleModel", **container} for container in document["Containers"]]
        with self.database.write() as transaction:
            if taken(transaction, KIND, name, arn):
                raise ValidationException(f'Cannot create already existing model "{arn}".')
            for container in _containers(parameters):
                if "ModelPackageName" in container:
                    _check_package(transaction, container["ModelPackageName"])
            insert_resource(transaction, KIND, name, document, created=now, arn=arn)
            put_tags(transaction, arn, parameters.get("Tags", []))
            self.events.tell(transaction, lambda: changes.model(document), now)
        return {"ModelArn": arn}

    @operation("DescribeModel", quick=True)
    def describe(self, context: Context, parameters: dict[str, Any]) -> Document:
        name = parameters["ModelName"]
        with self.database.read() as transaction:
            model = find_resource(transaction, KIND, name)
        if model is None:
            raise _missing(context, name)
        return model

    @operation("ListModels", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            page = list_resources(transaction, list_query(KIND, parameters))
        return answer("Models", page, lambda model: pick(model, "ModelName", "ModelArn", "CreationTime"))

    @operation("DeleteModel")
    def delete(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Forget the model; its data in S3 stays."""
        name = parameters["ModelName"]
        with self.database.write() as transaction:
            document = find_resource(transaction, KIND, name, lock=True)
            if document is None:
                raise _missing(context, name)
            delete_resource(transaction, KIND, name)
            self.events.tell(transaction, lambda: changes.model(document), self.now())
        return {}

    def _check(self, container: Document) -> None:
        if "ModelPackageName" in container:
            for member in ("Image", "ModelDataUrl", "ModelDataSource"):
                if member in container:
                    raise ValidationException(
                        f"A container that names a ModelPackageName takes its {member} from there; leave {member} out."
                    )
            return
        if "Image" not in container:
            raise ValidationException("A container must name an Image or a ModelPackageName.")
        if "ModelDataUrl" in container and "ModelDataSource" in container:
            raise ValidationException("A container can have a ModelDataUrl or a ModelDataSource, not both.")
        if "ModelDataUrl" in container:
            check_s3_uri(container["ModelDataUrl"], "ModelDataUrl")
        if "ModelDataSource" in container:
            source = container["ModelDataSource"].get("S3DataSource", {})
            check_s3_uri(source.get("S3Uri", ""), "ModelDataSource.S3DataSource.S3Uri")
        self._check_image(container["Image"])


def _containers(parameters: Document) -> list[Document]:
    primary, several = parameters.get("PrimaryContainer"), parameters.get("Containers", [])
    if (primary is None) == (not several):
        raise ValidationException("A model must have either a PrimaryContainer or Containers, and not both.")
    check_unique([each["ContainerHostname"] for each in several if "ContainerHostname" in each], "Containers", "name")
    return [primary] if primary is not None else list(several)


def _check_hostnames(parameters: Document) -> None:
    several = parameters.get("Containers", [])
    named = [each for each in several if "ContainerHostname" in each]
    mode = parameters.get("InferenceExecutionConfig", {}).get("Mode", "Serial")
    if not several and "InferenceExecutionConfig" in parameters:
        raise ValidationException("InferenceExecutionConfig is about Containers: a PrimaryContainer takes none.")
    if mode == "Direct" and len(named) < len(several):
        raise ValidationException("InferenceExecutionConfig.Mode Direct wants a ContainerHostname for every container.")
    if named and len(named) < len(several):
        raise ValidationException(
            "A container has a ContainerHostname and another one has none: give it to every container or to none."
        )


def _check_package(transaction: Transaction, name: str) -> None:
    package = find_package(transaction, name)
    status = package.get("ModelApprovalStatus", "Approved")
    if status != "Approved":
        raise ValidationException(
            f"Model package {package['ModelPackageArn']} can't be deployed: its approval status is {status}. "
            "Approve it first (UpdateModelPackage, or `modelwright models approve`)."
        )


def _missing(context: Context, name: str) -> ValidationException:
    arn = sagemaker_arn(context.region, context.account, "model", name)
    return ValidationException(f'Could not find model "{arn}".')
