"""Copying objects, within a bucket and between buckets. The bytes are shared, not copied."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from modelwright.errors import UnsupportedOperation
from modelwright.objects import errors
from modelwright.objects.attributes import Attributes
from modelwright.objects.base import ObjectInfo
from modelwright.objects.directory import DirectoryStore
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.s3 import conditions
from modelwright.services.s3.parameters import (
    ENCRYPTION_HEADERS,
    MAXIMUM_SIZE,
    access_denied,
    attributes,
    begin,
    check_key,
    check_version,
    checksum_members,
    condition,
    encryption,
    encryption_members,
    quoted,
    seconds,
)

_CHANGES = ("WebsiteRedirectLocation", "ServerSideEncryption", "StorageClass")


class Copies:
    """CopyObject."""

    def __init__(self, store: DirectoryStore) -> None:
        self._store = store

    @operation("CopyObject")
    def copy_object(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchKey, PreconditionFailed, and InvalidRequest for a copy onto itself that changes nothing."""
        bucket, key = begin(context, "CopyObject", parameters), parameters["Key"]
        source = copy_source(context, parameters)
        given = attributes(context, parameters)
        replaces = parameters.get("MetadataDirective") == "REPLACE"
        if source == (bucket, key) and not replaces and not any(parameters.get(name) for name in _CHANGES):
            raise errors.invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes."
            )

        def decide(info: ObjectInfo) -> Attributes:
            conditions.check_copy(parameters, info)
            check_size(info)
            return Attributes(
                headers=given.headers if replaces else _kept_headers(info, parameters, encryption(context, parameters)),
                metadata=given.metadata if replaces else info.metadata,
                tags=given.tags if parameters.get("TaggingDirective") == "REPLACE" else info.tags,
            )

        info = self._store.copy(
            source,
            (bucket, key),
            decide,
            algorithm=parameters.get("ChecksumAlgorithm"),
            condition=condition("CopyObject", parameters),
        )
        copied = {"ETag": quoted(info.etag), "LastModified": seconds(info.modified), **checksum_members(info)}
        return {"CopyObjectResult": copied, **encryption_members(info.headers)}


def copy_source(context: Context, parameters: dict[str, Any]) -> tuple[str, str]:
    """Bucket and key of `CopySource`: `bucket/key?versionId=null`, URL-encoded. Raises InvalidArgument."""
    if parameters.get("ExpectedSourceBucketOwner") not in (None, context.account):
        raise access_denied()
    text: str = parameters["CopySource"]
    path, found, version = text.partition("?versionId=")
    try:
        decoded = unquote(path.removeprefix("/"), errors="strict")
    except UnicodeDecodeError:
        raise errors.invalid_argument("Copy Source must be URL-encoded UTF-8", "x-amz-copy-source", text) from None
    if decoded.startswith("arn:"):
        raise UnsupportedOperation.member(
            "CopyObject", f"CopySource '{decoded}'", "Access points are not supported: name it bucket/key."
        )
    bucket, slash, key = decoded.partition("/")
    if not bucket or not slash or not key:
        raise errors.invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", text
        )
    check_key(key)
    check_version(unquote(version) if found else None, key)
    return bucket, key


def check_size(info: ObjectInfo) -> None:
    """Raises InvalidRequest for a source that AWS would not copy in one piece."""
    if info.size > MAXIMUM_SIZE:
        raise errors.invalid_request(
            f"The specified copy source is larger than the maximum allowable size for a copy source: {MAXIMUM_SIZE}"
        )


def _kept_headers(info: ObjectInfo, parameters: dict[str, Any], encrypted: dict[str, str]) -> dict[str, str]:
    """The source's content headers; encryption and redirect are never copied."""
    dropped = {*ENCRYPTION_HEADERS, "WebsiteRedirectLocation"}
    kept = {name: value for name, value in info.headers.items() if name not in dropped}
    redirect = parameters.get("WebsiteRedirectLocation")
    return {**kept, **encrypted, **({"WebsiteRedirectLocation": redirect} if redirect else {})}
