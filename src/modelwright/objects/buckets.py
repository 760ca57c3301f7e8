"""The buckets of a store: few, asked for by every operation, so kept in memory as they stand in the index."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from modelwright.objects import errors
from modelwright.objects.index import Bucket, Index, all_buckets, find_bucket, to_json
from modelwright.objects.uploads import Uploads, forget_uploads

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED = re.compile(r"(xn--|sthree-|amzn-s3-demo-).*|.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)|\d+(\.\d+){3}")


class Buckets:
    """Making, finding and deleting buckets. `collect(blobs)` removes what is garbage now."""

    def __init__(
        self, index: Index, uploads: Uploads, collect: Callable[[Collection[str]], None], now: Callable[[], float]
    ) -> None:
        self._index = index
        self._uploads = uploads
        self._collect = collect
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, Bucket] = {}
        self._read()

    def create(self, name: str, region: str, tags: Mapping[str, str] | None = None) -> bool:
        """Whether it is new. Raises InvalidBucketName."""
        check_name(name)
        with self._index.write() as transaction:
            new = find_bucket(transaction, name) is None
            if new:
                transaction.execute(
                    "INSERT INTO bucket VALUES (?, ?, ?, ?)", (name, self._now(), region, to_json(tags or {}))
                )
        if new or name not in self._known:  # whoever made it a moment ago may not have read it yet
            self._read()
        return new

    def find(self, name: str) -> Bucket:
        """Raises NoSuchBucket."""
        bucket = self._known.get(name)
        if bucket is None:
            raise errors.no_such_bucket(name)
        return bucket

    def all(self) -> Sequence[Bucket]:
        """By name."""
        return tuple(self._known.values())

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Replace its tags. Raises NoSuchBucket."""
        with self._index.write() as transaction:
            require(find_bucket(transaction, name), name)
            transaction.execute("UPDATE bucket SET tags = ? WHERE name = ?", (to_json(tags), name))
        self._read()

    def delete(self, name: str) -> None:
        """Unfinished uploads go with it. Raises NoSuchBucket, BucketNotEmpty."""
        unfinished = self._uploads.in_bucket(name)
        with self._index.write() as transaction:
            require(find_bucket(transaction, name), name)
            if transaction.execute("SELECT 1 FROM object WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise errors.bucket_not_empty(name)
            garbage = forget_uploads(transaction, unfinished)
            transaction.execute("DELETE FROM bucket WHERE name = ?", (name,))
        self._read()
        self._collect(garbage)

    def _read(self) -> None:
        with self._lock:
            self._known = {bucket.name: bucket for bucket in all_buckets(self._index.reader)}


def require(bucket: Bucket | None, name: str) -> None:
    """Raises NoSuchBucket."""
    if bucket is None:
        raise errors.no_such_bucket(name)


def check_name(name: str) -> None:
    """Raises InvalidBucketName."""
    if not _NAME.fullmatch(name) or ".." in name or _RESERVED.fullmatch(name):
        raise errors.invalid_bucket_name(name)
