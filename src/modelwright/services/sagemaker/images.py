"""SageMaker images: a name for a container image, whose versions each stand for one URI, as projects publish them.

A version is CREATED at once, because nothing is copied: its ContainerImage is its BaseImage. Deleting one leaves the
container image where it is, as on AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ResourceInUse, ResourceNotFound, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded
from modelwright.services.sagemaker.base import SageMakerService, answer, list_query, pick, taken
from modelwright.services.sagemaker.checks import ROLE
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import (
    Page,
    Query,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    put_tags,
    replace_resource,
)

IMAGE, VERSION = "SageMakerImage", "SageMakerImageVersion"

_ALL = 1000
_SORT = {
    "CREATION_TIME": "CreationTime",
    "LAST_MODIFIED_TIME": "LastModifiedTime",
    "IMAGE_NAME": "Name",
    "VERSION": "CreationTime",
}
_ORDER = {"ASCENDING": "Ascending", "DESCENDING": "Descending"}
_ABOUT = ("VendorGuidance", "JobType", "MLFramework", "ProgrammingLang", "Processor", "Horovod", "ReleaseNotes")
_SUMMARY = ("CreationTime", "ImageArn", "ImageVersionArn", "ImageVersionStatus", "LastModifiedTime", "Version")

MEMBERS: Table = {
    "ImageName": HONOURED,
    "DisplayName": HONOURED,
    "Description": HONOURED,
    "RoleArn": recorded(ROLE),
    "Tags": HONOURED,
}
UPDATE_MEMBERS: Table = {
    "ImageName": HONOURED,
    "DisplayName": HONOURED,
    "Description": HONOURED,
    "RoleArn": recorded(ROLE),
    "DeleteProperties": HONOURED,
}
VERSION_MEMBERS: Table = {
    "ImageName": HONOURED,
    "BaseImage": HONOURED,
    "ClientToken": HONOURED,
    "Aliases": HONOURED,
    **dict.fromkeys(_ABOUT, recorded("It is for people.")),
}


class SageMakerImages(SageMakerService):
    """CreateImage, CreateImageVersion and what belongs to them."""

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

    @operation("CreateImage", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceInUse when there is an image of this name."""
        name, now = parameters["ImageName"], self.now()
        arn = sagemaker_arn(context.region, context.account, "image", name)
        document = {
            **pick(parameters, "ImageName", "DisplayName", "Description", "RoleArn"),
            "ImageArn": arn,
            "ImageStatus": "CREATED",
            "CreationTime": now,
            "LastModifiedTime": now,
            "_LastVersion": 0,
        }
        with self.database.write() as transaction:
            if taken(transaction, IMAGE, name, arn):
                raise ResourceInUse(f"An image with the name {name} exists already: {arn}")
            insert_resource(transaction, IMAGE, name, document, created=now, arn=arn, status="CREATED")
            put_tags(transaction, arn, parameters.get("Tags", []))
        return {"ImageArn": arn}

    @operation("DescribeImage", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return _image(transaction, parameters["ImageName"])

    @operation("ListImages")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            page = list_resources(transaction, list_query(IMAGE, _sorted(parameters)))
        members = ("CreationTime", "Description", "DisplayName", "ImageArn", "ImageName", "ImageStatus")
        return answer("Images", page, lambda image: pick(image, *members, "LastModifiedTime"))

    @operation("UpdateImage", members=UPDATE_MEMBERS)
    def update(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            image = _image(transaction, parameters["ImageName"], lock=True)
            gone = parameters.get("DeleteProperties", [])
            kept = {key: value for key, value in image.items() if key not in gone}
            changed = {**kept, **pick(parameters, "DisplayName", "Description", "RoleArn")}
            self._replace(transaction, changed)
        return {"ImageArn": image["ImageArn"]}

    @operation("DeleteImage")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Forget an image and all of its versions; the container images stay."""
        with self.database.write() as transaction:
            image = _image(transaction, parameters["ImageName"], lock=True)
            for version in _versions(transaction, image):
                delete_resource(transaction, VERSION, _name(version))
            delete_resource(transaction, IMAGE, image["ImageName"])
        return {}

    @operation("CreateImageVersion", members=VERSION_MEMBERS)
    def create_version(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The next version. An alias that another version has moves to this one; the same ClientToken finds it again.

        Raises ResourceNotFound, ValidationException when the container image can't be resolved.
        """
        self._check_image(parameters["BaseImage"])
        now = self.now()
        with self.database.write() as transaction:
            image = _image(transaction, parameters["ImageName"], lock=True)
            versions = _versions(transaction, image)
            for version in versions:
                if version["_ClientToken"] == parameters["ClientToken"]:
                    return {"ImageVersionArn": version["ImageVersionArn"]}
            number = image["_LastVersion"] + 1
            name = f"{image['ImageName']}/{number}"
            arn = sagemaker_arn(context.region, context.account, "image-version", name)
            aliases = parameters.get("Aliases", [])
            for version in versions:
                if set(version["_Aliases"]) & set(aliases):
                    kept = [alias for alias in version["_Aliases"] if alias not in aliases]
                    self._replace_version(transaction, {**version, "_Aliases": kept})
            document = {
                **pick(parameters, "BaseImage", *_ABOUT),
                "ContainerImage": parameters["BaseImage"],
                "ImageArn": image["ImageArn"],
                "ImageVersionArn": arn,
                "ImageVersionStatus": "CREATED",
                "Version": number,
                "CreationTime": now,
                "LastModifiedTime": now,
                "_Image": image["ImageName"],
                "_Aliases": aliases,
                "_ClientToken": parameters["ClientToken"],
            }
            insert_resource(
                transaction, VERSION, name, document, created=now, arn=arn, parent=image["ImageName"], status="CREATED"
            )
            self._replace(transaction, {**image, "_LastVersion": number})
        return {"ImageVersionArn": arn}

    @operation("DescribeImageVersion")
    def describe_version(self, _: Context, parameters: dict[str, Any]) -> Document:
        """By number, by alias, or the newest."""
        with self.database.read() as transaction:
            return _version(transaction, parameters)

    @operation("ListImageVersions")
    def list_versions(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            image = _image(transaction, parameters["ImageName"])
            query = list_query(VERSION, _sorted(parameters), parent=image["ImageName"])
            page = list_resources(transaction, query)
        return answer("ImageVersions", page, lambda version: pick(version, *_SUMMARY))

    @operation("ListAliases")
    def list_aliases(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Of one version, or of all."""
        with self.database.read() as transaction:
            image = _image(transaction, parameters["ImageName"])
            found = _versions(transaction, image)
        wanted = parameters.get("Version")
        aliases = [alias for each in found if wanted in (None, each["Version"]) for alias in each["_Aliases"]]
        return {"SageMakerImageVersionAliases": sorted(aliases)}

    @operation("DeleteImageVersion")
    def delete_version(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Forget a version; its number is never given again."""
        if "Version" not in parameters and "Alias" not in parameters:
            raise ValidationException("Say which version: give Version or Alias.")
        with self.database.write() as transaction:
            delete_resource(transaction, VERSION, _name(_version(transaction, parameters)))
        return {}

    def _replace(self, transaction: Transaction, image: Document) -> None:
        now = self.now()
        replace_resource(transaction, IMAGE, image["ImageName"], {**image, "LastModifiedTime": now}, modified=now)

    def _replace_version(self, transaction: Transaction, version: Document) -> None:
        now = self.now()
        replace_resource(transaction, VERSION, _name(version), {**version, "LastModifiedTime": now}, modified=now)


def _sorted(parameters: Mapping[str, Any]) -> Document:
    """The members of a List operation in the words of the others."""
    changed = dict(parameters)
    if "SortBy" in changed:
        changed["SortBy"] = _SORT[changed["SortBy"]]
    if "SortOrder" in changed:
        changed["SortOrder"] = _ORDER[changed["SortOrder"]]
    return changed


def _image(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    image = find_resource(transaction, IMAGE, name, lock=lock)
    if image is None:
        raise ResourceNotFound(f"No Image with the name {name} exists.")
    return image


def _versions(transaction: Transaction, image: Document) -> list[Document]:
    """The newest first."""
    page: Page = list_resources(transaction, Query(VERSION, parent=image["ImageName"], limit=_ALL))
    return sorted(page.documents, key=lambda version: int(version["Version"]), reverse=True)


def _version(transaction: Transaction, parameters: Mapping[str, Any]) -> Document:
    image = _image(transaction, parameters["ImageName"])
    name = image["ImageName"]
    if "Version" in parameters:
        found = find_resource(transaction, VERSION, f"{name}/{parameters['Version']}")
    else:
        alias = parameters.get("Alias")
        versions = _versions(transaction, image)
        found = next((each for each in versions if alias is None or alias in each["_Aliases"]), None)
    if found is None:
        which = next((f" {parameters[key]}" for key in ("Version", "Alias") if key in parameters), "")
        raise ResourceNotFound(f"The image {name} has no version{which}.")
    return found


def _name(version: Document) -> str:
    return f"{version['_Image']}/{version['Version']}"
