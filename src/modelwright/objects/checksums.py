"""Digests of what is written: MD5 for the ETag, and S3's ten checksums.

Values are raw bytes here; `encode` makes S3's base64. A multipart object has either the checksum of its whole content
(`FULL_OBJECT`, CRCs only: they can be combined) or the checksum of its parts' checksums and `-N` (`COMPOSITE`).
The big ones are computed by libraries that let go of the interpreter lock, so call from a worker thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from awscrt import checksums as crt
from isal import isal_zlib

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
DEFAULT_ALGORITHM = "CRC64NVME"
"""What S3 computes itself when the client sends no checksum."""

Chunk = bytes | bytearray | memoryview


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: Chunk, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A running CRC."""

    def __init__(self, step: Callable[[Chunk, int], int], width: int) -> None:
        self._step = step
        self._width = width
        self._value = 0

    def update(self, data: Chunk, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


class _XxHash:
    def __init__(self, state: crt.XXHash) -> None:
        self._state = state

    def update(self, data: Chunk, /) -> None:
        self._state.update(bytes(data))  # the library takes nothing else, whatever its types say

    def digest(self) -> bytes:
        return bytes(self._state.finalize())


_NEW: dict[str, Callable[[], Digest]] = {
    "CRC32": lambda: _Crc(isal_zlib.crc32, 4),
    "CRC32C": lambda: _Crc(crt.crc32c, 4),
    "CRC64NVME": lambda: _Crc(crt.crc64nvme, 8),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "XXHASH64": lambda: _XxHash(crt.XXHash.new_xxhash64()),
    "XXHASH3": lambda: _XxHash(crt.XXHash.new_xxhash3_64()),
    "XXHASH128": lambda: _XxHash(crt.XXHash.new_xxhash3_128()),
}
_WIDTH = {name: len(new().digest()) for name, new in _NEW.items()}
_COMBINE: dict[str, Callable[[int, int, int], int]] = {
    "CRC32": crt.combine_crc32,
    "CRC32C": crt.combine_crc32c,
    "CRC64NVME": crt.combine_crc64nvme,
}

ALGORITHMS = tuple(_NEW)
FULL_OBJECT_ALGORITHMS = frozenset(_COMBINE)
"""Those that a multipart object may have over its whole content."""
COMPOSITE_ALGORITHMS = frozenset(ALGORITHMS) - {"CRC64NVME"}


def new(algorithm: str) -> Digest:
    """A running digest of one of ALGORITHMS."""
    return _NEW[algorithm]()


class Hasher:
    """MD5 and the asked checksums of one stream, in one pass."""

    def __init__(self, algorithms: Iterable[str] = ()) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._others = {name: _NEW[name]() for name in algorithms if name != "MD5"}
        self._wants_md5 = "MD5" in set(algorithms)

    def update(self, data: Chunk) -> None:
        self.size += len(data)
        self._md5.update(data)
        for digest in self._others.values():
            digest.update(data)

    def md5(self) -> bytes:
        return self._md5.digest()

    def values(self) -> dict[str, bytes]:
        """By algorithm, raw. Call once, at the end."""
        values = {name: digest.digest() for name, digest in self._others.items()}
        if self._wants_md5:
            values["MD5"] = self._md5.digest()
        return values


def encode(value: bytes) -> str:
    """S3's form of a checksum."""
    return base64.b64encode(value).decode()


def decode(algorithm: str, text: str) -> bytes | None:
    """The raw value of a client's base64, None when it can't be a value of this algorithm."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if len(value) == _WIDTH[algorithm] else None


def composite(algorithm: str, parts: Sequence[bytes]) -> str:
    """The checksum of the parts' checksums, as S3 writes it."""
    digest = _NEW[algorithm]()
    digest.update(b"".join(parts))
    return f"{encode(digest.digest())}-{len(parts)}"


def full_object(algorithm: str, parts: Sequence[tuple[bytes, int]]) -> bytes:
    """The CRC of the whole from the (CRC, size) of its parts."""
    combine = _COMBINE[algorithm]
    total = 0
    for value, size in parts:
        total = combine(total, int.from_bytes(value, "big"), size)
    return total.to_bytes(_WIDTH[algorithm], "big")


def multipart_etag(parts: Sequence[bytes]) -> str:
    """The ETag of a multipart object from the raw MD5s of its parts."""
    return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"
