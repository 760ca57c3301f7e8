"""The entity tag of what was looked at, so that nothing else is used in its place afterwards.

Objects can be overwritten, and whoever may do that is not whoever approves. So what an approval is about is named by
place and ETag: model data when its package is registered, a pipeline's artifacts when they are made. Rule: an ETag is
compared where the bytes are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from modelwright.errors import AwsError
from modelwright.objects.base import ObjectStore

_MISSING = ("NoSuchKey", "NoSuchBucket", "404")


def object_tag(objects: ObjectStore, bucket: str, key: str) -> str | None:
    """An object's ETag; None where there is none."""
    try:
        return objects.head(bucket, key).etag
    except AwsError as error:
        if error.code in _MISSING:
            return None
        raise


def model_data_tag(objects: ObjectStore, container: Mapping[str, Any]) -> str | None:
    """The ETag of a container's model data; of data that is a prefix, one of all its names and ETags together.

    None where it has none, or where there is nothing.
    """
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri = str(container.get("ModelDataUrl") or source.get("S3Uri") or "")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        return None
    if source.get("S3DataType") == "S3Prefix" and source.get("CompressionType") != "Gzip":
        return _prefix_tag(objects, bucket, key)
    return object_tag(objects, bucket, key) if key else None


def _prefix_tag(objects: ObjectStore, bucket: str, prefix: str) -> str | None:
    digest, count = hashlib.sha256(), 0
    try:
        for info in objects.list(bucket, prefix):
            digest.update(f"{info.key}\0{info.etag}\0".encode())
            count += 1
    except AwsError as error:
        if error.code not in _MISSING:
            raise
    return f"{digest.hexdigest()[:32]}-{count}" if count else None
