"""What every object store offers: bytes with AWS's metadata, by bucket and key.

Plain synchronous calls; whoever streams wraps them in threads. A write is seen whole or not at all, and once it has
returned it survives a kill. Errors are S3's (`NoSuchBucket`, `NoSuchKey`, `PreconditionFailed`, ... as AwsError).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """What HeadObject says. `etag` without quotes, `modified` in epoch seconds, `checksums` base64 by S3's names
    (`ChecksumCRC32`), `headers` the content headers by S3's member names (`ContentType`, `CacheControl`, ...)."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: float
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """The part of a store that the engine uses for inputs and outputs; S3's own operations need more."""

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object under the prefix, in key order (UTF-8 bytes). Raises NoSuchBucket."""
        ...

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """Raises NoSuchKey, NoSuchBucket."""
        ...

    def read(self, bucket: str, key: str) -> bytes:
        """The whole object: for small ones (manifests, reports). Raises NoSuchKey, NoSuchBucket."""
        ...

    def path(self, bucket: str, key: str) -> Path:
        """A local file with the object's bytes, never to be written to. Raises NoSuchKey, NoSuchBucket."""
        ...

    def view(self, bucket: str, prefix: str) -> Path:
        """A local folder that holds just the objects under the prefix as they are now, as files.

        Names are the keys with everything up to the prefix's last `/` taken off (an exact key gives its file name);
        keys that end in `/` are folders. It never changes afterwards and must never be written to: mount it `ro` or
        `cow`. The same content gives the same folder, so the second job pays nothing. Raises NoSuchBucket, NoSuchKey
        (nothing under the prefix), and ValidationException naming the keys that no folder can hold (`a` beside `a/b`).
        """
        ...

    def put_file(self, bucket: str, key: str, source: Path, *, move: bool = False) -> ObjectInfo:
        """Store a file's bytes; `move` may take the file itself instead of copying it. Raises NoSuchBucket."""
        ...

    def put_bytes(self, bucket: str, key: str, data: bytes) -> ObjectInfo:
        """Store some bytes. Raises NoSuchBucket."""
        ...
