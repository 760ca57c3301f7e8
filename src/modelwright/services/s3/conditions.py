"""Reading on conditions and in ranges, as RFC 9110 and S3 have it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

from modelwright.objects import errors
from modelwright.objects.base import ObjectInfo

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)


def check_read(parameters: dict[str, Any], info: ObjectInfo) -> None:
    """GetObject's and HeadObject's conditions. Raises PreconditionFailed, NotModified."""
    modified = math.floor(info.modified)
    if (match := parameters.get("IfMatch")) is not None:
        if not matches(match, info.etag):
            raise errors.precondition_failed("If-Match")
    elif (since := parameters.get("IfUnmodifiedSince")) is not None and modified > since:
        raise errors.precondition_failed("If-Unmodified-Since")
    if (none_match := parameters.get("IfNoneMatch")) is not None:
        unchanged = matches(none_match, info.etag)
    else:
        since = parameters.get("IfModifiedSince")
        unchanged = since is not None and modified <= since
    if unchanged:
        raise errors.not_modified({"ETag": f'"{info.etag}"', "Last-Modified": formatdate(modified, usegmt=True)})


def check_copy(parameters: dict[str, Any], info: ObjectInfo) -> None:
    """CopyObject's conditions on its source. Raises PreconditionFailed."""
    modified = math.floor(info.modified)
    if (match := parameters.get("CopySourceIfMatch")) is not None:
        if not matches(match, info.etag):
            raise errors.precondition_failed("x-amz-copy-source-If-Match")
    elif (since := parameters.get("CopySourceIfUnmodifiedSince")) is not None and modified > since:
        raise errors.precondition_failed("x-amz-copy-source-If-Unmodified-Since")
    if (none_match := parameters.get("CopySourceIfNoneMatch")) is not None:
        if matches(none_match, info.etag):
            raise errors.precondition_failed("x-amz-copy-source-If-None-Match")
    elif (since := parameters.get("CopySourceIfModifiedSince")) is not None and modified <= since:
        raise errors.precondition_failed("x-amz-copy-source-If-Modified-Since")


def matches(condition: str, etag: str) -> bool:
    """Whether `*` or a list of ETags, quoted or not, holds this one."""
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in condition.split(",")]
    return condition.strip() == "*" or etag in tags


def byte_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None: the whole, as for what is no single range (S3 ignores it).

    Raises InvalidRange.
    """
    found = _RANGE.fullmatch(text) if text else None
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
        if not int(last):
            raise errors.invalid_range(str(text), size)
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise errors.invalid_range(str(text), size)
    return start, end


def part_range(number: int, sizes: Sequence[int], size: int) -> tuple[int, int]:
    """Where a part lies in the object; an object that came in one piece is its own part 1. Raises InvalidPartNumber."""
    parts = list(sizes) or [size]
    if not 1 <= number <= len(parts):
        raise errors.invalid_part_number(number, len(parts))
    start = sum(parts[: number - 1])
    return start, start + parts[number - 1]


def copy_range(text: str, size: int) -> tuple[int, int]:
    """UploadPartCopy's range, which must lie in the source. Raises InvalidArgument."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", text, re.ASCII)
    if found is None:
        raise errors.invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            text,
        )
    start, end = int(found[1]), int(found[2]) + 1
    if start >= end or end > size:
        raise errors.invalid_argument(
            f"Range specified is not valid for source object of size: {size}", "x-amz-copy-source-range", text
        )
    return start, end
