"""S3's multipart uploads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from modelwright.objects import checksums, errors
from modelwright.objects.base import ObjectInfo
from modelwright.objects.checksums import COMPOSITE, FULL_OBJECT
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.index import encode_key
from modelwright.objects.listing import common_prefix
from modelwright.objects.uploads import Chosen, Part, Upload
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.s3 import conditions, streams
from modelwright.services.s3.copies import check_size, copy_source
from modelwright.services.s3.parameters import (
    MAXIMUM_SIZE,
    attributes,
    begin,
    check_key,
    checksum_members,
    condition,
    content_md5,
    encryption_members,
    given_checksum,
    owner,
    quoted,
    seconds,
    verify,
)

_MAXIMUM_PARTS = 10_000
_LIMIT = 1000


class Multipart:
    """An upload from its creation to its completion or its abort."""

    def __init__(self, store: DirectoryStore) -> None:
        self._store = store
        self._uploads = store.uploads

    @operation("CreateMultipartUpload")
    def create_multipart_upload(self, context: Context, parameters: dict[str, Any]) -> Document:
        bucket = begin(context, "CreateMultipartUpload", parameters)
        algorithm, kind = _checksum_of(parameters)
        described = attributes(context, parameters)
        upload = self._uploads.create(bucket, parameters["Key"], described, algorithm, kind)
        result: Document = {"Bucket": bucket, "Key": upload.key, "UploadId": upload.id}
        if algorithm:
            result |= {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
        return {**result, **encryption_members(described.headers)}

    @operation("UploadPart")
    async def upload_part(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchUpload, BadDigest, EntityTooLarge, ..."""
        bucket = begin(context, "UploadPart", parameters)
        wanted, wanted_md5 = given_checksum(parameters), content_md5(parameters)
        size = streams.length(parameters)
        if size is not None and size > MAXIMUM_SIZE:
            raise errors.entity_too_large(size, MAXIMUM_SIZE)
        number = _number(parameters)
        extra = [wanted[0]] if wanted else []
        upload = self._uploads.find(bucket, parameters["Key"], parameters["UploadId"])
        if wanted and upload.algorithm not in (None, wanted[0]):
            raise errors.invalid_request(
                f"Checksum Type mismatch occurred, expected checksum Type: {str(upload.algorithm).lower()}, actual "
                f"checksum Type: {wanted[0].lower()}"
            )
        writer = self._uploads.begin_part(bucket, upload.key, upload.id, number=number, length=size, algorithms=extra)

        def check(size: int, md5: bytes, computed: Mapping[str, bytes]) -> None:
            verify(md5, computed, wanted_md5, wanted)

        def finish(rest: Sequence[bytes]) -> Part:
            writer.write(rest)
            return writer.commit(check)

        try:
            part = await streams.take(parameters.get("Body"), writer.write, finish)
        finally:
            writer.discard()
        result: Document = {"ETag": quoted(part.etag), **_part_checksum(upload, part)}
        if wanted:
            result[f"Checksum{wanted[0]}"] = checksums.encode(wanted[1])
        return {**result, **encryption_members(upload.attributes.headers)}

    @operation("UploadPartCopy")
    def upload_part_copy(self, context: Context, parameters: dict[str, Any]) -> Document:
        """A part from a stretch of an object."""
        bucket = begin(context, "UploadPartCopy", parameters)
        number = _number(parameters)
        info, file = self._store.open(*copy_source(context, parameters))
        with file:
            conditions.check_copy(parameters, info)
            asked = parameters.get("CopySourceRange")
            if asked is None:
                check_size(info)
            start, end = conditions.copy_range(asked, info.size) if asked is not None else (0, info.size)
            if end - start > MAXIMUM_SIZE:
                raise errors.entity_too_large(end - start, MAXIMUM_SIZE)
            writer = self._uploads.begin_part(
                bucket, parameters["Key"], parameters["UploadId"], number=number, length=end - start
            )
            try:
                file.seek(start)
                left = end - start
                while left and (data := file.read(min(left, streams.PIECE))):
                    writer.write([data])
                    left -= len(data)
                part = writer.commit(lambda *_: None)
            finally:
                writer.discard()
        copied = {
            "ETag": quoted(part.etag),
            "LastModified": seconds(part.modified),
            **_part_checksum(writer.upload, part),
        }
        return {"CopyPartResult": copied, **encryption_members(writer.upload.attributes.headers)}

    @operation("CompleteMultipartUpload")
    def complete_multipart_upload(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall, PreconditionFailed, MalformedXML."""
        bucket, key = begin(context, "CompleteMultipartUpload", parameters), parameters["Key"]
        named = (parameters.get("MultipartUpload") or {}).get("Parts") or []
        if not 0 < len(named) <= _MAXIMUM_PARTS or any("PartNumber" not in p or "ETag" not in p for p in named):
            raise errors.malformed_xml()
        chosen = [
            Chosen(
                part["PartNumber"],
                part["ETag"].strip('"'),
                {name: value for name, value in part.items() if name.startswith("Checksum")},
            )
            for part in named
        ]

        def check(info: ObjectInfo) -> None:
            _check_whole(parameters, info)

        depends = condition("CompleteMultipartUpload", parameters)
        info = self._uploads.complete(bucket, key, parameters["UploadId"], chosen, condition=depends, check=check)
        return {
            "Location": f"https://{bucket}.s3.{context.region}.amazonaws.com/{quote(key)}",
            "Bucket": bucket,
            "Key": key,
            "ETag": quoted(info.etag),
            **checksum_members(info),
            **encryption_members(info.headers),
        }

    @operation("AbortMultipartUpload")
    def abort_multipart_upload(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchUpload."""
        bucket = begin(context, "AbortMultipartUpload", parameters)
        self._uploads.abort(bucket, parameters["Key"], parameters["UploadId"])
        return {}

    @operation("ListParts")
    def list_parts(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchUpload."""
        bucket = begin(context, "ListParts", parameters)
        upload = self._uploads.find(bucket, parameters["Key"], parameters["UploadId"])
        after = parameters.get("PartNumberMarker", 0)
        limit = min(parameters.get("MaxParts", _LIMIT), _LIMIT)
        beyond = [part for part in self._uploads.parts(upload.id) if part.number > after]
        shown = beyond[:limit]
        result: Document = {
            "Bucket": bucket,
            "Key": upload.key,
            "UploadId": upload.id,
            "PartNumberMarker": after,
            "NextPartNumberMarker": shown[-1].number if shown else 0,
            "MaxParts": limit,
            "IsTruncated": len(beyond) > len(shown),
            "Initiator": owner(context),
            "Owner": owner(context),
            "StorageClass": "STANDARD",
        }
        if upload.algorithm:
            result |= {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_type}
        if shown:
            result["Parts"] = [
                {
                    "PartNumber": part.number,
                    "LastModified": seconds(part.modified),
                    "ETag": quoted(part.etag),
                    "Size": part.size,
                    **_part_checksum(upload, part),
                }
                for part in shown
            ]
        return result

    @operation("ListMultipartUploads")
    def list_multipart_uploads(self, context: Context, parameters: dict[str, Any]) -> Document:
        """By key, then by time."""
        bucket = begin(context, "ListMultipartUploads", parameters)
        self._store.buckets.find(bucket)
        uploads = self._uploads.in_bucket(bucket, parameters.get("Prefix") or "")
        page, prefixes, truncated, last = _fold(uploads, parameters)
        result: Document = {
            "Bucket": bucket,
            "KeyMarker": parameters.get("KeyMarker") or "",
            "UploadIdMarker": parameters.get("UploadIdMarker") or "",
            "Prefix": parameters.get("Prefix") or "",
            "MaxUploads": min(parameters.get("MaxUploads", _LIMIT), _LIMIT),
            "IsTruncated": truncated,
        }
        for member in ("Delimiter", "EncodingType"):
            if parameters.get(member):
                result[member] = parameters[member]
        if truncated:
            result |= {"NextKeyMarker": last[0], "NextUploadIdMarker": last[1]}
        if page:
            result["Uploads"] = [_upload(context, upload) for upload in page]
        if prefixes:
            result["CommonPrefixes"] = [{"Prefix": prefix} for prefix in prefixes]
        return result


def _checksum_of(parameters: dict[str, Any]) -> tuple[str | None, str | None]:
    """Algorithm and type of an upload's checksum. Raises InvalidRequest for pairs that don't exist."""
    algorithm, kind = parameters.get("ChecksumAlgorithm"), parameters.get("ChecksumType")
    if algorithm is None:
        if kind is not None:
            raise errors.invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )
        return None, None
    if kind is None:
        kind = FULL_OBJECT if algorithm == checksums.DEFAULT_ALGORITHM else COMPOSITE
    possible = checksums.FULL_OBJECT_ALGORITHMS if kind == FULL_OBJECT else checksums.COMPOSITE_ALGORITHMS
    if algorithm not in possible:
        raise errors.invalid_request(
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return algorithm, kind


def _number(parameters: dict[str, Any]) -> int:
    number: int = parameters["PartNumber"]
    if not 1 <= number <= _MAXIMUM_PARTS:
        raise errors.invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", str(number)
        )
    check_key(parameters["Key"])
    return number


def _part_checksum(upload: Upload, part: Part) -> dict[str, str]:
    return {f"Checksum{upload.algorithm}": checksums.encode(part.checksum)} if upload.algorithm else {}


def _check_whole(parameters: dict[str, Any], info: ObjectInfo) -> None:
    """What CompleteMultipartUpload says of the whole. Raises BadDigest, InvalidRequest."""
    size = parameters.get("MpuObjectSize")
    if size is not None and size != info.size:
        raise errors.invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {info.size}"
        )
    kind = parameters.get("ChecksumType")
    if kind is not None and kind != info.checksum_type:
        raise errors.invalid_request(
            f"The upload was created using the {info.checksum_type} checksum mode. The complete request must use the "
            "same checksum mode."
        )
    for algorithm in checksums.ALGORITHMS:
        member = f"Checksum{algorithm}"
        given, computed = parameters.get(member), info.checksums.get(member)
        if given is not None and computed is not None and given not in (computed, computed.partition("-")[0]):
            raise errors.bad_digest(algorithm, given, computed)


def _fold(
    uploads: Sequence[Upload], parameters: dict[str, Any]
) -> tuple[list[Upload], list[str], bool, tuple[str, str]]:
    """A page of uploads, its common prefixes, whether there are more, and where to go on."""
    prefix, delimiter = (encode_key(parameters.get(name) or "") for name in ("Prefix", "Delimiter"))
    limit = min(parameters.get("MaxUploads", _LIMIT), _LIMIT)
    page: list[Upload] = []
    prefixes: list[str] = []
    last = ("", "")
    for upload in _beyond(uploads, parameters.get("KeyMarker") or "", parameters.get("UploadIdMarker")):
        common = common_prefix(encode_key(upload.key), prefix, delimiter) if delimiter else None
        rolled = common.decode("utf-8", "surrogatepass") if common is not None else None
        if rolled is not None and (rolled in prefixes or (parameters.get("KeyMarker") or "").startswith(rolled)):
            continue
        if len(page) + len(prefixes) >= limit:
            return page, prefixes, limit > 0, last
        if rolled is None:
            page.append(upload)
            last = (upload.key, upload.id)
        else:
            prefixes.append(rolled)
            last = (rolled, "")
    return page, prefixes, False, last


def _beyond(uploads: Sequence[Upload], key: str, identifier: str | None) -> Sequence[Upload]:
    """Those after a key; with an upload's id, also the later ones of that key."""
    if not key:
        return uploads
    marker = encode_key(key)
    if identifier:
        for position, upload in enumerate(uploads):
            if (upload.key, upload.id) == (key, identifier):
                return uploads[position + 1 :]
    return [upload for upload in uploads if encode_key(upload.key) > marker]


def _upload(context: Context, upload: Upload) -> Document:
    result: Document = {
        "UploadId": upload.id,
        "Key": upload.key,
        "Initiated": seconds(upload.initiated),
        "StorageClass": "STANDARD",
        "Owner": owner(context),
        "Initiator": owner(context),
    }
    if upload.algorithm:
        result |= {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_type}
    return result
