"""Model packages: the registry's versions with their metrics and their approval.

A versioned package gets the next number of its group: without gaps under concurrency, never one that a deleted
package had. Registering checks and records; nothing is validated by running it (AWS does that only on request, which
is refused), so a package is Completed at once. Its model data is noted by its ETag: nothing else is deployed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import AwsError, ConflictException, UnsupportedOperation, ValidationException
from modelwright.events import sagemaker as changes
from modelwright.images.base import Images
from modelwright.objects.base import ObjectStore
from modelwright.objects.tags import model_data_tag
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import (
    SageMakerService,
    answer,
    is_short,
    list_query,
    pick,
    taken,
    user_context,
)
from modelwright.services.sagemaker.checks import NO_ENCRYPTION, check_s3_uri, check_unique
from modelwright.services.sagemaker.models import MODEL_DATA
from modelwright.services.sagemaker.package_names import GROUP, PACKAGE, find_group, find_package, package_name
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import (
    Condition,
    Query,
    delete_resource,
    insert_resource,
    list_resources,
    put_tags,
    replace_resource,
)

MOST_ADDITIONAL_SPECIFICATIONS = 15
TOKEN_LIFE = 86400.0
"""How long a client token makes a repeated request answer with the first one's package, in seconds."""

_RECOMMENDER = recorded("It is for AWS's Inference Recommender.")
_TOLD = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "CustomerMetadataProperties",
    "InferenceSpecification",
    "ModelLifeCycle",
    "SourceUri",
)
"""What an event says has been updated."""
_STATUSES: Document = {"ValidationStatuses": [], "ImageScanStatuses": []}

_CONTAINER: Table = {
    "ContainerHostname": HONOURED,
    "Image": HONOURED,
    "ImageDigest": HONOURED,
    "ModelDataUrl": HONOURED,
    "ModelDataSource": MODEL_DATA,
    "ProductId": refused("Products of the AWS Marketplace can't run here."),
    "Environment": HONOURED,
    "ModelInput": HONOURED,
    "Framework": HONOURED,
    "FrameworkVersion": HONOURED,
    "NearestModelName": _RECOMMENDER,
    "AdditionalModelDataSources": refused("Put everything that the container needs into one model archive."),
    "AdditionalS3DataSource": refused("Put everything that the container needs into one model archive."),
    "ModelDataETag": HONOURED,
    "IsCheckpoint": refused("Leave it out: base models of the JumpStart hub can't be reached.", False),
    "BaseModel": refused("Leave it out: base models of the JumpStart hub can't be reached."),
}

_SPECIFICATION: Table = {
    "Containers": _CONTAINER,
    "SupportedTransformInstanceTypes": HONOURED,
    "SupportedRealtimeInferenceInstanceTypes": HONOURED,
    "SupportedContentTypes": HONOURED,
    "SupportedResponseMIMETypes": HONOURED,
}

_ADDITIONAL_SPECIFICATIONS: Table = {"Name": HONOURED, "Description": HONOURED, **_SPECIFICATION}

_LOGGED = refused("Leave it out: every package is registered.", "Registered")

MEMBERS: Table = {
    "ModelPackageName": HONOURED,
    "ModelPackageGroupName": HONOURED,
    "ModelPackageDescription": HONOURED,
    "ModelPackageRegistrationType": _LOGGED,
    "InferenceSpecification": _SPECIFICATION,
    "ValidationSpecification": refused("Leave it out: validate the model in the pipeline that registers it."),
    "SourceAlgorithmSpecification": refused("Use an InferenceSpecification: Marketplace algorithms can't run here."),
    "CertifyForMarketplace": refused("Leave it out: there is no Marketplace here.", False),
    "Tags": HONOURED,
    "ModelApprovalStatus": HONOURED,
    "MetadataProperties": HONOURED,
    "ModelMetrics": HONOURED,
    "ClientToken": HONOURED,
    "Domain": _RECOMMENDER,
    "Task": _RECOMMENDER,
    "SamplePayloadUrl": _RECOMMENDER,
    "CustomerMetadataProperties": HONOURED,
    "DriftCheckBaselines": HONOURED,
    "AdditionalInferenceSpecifications": _ADDITIONAL_SPECIFICATIONS,
    "SkipModelValidation": recorded("Packages are validated only against a ValidationSpecification."),
    "SourceUri": HONOURED,
    "SecurityConfig": recorded(NO_ENCRYPTION),
    "ModelCard": HONOURED,
    "ModelLifeCycle": HONOURED,
    "ManagedStorageType": refused("Leave it out: there is no managed storage here."),
}

UPDATE_MEMBERS: Table = {
    "ModelPackageArn": HONOURED,
    "ModelApprovalStatus": HONOURED,
    "ModelPackageRegistrationType": _LOGGED,
    "ApprovalDescription": HONOURED,
    "CustomerMetadataProperties": HONOURED,
    "CustomerMetadataPropertiesToRemove": HONOURED,
    "AdditionalInferenceSpecificationsToAdd": _ADDITIONAL_SPECIFICATIONS,
    "InferenceSpecification": _SPECIFICATION,
    "SourceUri": HONOURED,
    "ModelCard": HONOURED,
    "ModelLifeCycle": HONOURED,
    "ClientToken": recorded("An update can be repeated anyway."),
}


class ModelPackages(SageMakerService):
    """CreateModelPackage and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        events: EventBus,
        objects: ObjectStore,
        images: Images,
    ) -> None:
        super().__init__(database=database, history=history, now=now, events=events)
        self._objects = objects
        self._images = images

    @operation("CreateModelPackage", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """A version of a group, or a package of its own.

        The same ClientToken with the same request answers with the package that it made.
        """
        _check(parameters)
        self._check_images(parameters)
        versioned = "ModelPackageGroupName" in parameters
        given = self._tagged(parameters)
        with self.database.write() as transaction:
            group = None
            if versioned:
                group = find_group(transaction, parameters["ModelPackageGroupName"], lock=True)
            earlier = self._of_token(transaction, parameters)
            if earlier is not None:
                return {"ModelPackageArn": earlier["ModelPackageArn"]}
            now = self.now()
            document = {
                **{key: value for key, value in given.items() if key not in ("Tags", "ClientToken")},
                "CertifyForMarketplace": False,
                "CreationTime": now,
                "CreatedBy": user_context(context),
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": _STATUSES,
            }
            if "ClientToken" in parameters:
                document |= {"_ClientToken": parameters["ClientToken"], "_Request": _digest(parameters)}
            if group is None:
                arn = self._insert_unversioned(transaction, context, document, now)
                put_tags(transaction, arn, parameters.get("Tags", []))
            else:
                arn = self._insert_version(transaction, context, group, document, now)
            self.events.tell(transaction, lambda: changes.model_package(document), now)
        return {"ModelPackageArn": arn}

    @operation("DescribeModelPackage", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            package = find_package(transaction, parameters["ModelPackageName"])
        if parameters.get("IncludedData") == "MetadataOnly" and "ModelCard" in package:
            package["ModelCard"] = {**package["ModelCard"], "ModelCardContent": "{}"}
        return package

    @operation("BatchDescribeModelPackage")
    def batch_describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        found: Document = {}
        missing: Document = {}
        with self.database.read() as transaction:
            for arn in parameters["ModelPackageArnList"]:
                try:
                    package = find_package(transaction, arn)
                except AwsError as error:
                    missing[arn] = {"ErrorCode": error.code, "ErrorResponse": error.message}
                else:
                    found[arn] = _batch_summary(package)
        result: Document = {"ModelPackageSummaries": found}
        if missing:
            result["BatchDescribeModelPackageErrorMap"] = missing
        return result

    @operation("ListModelPackages", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Versioned ones when a group is named, else unversioned ones, unless ModelPackageType says otherwise."""
        group = parameters.get("ModelPackageGroupName")
        kind = parameters.get("ModelPackageType", "Versioned" if group else "Unversioned")
        conditions = {
            "Versioned": (Condition("ModelPackageVersion", "exists"),),
            "Unversioned": (Condition("ModelPackageVersion", "not-exists"),),
            "Both": (),
        }[kind]
        with self.database.read() as transaction:
            parent = None if group is None else find_group(transaction, group)["ModelPackageGroupName"]
            if parent is not None:
                # Within a group the order of names is that of versions, and so that of creation: 2 comes before 10.
                parameters = {**parameters, "SortBy": "CreationTime"}
            query = list_query(
                PACKAGE, parameters, parent=parent, status=parameters.get("ModelApprovalStatus"), conditions=conditions
            )
            return answer("ModelPackageSummaryList", list_resources(transaction, query), _summary)

    @operation("UpdateModelPackage", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Approve, reject, describe: what may change of a package."""
        now = self.now()
        with self.database.write() as transaction:
            package = find_package(transaction, parameters["ModelPackageArn"], lock=True)
            if "ModelPackageVersion" not in package and "ModelApprovalStatus" in parameters:
                raise ValidationException(
                    f"{package['ModelPackageArn']} is not a version of a group: it has no approval status."
                )
            changed = _updated(package, parameters)
            _check_specifications(changed)
            if changed.get("ModelApprovalStatus") == "Approved" != package.get("ModelApprovalStatus"):
                self._check_tags(changed)
                self._check_images(changed)
            changed = self._tagged(changed)
            changed |= {"LastModifiedTime": now, "LastModifiedBy": user_context(context)}
            replace_resource(
                transaction,
                PACKAGE,
                package_name(package),
                changed,
                modified=now,
                status=changed.get("ModelApprovalStatus"),
            )
            updated = [member for member in _TOLD if member in parameters]
            self.events.tell(transaction, lambda: changes.model_package(changed, updated), now)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    @operation("DeleteModelPackage")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Forget a package; its number is never given again, its data in S3 stays."""
        with self.database.write() as transaction:
            package = find_package(transaction, parameters["ModelPackageName"], lock=True)
            delete_resource(transaction, PACKAGE, package_name(package))
        return {}

    def _tagged(self, package: Mapping[str, Any]) -> Document:
        """The package with the ETags of its model data and the digests of its images as they are now, where they
        aren't known yet."""

        def specification(each: Mapping[str, Any]) -> Document:
            return {**each, "Containers": [container(one) for one in each["Containers"]]}

        def container(one: Mapping[str, Any]) -> Document:
            found = {
                "ModelDataETag": one.get("ModelDataETag") or model_data_tag(self._objects, one),
                "ImageDigest": one.get("ImageDigest") or self._images.digest(one["Image"]),
            }
            return {**one, **{member: value for member, value in found.items() if value}}

        found = dict(package)
        if "InferenceSpecification" in found:
            found["InferenceSpecification"] = specification(found["InferenceSpecification"])
        if "AdditionalInferenceSpecifications" in found:
            found["AdditionalInferenceSpecifications"] = [
                specification(each) for each in found["AdditionalInferenceSpecifications"]
            ]
        return found

    def _check_tags(self, package: Document) -> None:
        """Raises ValidationException when what is to be approved isn't what was registered."""
        for specification in _specifications(package).values():
            for container in specification["Containers"]:
                known, found = container.get("ModelDataETag"), model_data_tag(self._objects, container)
                if known and found and found != known:
                    raise ValidationException(
                        f"The model data of {package['ModelPackageArn']} has changed since it was registered: its ETag "
                        f"was {known} and is {found} now. Register it as a new version."
                    )

    def _check_images(self, package: Mapping[str, Any]) -> None:
        """Raises ValidationException where an image is named that is not here any more."""
        for specification in _specifications(package).values():
            for container in specification["Containers"]:
                if "ImageDigest" in container:
                    self._images.pinned(container["Image"], container["ImageDigest"])

    def _insert_unversioned(self, transaction: Transaction, context: Context, document: Document, now: float) -> str:
        name = document["ModelPackageName"]
        arn = sagemaker_arn(context.region, context.account, "model-package", name)
        if taken(transaction, PACKAGE, name, arn):
            raise ValidationException(f"ModelPackage already exists: {arn}")
        document["ModelPackageArn"] = arn
        insert_resource(transaction, PACKAGE, name, document, created=now, arn=arn, status="Completed")
        return arn

    def _insert_version(
        self,
        transaction: Transaction,
        context: Context,
        group: Document,
        document: Document,
        now: float,
    ) -> str:
        group_name = group["ModelPackageGroupName"]
        version = group["_LastVersion"] + 1
        replace_resource(transaction, GROUP, group_name, {**group, "_LastVersion": version}, modified=now)
        name = f"{group_name}/{version}"
        arn = sagemaker_arn(context.region, context.account, "model-package", name)
        approval = document.get("ModelApprovalStatus", "PendingManualApproval")
        document |= {
            "ModelPackageName": name,
            "ModelPackageGroupName": group_name,
            "ModelPackageVersion": version,
            "ModelPackageArn": arn,
            "ModelApprovalStatus": approval,
        }
        insert_resource(transaction, PACKAGE, name, document, created=now, arn=arn, parent=group_name, status=approval)
        return arn

    def _of_token(self, transaction: Transaction, parameters: Mapping[str, Any]) -> Document | None:
        """The package that an earlier request with this client token made."""
        token = parameters.get("ClientToken")
        if token is None:
            return None
        same = Condition("_ClientToken", "equals", token)
        query = Query(PACKAGE, created_after=self.now() - TOKEN_LIFE, conditions=(same,), limit=1)
        for package in list_resources(transaction, query).documents:
            if package["_Request"] != _digest(parameters):
                raise ConflictException(f"ClientToken '{token}' was used for a different request.")
            return package
        return None


def _check(parameters: Mapping[str, Any]) -> None:
    versioned = "ModelPackageGroupName" in parameters
    if versioned and "ModelPackageName" in parameters:
        raise ValidationException(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one to "
            "use."
        )
    if not versioned and "ModelPackageName" not in parameters:
        raise ValidationException("A ModelPackageGroupName (or, for a package without versions, a name) is missing.")
    if not versioned and "ModelApprovalStatus" in parameters:
        raise ValidationException("ModelApprovalStatus is only for versioned model packages.")
    if versioned and parameters.get("Tags"):
        raise ValidationException("A versioned model package has the tags of its group: tag the group instead.")
    if parameters.get("SourceUri", "").startswith("arn:"):
        raise UnsupportedOperation.member(
            "CreateModelPackage", "SourceUri with an ARN", "Give the InferenceSpecification itself."
        )
    _check_specifications(parameters)


def _check_specifications(package: Mapping[str, Any]) -> None:
    additional = package.get("AdditionalInferenceSpecifications", [])
    if len(additional) > MOST_ADDITIONAL_SPECIFICATIONS:
        raise ValidationException(
            f"There would be {len(additional)} additional inference specifications; the limit is "
            f"{MOST_ADDITIONAL_SPECIFICATIONS}."
        )
    check_unique([each["Name"] for each in additional], "AdditionalInferenceSpecifications", "Name")
    for path, specification in _specifications(package).items():
        for i, container in enumerate(specification["Containers"]):
            where = f"{path}.Containers[{i}]"
            if "Image" not in container:
                raise ValidationException(f"{where}.Image is missing.")
            if "ModelDataUrl" in container:
                check_s3_uri(container["ModelDataUrl"], f"{where}.ModelDataUrl")


def _specifications(package: Mapping[str, Any]) -> dict[str, Document]:
    """All inference specifications, by where they are."""
    additional = package.get("AdditionalInferenceSpecifications", [])
    found: dict[str, Document] = {f"AdditionalInferenceSpecifications[{i}]": each for i, each in enumerate(additional)}
    if "InferenceSpecification" in package:
        found["InferenceSpecification"] = package["InferenceSpecification"]
    return found


def _updated(package: Document, parameters: Mapping[str, Any]) -> Document:
    changed = {
        **package,
        **pick(
            parameters,
            "ModelApprovalStatus",
            "ModelPackageRegistrationType",
            "ApprovalDescription",
            "InferenceSpecification",
            "SourceUri",
            "ModelCard",
            "ModelLifeCycle",
        ),
    }
    removed = set(parameters.get("CustomerMetadataPropertiesToRemove", []))
    properties = {**package.get("CustomerMetadataProperties", {}), **parameters.get("CustomerMetadataProperties", {})}
    properties = {key: value for key, value in properties.items() if key not in removed}
    changed.pop("CustomerMetadataProperties", None)
    if properties:
        changed["CustomerMetadataProperties"] = properties
    added = parameters.get("AdditionalInferenceSpecificationsToAdd", [])
    if added:
        changed["AdditionalInferenceSpecifications"] = [*package.get("AdditionalInferenceSpecifications", []), *added]
    return changed


def _digest(parameters: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()


def _summary(package: Document) -> Document:
    members = [
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageArn",
        "ModelPackageDescription",
        "CreationTime",
        "ModelPackageStatus",
        "ModelApprovalStatus",
        "ModelLifeCycle",
        "ModelPackageRegistrationType",
    ]
    if "ModelPackageVersion" not in package:
        members.insert(0, "ModelPackageName")
    return pick(package, *members)


def _batch_summary(package: Document) -> Document:
    return pick(
        package,
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageArn",
        "ModelPackageDescription",
        "CreationTime",
        "InferenceSpecification",
        "ModelPackageStatus",
        "ModelApprovalStatus",
        "ModelPackageRegistrationType",
    )
