"""Listing objects: both versions of ListObjects, and ListObjectVersions for buckets that have no versions.

Tokens say where to go on and hold nothing else, so they are good after a restart too. Keys are given plainly; the
serializer encodes them when the client asks for `encoding-type=url`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from modelwright.objects import errors
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.index import Entry, decode_key, encode_key
from modelwright.objects.listing import Page, Start
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.s3.parameters import begin, owner, quoted, seconds

_LIMIT = 1000


class Listing:
    """ListObjects and its kin."""

    def __init__(self, store: DirectoryStore) -> None:
        self._store = store

    @operation("ListObjectsV2")
    def list_objects_v2(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises InvalidArgument for a token that isn't ours."""
        name = begin(context, "ListObjectsV2", parameters)
        prefix, delimiter = _text(parameters, "Prefix"), _text(parameters, "Delimiter")
        token, start_after = parameters.get("ContinuationToken"), parameters.get("StartAfter") or ""
        if token is not None:
            start = Start.beyond(_from_token(token), prefix, delimiter, roll=True)
        else:
            start = Start.beyond(encode_key(start_after), prefix, delimiter, roll=False)
        limit = _limit(parameters, "MaxKeys")
        page = self._store.page(name, prefix, delimiter=delimiter, start=start, limit=limit)
        shown_owner = owner(context) if parameters.get("FetchOwner") else None
        result = {
            **_common(name, parameters, page, limit),
            "KeyCount": len(page.items) + len(page.prefixes),
            **_contents(page, shown_owner),
        }
        if token is not None:
            result["ContinuationToken"] = token
        if start_after:
            result["StartAfter"] = start_after
        if page.truncated:
            result["NextContinuationToken"] = _to_token(page.last)
        return result

    @operation("ListObjects")
    def list_objects(self, context: Context, parameters: dict[str, Any]) -> Document:
        """`NextMarker` is told only with a delimiter, as on AWS; else the last key is the next marker."""
        name = begin(context, "ListObjects", parameters)
        prefix, delimiter, marker = (_text(parameters, member) for member in ("Prefix", "Delimiter", "Marker"))
        start = Start.beyond(marker, prefix, delimiter, roll=True)
        limit = _limit(parameters, "MaxKeys")
        page = self._store.page(name, prefix, delimiter=delimiter, start=start, limit=limit)
        result = {
            **_common(name, parameters, page, limit),
            "Marker": parameters.get("Marker") or "",
            **_contents(page, owner(context)),
        }
        if page.truncated and delimiter:
            result["NextMarker"] = decode_key(page.last)
        return result

    @operation("ListObjectVersions")
    def list_object_versions(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Every object as its only version, `null`."""
        name = begin(context, "ListObjectVersions", parameters)
        prefix, delimiter, marker = (_text(parameters, member) for member in ("Prefix", "Delimiter", "KeyMarker"))
        if parameters.get("VersionIdMarker") and not marker:
            raise errors.invalid_argument(
                "A version-id marker cannot be specified without a key marker.",
                "version-id-marker",
                parameters["VersionIdMarker"],
            )
        start = Start.beyond(marker, prefix, delimiter, roll=True)
        limit = _limit(parameters, "MaxKeys")
        page = self._store.page(name, prefix, delimiter=delimiter, start=start, limit=limit)
        contents = _contents(page, owner(context))
        result = {
            **_common(name, parameters, page, limit),
            "KeyMarker": parameters.get("KeyMarker") or "",
            "VersionIdMarker": parameters.get("VersionIdMarker") or "",
        }
        if items := contents.pop("Contents", None):
            result["Versions"] = [{**item, "VersionId": "null", "IsLatest": True} for item in items]
        result |= contents
        if page.truncated:
            result |= {"NextKeyMarker": decode_key(page.last), "NextVersionIdMarker": "null"}
        return result


def _common(name: str, parameters: dict[str, Any], page: Page[Entry], limit: int) -> Document:
    result = {
        "Name": name,
        "Prefix": parameters.get("Prefix") or "",
        "MaxKeys": limit,
        "IsTruncated": page.truncated,
    }
    for member in ("Delimiter", "EncodingType"):
        if parameters.get(member):
            result[member] = parameters[member]
    return result


def _contents(page: Page[Entry], shown_owner: dict[str, str] | None) -> Document:
    result: Document = {}
    if page.items:
        result["Contents"] = [_object(entry, shown_owner) for entry in page.items]
    if page.prefixes:
        result["CommonPrefixes"] = [{"Prefix": decode_key(prefix)} for prefix in page.prefixes]
    return result


def _object(entry: Entry, shown_owner: dict[str, str] | None) -> Document:
    info = entry.info
    result: Document = {
        "Key": info.key,
        "LastModified": seconds(info.modified),
        "ETag": quoted(info.etag),
        "ChecksumAlgorithm": [name.removeprefix("Checksum") for name in info.checksums],
        "Size": info.size,
        "StorageClass": "STANDARD",
    }
    if info.checksum_type:
        result["ChecksumType"] = info.checksum_type
    if shown_owner:
        result["Owner"] = shown_owner
    return result


def _text(parameters: dict[str, Any], member: str) -> bytes:
    return encode_key(parameters.get(member) or "")


def _limit(parameters: dict[str, Any], member: str) -> int:
    limit: int = parameters.get(member, _LIMIT)
    if limit < 0:
        raise errors.invalid_argument(
            "Argument maxKeys must be an integer between 0 and 2147483647", "max-keys", str(limit)
        )
    return min(limit, _LIMIT)


def _to_token(last: bytes) -> str:
    return base64.urlsafe_b64encode(last).decode()


def _from_token(token: str) -> bytes:
    try:
        key = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise errors.invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
    return key
