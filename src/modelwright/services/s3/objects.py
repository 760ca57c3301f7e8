"""S3's objects: put, get, head, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelwright.errors import AwsError
from modelwright.objects import checksums, errors
from modelwright.objects.attributes import ALWAYS, Condition
from modelwright.objects.base import ObjectInfo
from modelwright.objects.blobs import Sealed
from modelwright.objects.directory import DirectoryStore
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.s3 import conditions, streams
from modelwright.services.s3.buckets import full_control
from modelwright.services.s3.parameters import (
    attributes,
    begin,
    check_key,
    check_version,
    checksum_members,
    condition,
    content_md5,
    encryption_members,
    given_checksum,
    quoted,
    seconds,
    verify,
)

_OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}
_DELETE_LIMIT = 1000


class Objects:
    """Objects, whole or in ranges."""

    def __init__(self, store: DirectoryStore) -> None:
        self._store = store

    @operation("PutObject")
    async def put_object(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchBucket, BadDigest, InvalidDigest, PreconditionFailed, EntityTooLarge, ..."""
        bucket, key = begin(context, "PutObject", parameters), parameters["Key"]
        described = attributes(context, parameters)
        depends = condition("PutObject", parameters)
        wanted, wanted_md5 = given_checksum(parameters), content_md5(parameters)
        self._refuse_early(bucket, key, depends)
        algorithm = stored_algorithm(parameters, wanted)
        writer = self._store.begin(algorithm)

        def check(sealed: Sealed) -> None:
            verify(sealed.md5, sealed.checksums, wanted_md5, wanted)

        def finish(rest: Sequence[bytes]) -> ObjectInfo:
            writer.write(rest)
            return self._store.put(bucket, key, writer, described, condition=depends, check=check)

        try:
            info = await streams.take(parameters.get("Body"), writer.write, finish)
        finally:
            writer.discard()
        return {"ETag": quoted(info.etag), **checksum_members(info), **encryption_members(info.headers)}

    def _refuse_early(self, bucket: str, key: str, depends: Condition) -> None:
        """Before gigabytes are sent for nothing; what counts is judged when they are stored."""
        self._store.buckets.find(bucket)
        if depends is not ALWAYS:
            try:
                current = self._store.entry(bucket, key)
            except AwsError:
                depends.check(key, None)
            else:
                depends.check(key, current)

    @operation("GetObject")
    async def get_object(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The whole, a range (206) or a part (206). Raises NoSuchKey, InvalidRange, NotModified, ..."""
        bucket = begin(context, "GetObject", parameters)
        info, file = self._store.open(bucket, parameters["Key"])
        try:
            result, start, end = self._describe(parameters, info)
        except BaseException:
            file.close()
            raise
        result["Body"] = streams.file_body(file, start, end)
        return result

    @operation("HeadObject", quick=True)
    def head_object(self, context: Context, parameters: dict[str, Any]) -> Document:
        """GetObject's answer without the bytes."""
        bucket = begin(context, "HeadObject", parameters)
        info = self._store.head(bucket, parameters["Key"])
        return self._describe(parameters, info)[0]

    def _describe(self, parameters: dict[str, Any], info: ObjectInfo) -> tuple[Document, int, int]:
        """The answer's members, and the stretch that was asked for."""
        conditions.check_read(parameters, info)
        result = described(info)
        for override, member in _OVERRIDES.items():
            if override in parameters:
                result[member] = parameters[override]
        stretch = self._stretch(parameters, info, result)
        start, end = stretch or (0, info.size)
        if stretch is not None:
            result["_status"] = 206
            result["ContentRange"] = f"bytes {start}-{end - 1}/{info.size}"
        result["ContentLength"] = end - start
        if parameters.get("ChecksumMode") == "ENABLED" and (stretch is None or (start, end) == (0, info.size)):
            result |= checksum_members(info)
        if info.tags:
            result["TagCount"] = len(info.tags)
        return result, start, end

    def _stretch(self, parameters: dict[str, Any], info: ObjectInfo, result: Document) -> tuple[int, int] | None:
        number = parameters.get("PartNumber")
        if number is None:
            return conditions.byte_range(parameters.get("Range"), info.size)
        if parameters.get("Range"):
            raise errors.invalid_request("Cannot specify both Range header and partNumber query parameter")
        parts = self._store.parts(info.bucket, info.key)
        stretch = conditions.part_range(number, [size for _, size, _ in parts], info.size)
        if parts:
            result["PartsCount"] = len(parts)
        return stretch if info.size else None

    # Delete

    @operation("DeleteObject")
    def delete_object(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Fine also when there was none."""
        bucket = begin(context, "DeleteObject", parameters)
        depends = condition("DeleteObject", parameters)
        self._store.delete(bucket, parameters["Key"], depends)
        return {}

    @operation("DeleteObjects")
    def delete_objects(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Up to 1,000 at once. Raises MalformedXML; what is wrong with a single one stands in `Errors`."""
        bucket = begin(context, "DeleteObjects", parameters)
        wanted = parameters["Delete"]["Objects"]
        if not 0 < len(wanted) <= _DELETE_LIMIT:
            raise errors.malformed_xml()
        failures: list[Document] = []
        keys: list[tuple[str, Condition]] = []
        for item in wanted:
            try:
                check_key(item["Key"])
                check_version(item.get("VersionId"), item["Key"])
                keys.append((item["Key"], _delete_condition(item)))
            except AwsError as error:
                failures.append(_failure(item["Key"], error))
        deleted = []
        for (key, _), outcome in zip(keys, self._store.delete_many(bucket, keys), strict=True):
            if isinstance(outcome, AwsError):
                failures.append(_failure(key, outcome))
            else:
                deleted.append({"Key": key})
        result: Document = {}
        if deleted and not parameters["Delete"].get("Quiet"):
            result["Deleted"] = deleted
        if failures:
            result["Errors"] = failures
        return result

    @operation("GetObjectAcl", quick=True)
    def get_object_acl(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Everything to the owner."""
        self._store.head(begin(context, "GetObjectAcl", parameters), parameters["Key"])
        return full_control(context)

    @operation("GetObjectAttributes", quick=True)
    def get_object_attributes(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Those that were asked for, each as HeadObject and ListParts would tell it."""
        info = self._store.head(begin(context, "GetObjectAttributes", parameters), parameters["Key"])
        asked = set(parameters["ObjectAttributes"])
        result: Document = {"LastModified": seconds(info.modified)}
        if "ETag" in asked:
            result["ETag"] = info.etag
        if "Checksum" in asked and info.checksums:
            result["Checksum"] = checksum_members(info)
        if "ObjectSize" in asked:
            result["ObjectSize"] = info.size
        if "StorageClass" in asked:
            result["StorageClass"] = "STANDARD"
        if "ObjectParts" in asked and (parts := self._store.parts(info.bucket, info.key)):
            result["ObjectParts"] = _parts(parameters, info, parts)
        return result


def described(info: ObjectInfo) -> Document:
    """What Get and Head say of an object."""
    result: Document = {
        "AcceptRanges": "bytes",
        "LastModified": seconds(info.modified),
        "ETag": quoted(info.etag),
        "ContentType": "binary/octet-stream",
        **info.headers,
        **encryption_members(info.headers),
    }
    if "Expires" in result:
        result["Expires"] = float(result["Expires"])
    if info.metadata:
        result["Metadata"] = dict(info.metadata)
    return result


def stored_algorithm(parameters: dict[str, Any], wanted: tuple[str, bytes] | None) -> str:
    """The checksum to keep: the one that came, or was announced for the end of the body, or S3's own choice."""
    if wanted is not None:
        return wanted[0]
    if asked := parameters.get("ChecksumAlgorithm"):
        return str(asked)
    return checksums.DEFAULT_ALGORITHM


def _delete_condition(item: dict[str, Any]) -> Condition:
    for member in ("LastModifiedTime", "Size"):
        if member in item:
            raise AwsError(
                f"{member} is for directory buckets, which are not supported: use ETag.", code="NotImplemented"
            )
    return Condition(if_match=item["ETag"]) if "ETag" in item else ALWAYS


def _failure(key: str, error: AwsError) -> Document:
    return {"Key": key, "Code": error.code, "Message": error.message}


def _parts(parameters: dict[str, Any], info: ObjectInfo, parts: list[tuple[int, int, str | None]]) -> Document:
    after, limit = parameters.get("PartNumberMarker", 0), parameters.get("MaxParts", 1000)
    beyond = [part for part in parts if part[0] > after]
    shown = beyond[:limit]
    result: Document = {
        "TotalPartsCount": len(parts),
        "PartNumberMarker": after,
        "NextPartNumberMarker": shown[-1][0] if shown else 0,
        "MaxParts": limit,
        "IsTruncated": len(beyond) > len(shown),
    }
    member = next(iter(info.checksums), "")
    told = [{"PartNumber": number, "Size": size, member: checksum} for number, size, checksum in shown if checksum]
    if told:
        result["Parts"] = told
    return result
