"""What S3's operations have in common: reading parameters, refusing what can't be honoured, shaping answers.

Encryption: `AES256` and `aws:kms` are accepted, kept and told again, because the SDKs send them unasked; the bytes lie
on this machine's disk as they are, whose encryption is the disk's business. A key of the customer's own is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.objects import checksums, errors
from modelwright.objects.attributes import ALWAYS, Attributes, Condition
from modelwright.objects.base import ObjectInfo
from modelwright.services.dispatch import Context

Parameters = dict[str, Any]

MAXIMUM_SIZE = 5 << 30
"""Bytes of an object that comes in one piece, of a part, and of the source of a copy."""
_CONTENT_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "WebsiteRedirectLocation",
)
ENCRYPTION_HEADERS = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")
_REFUSED = {
    "SSECustomerAlgorithm": "Keys of your own are not supported: leave it out.",
    "SSECustomerKey": "Keys of your own are not supported: leave it out.",
    "SSECustomerKeyMD5": "Keys of your own are not supported: leave it out.",
    "CopySourceSSECustomerAlgorithm": "Keys of your own are not supported: leave it out.",
    "CopySourceSSECustomerKey": "Keys of your own are not supported: leave it out.",
    "CopySourceSSECustomerKeyMD5": "Keys of your own are not supported: leave it out.",
    "SSEKMSEncryptionContext": "Objects are not encrypted with a key: leave it out.",
    "ObjectLockMode": "Objects can't be locked: leave it out.",
    "ObjectLockRetainUntilDate": "Objects can't be locked: leave it out.",
    "ObjectLockLegalHoldStatus": "Objects can't be locked: leave it out.",
    "ObjectLockEventHold": "Objects can't be locked: leave it out.",
    "ObjectLockEventHoldDurationDays": "Objects can't be locked: leave it out.",
    "ObjectLockEventHoldDurationYears": "Objects can't be locked: leave it out.",
    "BypassGovernanceRetention": "Objects can't be locked: leave it out.",
    "MFA": "Versioned buckets are not supported: leave it out.",
    "WriteOffsetBytes": "Appending is for directory buckets, which are not supported: put the whole object.",
    "IfMatchLastModifiedTime": "It is for directory buckets, which are not supported: use IfMatch.",
    "IfMatchSize": "It is for directory buckets, which are not supported: use IfMatch.",
}
_GRANTS = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")
_MAXIMUM_KEY = 1024
_MAXIMUM_METADATA = 2048


def begin(context: Context, operation: str, parameters: Parameters) -> str:
    """The checks that every operation on a bucket starts with; the bucket's name.

    Raises UnsupportedOperation, KeyTooLongError, AccessDenied and what else the parameters deserve.
    """
    for member, instead in _REFUSED.items():
        if parameters.get(member):
            raise UnsupportedOperation.member(operation, member, instead)
    owner = parameters.get("ExpectedBucketOwner")
    if owner is not None and owner != context.account:
        raise access_denied()
    _check_acl(parameters)
    _check_storage(operation, parameters)
    if "Key" in parameters:
        check_key(parameters["Key"])
    check_version(parameters.get("VersionId"), parameters.get("Key", ""))
    return str(parameters["Bucket"])


def access_denied() -> AwsError:
    return AwsError("Access Denied", code="AccessDenied", status=403)


def check_key(key: str) -> None:
    """Raises KeyTooLongError."""
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > _MAXIMUM_KEY:
        raise errors.key_too_long(size)
    if not size:
        raise errors.invalid_argument("A key must have at least one character.", "Key", key)


def check_version(version: str | None, key: str) -> None:
    """Buckets have no versions, so each object has just the one called `null`. Raises NoSuchVersion."""
    if version not in (None, "null", ""):
        raise AwsError(
            "The specified version does not exist.",
            code="NoSuchVersion",
            status=404,
            members={"Key": key, "VersionId": version},
        )


def _check_acl(parameters: Parameters) -> None:
    if parameters.get("ACL") in (None, "private", "bucket-owner-full-control") and not any(
        parameters.get(grant) for grant in _GRANTS
    ):
        return
    raise AwsError("The bucket does not allow ACLs", code="AccessControlListNotSupported")


def _check_storage(operation: str, parameters: Parameters) -> None:
    storage = parameters.get("StorageClass", "STANDARD")
    if storage != "STANDARD":
        raise UnsupportedOperation.member(
            operation, f"StorageClass '{storage}'", "All objects are kept the same way: use STANDARD or leave it out."
        )
    encryption = parameters.get("ServerSideEncryption")
    if encryption not in (None, "AES256", "aws:kms"):
        raise UnsupportedOperation.member(
            operation, f"ServerSideEncryption '{encryption}'", "Use AES256 or aws:kms, or leave it out."
        )
    if parameters.get("SSEKMSKeyId") and encryption != "aws:kms":
        raise errors.invalid_argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : "
            "aws:kms",
            "x-amz-server-side-encryption",
            encryption or "null",
        )


def attributes(context: Context, parameters: Parameters) -> Attributes:
    """Content headers, encryption, metadata and tags of a request that makes an object.

    Raises MetadataTooLarge, InvalidTag, InvalidArgument.
    """
    return Attributes(
        headers={**content_headers(parameters), **encryption(context, parameters)},
        metadata=metadata(parameters),
        tags=tags_of_header(parameters),
    )


def content_headers(parameters: Parameters) -> dict[str, str]:
    headers = {name: str(parameters[name]) for name in _CONTENT_HEADERS if parameters.get(name) not in (None, "")}
    coding = [part.strip() for part in headers.pop("ContentEncoding", "").split(",")]
    left = ",".join(part for part in coding if part and part.lower() != "aws-chunked")
    return {**headers, "ContentEncoding": left} if left else headers


def encryption(context: Context, parameters: Parameters) -> dict[str, str]:
    kind = parameters.get("ServerSideEncryption")
    if kind is None:
        return {}
    headers = {"ServerSideEncryption": kind}
    if kind == "aws:kms":
        default = f"arn:aws:kms:{context.region}:{context.account}:alias/aws/s3"
        headers["SSEKMSKeyId"] = parameters.get("SSEKMSKeyId") or default
        if parameters.get("BucketKeyEnabled"):
            headers["BucketKeyEnabled"] = "true"
    return headers


def metadata(parameters: Parameters) -> dict[str, str]:
    values = {name.lower(): value for name, value in (parameters.get("Metadata") or {}).items()}
    size = sum(len(name.encode()) + len(value.encode()) for name, value in values.items())
    if size > _MAXIMUM_METADATA:
        raise AwsError(
            "Your metadata headers exceed the maximum allowed metadata size",
            code="MetadataTooLarge",
            members={"Size": str(size), "MaxSizeAllowed": str(_MAXIMUM_METADATA)},
        )
    return values


def tags_of_header(parameters: Parameters) -> dict[str, str]:
    """`Tagging` as a query string. Raises InvalidTag, InvalidArgument."""
    text = parameters.get("Tagging")
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise errors.invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
            "name duplicates.",
            "x-amz-tagging",
            text,
        ) from None
    return check_tags([{"Key": key, "Value": value} for key, value in pairs], limit=10)


def check_tags(tags: list[dict[str, str]], limit: int) -> dict[str, str]:
    """A tag set as a mapping. Raises InvalidTag, BadRequest."""
    if len(tags) > limit:
        what = "Object" if limit == 10 else "Bucket"
        raise AwsError(f"{what} tags cannot be greater than {limit}", code="BadRequest")
    result: dict[str, str] = {}
    for tag in tags:
        key, value = tag["Key"], tag["Value"]
        if key in result:
            raise AwsError("Cannot provide multiple Tags with the same key", code="InvalidTag", members={"TagKey": key})
        if not 0 < len(key) <= 128 or key.lower().startswith("aws:"):
            raise AwsError("The TagKey you have provided is invalid", code="InvalidTag", members={"TagKey": key})
        if len(value) > 256:
            raise AwsError(
                "The TagValue you have provided is invalid",
                code="InvalidTag",
                members={"TagKey": key, "TagValue": value},
            )
        result[key] = value
    return result


def condition(operation: str, parameters: Parameters) -> Condition:
    """On what a write depends. Raises UnsupportedOperation for a condition that S3 has not either."""
    absent = parameters.get("IfNoneMatch")
    if absent not in (None, "*"):
        raise AwsError(
            f"A header you provided implies functionality that is not implemented: in {operation}, If-None-Match "
            f"can only be '*', not '{absent}'.",
            code="NotImplemented",
            status=501,
            members={"Header": "If-None-Match"},
        )
    if absent is None and parameters.get("IfMatch") is None:
        return ALWAYS
    return Condition(if_match=parameters.get("IfMatch"), absent=absent is not None)


# Checksums


def given_checksum(parameters: Parameters) -> tuple[str, bytes] | None:
    """The one checksum that the request carries: algorithm and raw value. Raises InvalidRequest."""
    given = [(name, parameters[f"Checksum{name}"]) for name in checksums.ALGORITHMS if f"Checksum{name}" in parameters]
    if not given:
        return None
    if len(given) > 1:
        raise errors.invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    ((name, text),) = given
    value = checksums.decode(name, text)
    if value is None:
        raise errors.invalid_digest(f"x-amz-checksum-{name.lower()}", text)
    return name, value


def content_md5(parameters: Parameters) -> bytes | None:
    """Raises InvalidDigest."""
    text = parameters.get("ContentMD5")
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 16:
        raise errors.invalid_digest("Content-MD5", text)
    return value


def verify(
    md5: bytes,
    computed: Mapping[str, bytes],
    wanted_md5: bytes | None,
    wanted: tuple[str, bytes] | None,
) -> None:
    """Raises BadDigest when what came is not what was promised."""
    if wanted_md5 is not None and md5 != wanted_md5:
        raise errors.bad_digest("Content-MD5", checksums.encode(wanted_md5), checksums.encode(md5))
    if wanted is not None:
        name, value = wanted
        if computed[name] != value:
            raise errors.bad_digest(name, checksums.encode(value), checksums.encode(computed[name]))


# Answers


def quoted(etag: str) -> str:
    return f'"{etag}"'


def seconds(time: float) -> float:
    """S3 tells times in whole seconds."""
    return float(math.floor(time))


def checksum_members(info: ObjectInfo) -> dict[str, str]:
    """`ChecksumCRC32` and its like, with `ChecksumType`."""
    members = dict(info.checksums)
    if members and info.checksum_type:
        members["ChecksumType"] = info.checksum_type
    return members


def encryption_members(headers: Mapping[str, str]) -> Parameters:
    members: Parameters = {name: headers[name] for name in ENCRYPTION_HEADERS if name in headers}
    if "BucketKeyEnabled" in members:
        members["BucketKeyEnabled"] = True
    return members


def owner(context: Context) -> dict[str, str]:
    """The account's canonical user."""
    return {"ID": hashlib.sha256(f"canonical user of {context.account}".encode()).hexdigest()}
