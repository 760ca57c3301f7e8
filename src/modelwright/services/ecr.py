"""ECR: the images of this machine as AWS's registry shows them.

A repository is a name in images/store.py; an image is what `modelwright images build` made of it. There is no Docker
registry behind it: nothing is pushed by `docker push`, and what has no form here (layers, scans, repository and
lifecycle policies) is refused. Region and account of the answers are the caller's: images aren't partitioned.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from modelwright.arns import Arn
from modelwright.errors import AwsError, InvalidParameterException, UnsupportedOperation
from modelwright.images.store import ImageStore, Record, Repository, Tag
from modelwright.images.uris import Reference
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused

MEDIA_TYPE = "application/vnd.modelwright.image.v1+json"
TOKEN_SECONDS = 12 * 3600
PAGE = 100
MOST_TAGS = 50

_Item = TypeVar("_Item")

_NAMED: Table = {"registryId": HONOURED, "repositoryName": HONOURED}
MUTABILITY_MEMBERS: Table = {
    **_NAMED,
    "imageTagMutability": refused("Use MUTABLE or IMMUTABLE.", "MUTABLE", "IMMUTABLE"),
    "imageTagMutabilityExclusionFilters": refused("Use MUTABLE or IMMUTABLE for all tags."),
}
SCANNING_MEMBERS: Table = {
    **_NAMED,
    "imageScanningConfiguration": {"scanOnPush": refused("Images are not scanned here.", False)},
}
CREATE_MEMBERS: Table = {
    **MUTABILITY_MEMBERS,
    **SCANNING_MEMBERS,
    "tags": HONOURED,
    "encryptionConfiguration": {
        "encryptionType": refused("There are no KMS keys here.", "AES256"),
        "kmsKey": refused("There are no KMS keys here."),
    },
}
GET_MEMBERS: Table = {
    **_NAMED,
    "imageIds": HONOURED,
    "acceptedMediaTypes": refused(f"Images here have one form, {MEDIA_TYPE}: leave it out.", [MEDIA_TYPE]),
}


class Ecr:
    """Repositories and their images. `now` gives epoch seconds."""

    def __init__(self, *, store: ImageStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    # Repositories

    @operation("CreateRepository", members=CREATE_MEMBERS)
    def create_repository(self, context: Context, parameters: Document) -> Document:
        """Raises RepositoryAlreadyExistsException."""
        _check_registry(context, parameters)
        name = parameters["repositoryName"]
        document: Document = {"imageTagMutability": parameters.get("imageTagMutability", "MUTABLE")}
        if parameters.get("tags"):
            document["_tags"] = _merged_tags([], parameters["tags"])
        made = self._store.create_repository(name, document)
        if made is None:
            raise _error(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name}' already exists in the registry with id '{context.account}'",
            )
        return {"repository": _repository(context, made)}

    @operation("DescribeRepositories")
    def describe_repositories(self, context: Context, parameters: Document) -> Document:
        """Those named, or a page of all, by name. Raises RepositoryNotFoundException."""
        _check_registry(context, parameters)
        names = parameters.get("repositoryNames")
        if names:
            if "nextToken" in parameters or "maxResults" in parameters:
                raise InvalidParameterException("repositoryNames can't go with nextToken or maxResults.")
            return {"repositories": [_repository(context, self._repository(context, name)) for name in names]}
        known = [found for found in self._store.repositories() if _is_ecr_name(found.name)]
        page, token = _page(known, lambda repository: repository.name, parameters)
        return {"repositories": [_repository(context, found) for found in page], **token}

    @operation("DeleteRepository")
    def delete_repository(self, context: Context, parameters: Document) -> Document:
        """Raises RepositoryNotFoundException, and RepositoryNotEmptyException without `force`."""
        _check_registry(context, parameters)
        name = parameters["repositoryName"]
        gone = self._store.delete_repository(name, force=parameters.get("force", False))
        if gone is None:
            raise _no_repository(context, name)
        return {"repository": _repository(context, gone)}

    @operation("PutImageTagMutability", members=MUTABILITY_MEMBERS)
    def put_image_tag_mutability(self, context: Context, parameters: Document) -> Document:
        _check_registry(context, parameters)
        mutability = parameters["imageTagMutability"]
        name = parameters["repositoryName"]
        self._update(context, name, lambda document: document.update(imageTagMutability=mutability))
        return {"registryId": context.account, "repositoryName": name, "imageTagMutability": mutability}

    @operation("PutImageScanningConfiguration", members=SCANNING_MEMBERS)
    def put_image_scanning_configuration(self, context: Context, parameters: Document) -> Document:
        _check_registry(context, parameters)
        self._repository(context, parameters["repositoryName"])
        return {
            "registryId": context.account,
            "repositoryName": parameters["repositoryName"],
            "imageScanningConfiguration": {"scanOnPush": False},
        }

    @operation("GetRepositoryPolicy")
    def get_repository_policy(self, context: Context, parameters: Document) -> Document:
        """Always RepositoryPolicyNotFoundException: none can be set."""
        _check_registry(context, parameters)
        name = self._repository(context, parameters["repositoryName"]).name
        raise _error(
            "RepositoryPolicyNotFoundException",
            f"Repository policy does not exist for the repository with name '{name}' in the registry with id "
            f"'{context.account}'",
        )

    @operation("GetLifecyclePolicy")
    def get_lifecycle_policy(self, context: Context, parameters: Document) -> Document:
        """Always LifecyclePolicyNotFoundException: none can be set."""
        _check_registry(context, parameters)
        name = self._repository(context, parameters["repositoryName"]).name
        raise _error(
            "LifecyclePolicyNotFoundException",
            f"Lifecycle policy does not exist for the repository with name '{name}' in the registry with id "
            f"'{context.account}'",
        )

    # Tags of repositories

    @operation("ListTagsForResource")
    def list_tags_for_resource(self, context: Context, parameters: Document) -> Document:
        repository = self._repository_by_arn(context, parameters["resourceArn"])
        return {"tags": repository.document.get("_tags", [])}

    @operation("TagResource")
    def tag_resource(self, context: Context, parameters: Document) -> Document:
        """Raises TooManyTagsException past 50."""

        def change(document: Document) -> None:
            document["_tags"] = _merged_tags(document.get("_tags", []), parameters["tags"])

        name = self._repository_by_arn(context, parameters["resourceArn"]).name
        self._update(context, name, change)
        return {}

    @operation("UntagResource")
    def untag_resource(self, context: Context, parameters: Document) -> Document:
        def change(document: Document) -> None:
            tags = document.get("_tags", [])
            document["_tags"] = [tag for tag in tags if tag["Key"] not in parameters["tagKeys"]]

        name = self._repository_by_arn(context, parameters["resourceArn"]).name
        self._update(context, name, change)
        return {}

    # Images

    @operation("ListImages")
    def list_images(self, context: Context, parameters: Document) -> Document:
        """A page of (digest, tag), one a tag and one of each image that has none."""
        names = [name for name in self._names(context, parameters) if _wanted(name, parameters)]
        page, token = _page(names, str, parameters)
        return {"imageIds": [_identity(name) for name in page], **token}

    @operation("DescribeImages")
    def describe_images(self, context: Context, parameters: Document) -> Document:
        """A page of images, or those named. Raises ImageNotFoundException."""
        tags = self._names(context, parameters)
        if parameters.get("imageIds"):
            if "nextToken" in parameters or "maxResults" in parameters:
                raise InvalidParameterException("imageIds can't go with nextToken or maxResults.")
            named: dict[str, None] = {}
            for image in parameters["imageIds"]:
                found = _find(tags, image)
                if isinstance(found, tuple):
                    raise _error(
                        "ImageNotFoundException",
                        f"The image with imageId {_image_id_text(image)} does not exist within the repository with "
                        f"name '{parameters['repositoryName']}' in the registry with id '{context.account}'",
                    )
                named[found.digest] = None
            return {"imageDetails": [self._details(context, tags, digest) for digest in named]}
        digests = list(dict.fromkeys(tag.record.digest for tag in tags if _wanted(tag, parameters)))
        page, token = _page(sorted(digests), lambda digest: digest, parameters)
        return {"imageDetails": [self._details(context, tags, digest) for digest in page], **token}

    @operation("BatchGetImage", members=GET_MEMBERS)
    def batch_get_image(self, context: Context, parameters: Document) -> Document:
        """The manifests; of what isn't there, why."""
        tags = self._names(context, parameters)
        images, failures = [], []
        for image in parameters["imageIds"]:
            found = _find(tags, image)
            if isinstance(found, tuple):
                failures.append(_failure(image, *found))
            else:
                images.append(_image(context, parameters["repositoryName"], found, image.get("imageTag")))
        return {"images": images, "failures": failures}

    @operation("PutImage")
    def put_image(self, context: Context, parameters: Document) -> Document:
        """Give an image that is here, named by its manifest, a tag. Raises ImageAlreadyExistsException, and
        ImageTagAlreadyExistsException where the repository's tags are immutable."""
        _check_registry(context, parameters)
        name, tag = parameters["repositoryName"], parameters.get("imageTag")
        self._repository(context, name)
        record = next(
            (record for record in self._store.records() if _manifest(record) == parameters["imageManifest"]), None
        )
        if record is None:
            raise UnsupportedOperation.member(
                "PutImage",
                "imageManifest",
                "Only images that are here can be named; build one: modelwright images build.",
            )
        if parameters.get("imageDigest", record.digest) != record.digest:
            raise _error("ImageDigestDoesNotMatchException", "The image digest does not match the manifest.")
        if tag is None:
            raise UnsupportedOperation.member("PutImage", "an image without imageTag", "Give it a tag.")
        present = _find(self._store.tags(name), {"imageTag": tag})
        if not isinstance(present, tuple) and present.digest == record.digest:
            raise _error(
                "ImageAlreadyExistsException",
                f"Image with digest '{record.digest}' and tag '{tag}' already exists in the repository with name "
                f"'{name}' in registry with id '{context.account}'",
            )
        self._store.put(Reference(name, tag), record)
        return {"image": _image(context, name, record, tag)}

    @operation("BatchDeleteImage")
    def batch_delete_image(self, context: Context, parameters: Document) -> Document:
        """A tag takes the tag away, and the last one the image; a digest takes the image with all its tags."""
        name = parameters["repositoryName"]
        deleted, failures = [], []
        for image in parameters["imageIds"]:
            found = _find(self._names(context, parameters), image)
            if isinstance(found, tuple):
                failures.append(_failure(image, *found))
                continue
            digest = found.digest if "imageTag" not in image else None
            taken = self._store.remove(Reference(name, image.get("imageTag", "latest"), digest))
            deleted += [_identity(name) for name in taken]
        return {"imageIds": deleted, "failures": failures}

    # The registry

    @operation("GetAuthorizationToken")
    def get_authorization_token(self, context: Context, parameters: Document) -> Document:
        """What `docker login` wants. It opens nothing. Tokens are for any registry, as on AWS, whose framework images
        lie in others."""
        token = base64.b64encode(b"AWS:modelwright").decode()
        expires = self._now() + TOKEN_SECONDS
        return {
            "authorizationData": [
                {
                    "authorizationToken": token,
                    "expiresAt": expires,
                    "proxyEndpoint": f"https://{_host(context).replace(context.account, registry, 1)}",
                }
                for registry in parameters.get("registryIds", [context.account])
            ]
        }

    @operation("DescribeRegistry")
    def describe_registry(self, context: Context, parameters: Document) -> Document:
        return {"registryId": context.account, "replicationConfiguration": {"rules": []}}

    def _repository(self, context: Context, name: str) -> Repository:
        found = self._store.repository(name)
        if found is None:
            raise _no_repository(context, name)
        return found

    def _repository_by_arn(self, context: Context, arn: str) -> Repository:
        parsed = Arn.parse(arn)
        if parsed.service != "ecr" or parsed.resource_type != "repository":
            raise InvalidParameterException(f"'{arn}' is not the ARN of a repository.")
        return self._repository(context, parsed.name)

    def _update(self, context: Context, name: str, change: Callable[[Document], None]) -> None:
        if self._store.update_repository(name, change) is None:
            raise _no_repository(context, name)

    def _names(self, context: Context, parameters: Document) -> list[Tag]:
        _check_registry(context, parameters)
        name = self._repository(context, parameters["repositoryName"]).name
        return self._store.names(name)

    def _details(self, context: Context, tags: Sequence[Tag], digest: str) -> Document:
        own = [tag for tag in tags if tag.record.digest == digest]
        return {
            "registryId": context.account,
            "repositoryName": own[0].repository,
            "imageDigest": digest,
            **({"imageTags": tagged} if (tagged := [name.tag for name in own if name.tag]) else {}),
            "imageSizeInBytes": own[0].record.size,
            "imagePushedAt": max(tag.pushed for tag in own),
            "imageManifestMediaType": MEDIA_TYPE,
            "artifactMediaType": MEDIA_TYPE,
            "imageStatus": "ACTIVE",
        }


def _host(context: Context) -> str:
    return f"{context.account}.dkr.ecr.{context.region}.amazonaws.com"


def _repository(context: Context, repository: Repository) -> Document:
    # One that `images build` made has AWS's defaults.
    defaults = {
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    public = {key: value for key, value in repository.document.items() if not key.startswith("_")}
    return {
        "repositoryArn": str(Arn("ecr", context.region, context.account, f"repository/{repository.name}")),
        "registryId": context.account,
        "repositoryName": repository.name,
        "repositoryUri": f"{_host(context)}/{repository.name}",
        "createdAt": repository.created,
        **defaults,
        **public,
    }


def _is_ecr_name(name: str) -> bool:
    """Not of another registry, which `images build -t HOST:PORT/NAME` may name too."""
    return re.fullmatch(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*", name) is not None


def _check_registry(context: Context, parameters: Mapping[str, Any]) -> None:
    registry = parameters.get("registryId", context.account)
    if registry != context.account:
        name = parameters.get("repositoryName") or ", ".join(parameters.get("repositoryNames", []))
        raise _error(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id '{registry}'",
        )


def _merged_tags(present: Iterable[Mapping[str, str]], new: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    merged = {tag["Key"]: tag.get("Value", "") for tag in (*present, *new)}
    if len(merged) > MOST_TAGS:
        raise _error("TooManyTagsException", f"A repository can have {MOST_TAGS} tags; this would make {len(merged)}.")
    return [{"Key": key, "Value": value} for key, value in merged.items()]


def _wanted(name: Tag, parameters: Mapping[str, Any]) -> bool:
    """Whether such an image is asked for. All are active."""
    wanted = parameters.get("filter", {})
    tagged = wanted.get("tagStatus", "ANY") in ("ANY", "TAGGED" if name.tag else "UNTAGGED")
    return tagged and wanted.get("imageStatus", "ANY") in ("ACTIVE", "ANY")


def _identity(name: Tag) -> Document:
    return {"imageDigest": name.record.digest, **({"imageTag": name.tag} if name.tag else {})}


def _find(tags: Sequence[Tag], image: Mapping[str, str]) -> Record | tuple[str, str]:
    """The image of an imageId; else ECR's code and reason for why there is none."""
    digest, tag = image.get("imageDigest"), image.get("imageTag")
    if digest is None and tag is None:
        return "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"
    if digest is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        return "InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex"
    by_tag = next((found.record for found in tags if found.tag == tag), None)
    by_digest = next((found.record for found in tags if found.record.digest == digest), None)
    if tag is not None and digest is not None and by_tag is not None and by_tag.digest != digest:
        return "ImageTagDoesNotMatchDigest", "The tag and the digest name different images"
    record = by_tag if tag is not None else by_digest
    return record if record is not None else ("ImageNotFound", "Requested image not found")


def _failure(image: Mapping[str, str], code: str, reason: str) -> Document:
    return {"imageId": dict(image), "failureCode": code, "failureReason": reason}


def _image(context: Context, repository: str, record: Record, tag: str | None) -> Document:
    return {
        "registryId": context.account,
        "repositoryName": repository,
        "imageId": {"imageDigest": record.digest, **({"imageTag": tag} if tag else {})},
        "imageManifest": _manifest(record),
        "imageManifestMediaType": MEDIA_TYPE,
    }


def _manifest(record: Record) -> str:
    content = {"schemaVersion": 2, "mediaType": MEDIA_TYPE, "digest": record.digest, "config": record.config}
    return json.dumps(content, sort_keys=True)


def _image_id_text(image: Mapping[str, str]) -> str:
    return f"{{imageDigest:'{image.get('imageDigest', 'null')}', imageTag:'{image.get('imageTag', 'null')}'}}"


def _no_repository(context: Context, name: str) -> AwsError:
    return _error(
        "RepositoryNotFoundException",
        f"The repository with name '{name}' does not exist in the registry with id '{context.account}'",
    )


def _error(code: str, message: str) -> AwsError:
    return AwsError(message, code=code)


def _page(
    items: Sequence[_Item], key: Callable[[_Item], str], parameters: Mapping[str, Any]
) -> tuple[list[_Item], dict[str, str]]:
    """A page of items that are in the order of their keys; the token is the last one's key."""
    start = 0
    if "nextToken" in parameters:
        try:
            last = base64.b64decode(parameters["nextToken"].encode(), altchars=b"-_", validate=True).decode()
        except ValueError:
            raise InvalidParameterException("nextToken is not one of this operation's.") from None
        start = sum(key(item) <= last for item in items)
    size = parameters.get("maxResults", PAGE)
    page = list(items[start : start + size])
    if start + size >= len(items):
        return page, {}
    return page, {"nextToken": base64.urlsafe_b64encode(key(page[-1]).encode()).decode()}
