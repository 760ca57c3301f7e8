"""Multipart uploads: parts that arrive in any order and become one object.

Almost every client sends parts of one size, so the parts are written where they will lie in the finished object, side
by side in one blob (the slab), and completing copies nothing. A part that doesn't fit (another size, a second try
of a number, a slab that is being completed) gets a blob of its own; then completing copies.
"""

from __future__ import annotations

import itertools
import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelwright.errors import AwsError
from modelwright.objects import checksums, errors
from modelwright.objects.attributes import ALWAYS, Attributes, Condition
from modelwright.objects.base import ObjectInfo
from modelwright.objects.blobs import Blobs, BlobWriter
from modelwright.objects.checksums import Chunk, Hasher
from modelwright.objects.index import (
    Entry,
    Index,
    add_garbage,
    decode_key,
    encode_key,
    find_bucket,
    find_object,
    note_untold,
    put_object,
    to_json,
)

MINIMUM_PART = 5 << 20
"""Bytes that every part but the last must have."""


@dataclass(frozen=True)
class Upload:
    """`algorithm` and `checksum_type` as asked at creation; None: nothing was asked."""

    id: str
    bucket: str
    key: str
    initiated: float
    attributes: Attributes
    algorithm: str | None
    checksum_type: str | None
    slab: str


@dataclass(frozen=True)
class Part:
    """A part that has arrived. `checksum` is the raw value of the upload's algorithm (CRC64NVME without one)."""

    number: int
    size: int
    md5: bytes
    modified: float
    checksum: bytes
    blob: str
    position: int

    @property
    def etag(self) -> str:
        return self.md5.hex()


@dataclass(frozen=True)
class Chosen:
    """A part as CompleteMultipartUpload names it."""

    number: int
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Slab:
    """What this process knows of an upload's slab."""

    stride: int | None
    taken: set[int]
    writing: int = 0
    sealed: bool = False
    completing: threading.Lock = field(default_factory=threading.Lock)


class PartWriter:
    """One part on its way in. `commit` makes it known, `discard` forgets it. `slot`: its place in the slab and size."""

    def __init__(
        self, uploads: Uploads, upload: Upload, number: int, writer: BlobWriter, slot: tuple[int, int] | None = None
    ) -> None:
        self.upload = upload
        self._uploads = uploads
        self._number = number
        self._writer = writer
        self._slot = slot
        self._open = True

    @property
    def size(self) -> int:
        return self._writer.size

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Raises IncompleteBody when more comes than was announced, for then it might not be ours to overwrite."""
        size = self._writer.size + sum(len(chunk) for chunk in chunks)
        if self._slot is not None and size > self._slot[1]:
            raise errors.incomplete_body(self._slot[1], size)
        self._writer.write(chunks)

    def commit(self, check: Callable[[int, bytes, Mapping[str, bytes]], None]) -> Part:
        """Seal, let `check(size, md5, checksums)` judge, record. Raises NoSuchUpload and what `check` raises."""
        sealed = self._writer.seal()
        try:
            check(sealed.size, sealed.md5, sealed.checksums)
            checksum = sealed.checksums[self.upload.algorithm or checksums.DEFAULT_ALGORITHM]
            part = Part(
                number=self._number,
                size=sealed.size,
                md5=sealed.md5,
                modified=self._uploads.now(),
                checksum=checksum,
                blob=sealed.blob,
                position=self._slot[0] if self._slot else 0,
            )
            self._uploads.record(self.upload, part)
        except BaseException:
            self.discard()
            raise
        self._close(failed=False)
        return part

    def discard(self) -> None:
        """Give up; safe at any time, after `commit` it does nothing."""
        if self._open:
            self._writer.discard()
            self._close(failed=True)

    def _close(self, *, failed: bool) -> None:
        if self._open and self._slot is not None:
            self._uploads.left_slab(self.upload, self._number, failed=failed)
        self._open = False


class Uploads:
    """The multipart uploads of a store. `publish(entry, old blob, whether it is wanted)` is called after a completed
    object's commit; `is_wanted(bucket, key)` says whether somebody must hear of it."""

    def __init__(
        self,
        index: Index,
        blobs: Blobs,
        publish: Callable[[Entry, str | None, bool], None],
        is_wanted: Callable[[str, str], bool],
        now: Callable[[], float],
    ) -> None:
        self.now = now
        self._index = index
        self._blobs = blobs
        self._publish = publish
        self._is_wanted = is_wanted
        self._lock = threading.Lock()
        self._slabs: dict[str, _Slab] = {}

    def create(
        self, bucket: str, key: str, attributes: Attributes, algorithm: str | None, checksum_type: str | None
    ) -> Upload:
        """Raises NoSuchBucket."""
        upload = Upload(
            secrets.token_hex(24), bucket, key, self.now(), attributes, algorithm, checksum_type, self._blobs.new()
        )
        document = {
            "h": dict(attributes.headers),
            "m": dict(attributes.metadata),
            "g": dict(attributes.tags),
            "a": algorithm,
            "t": checksum_type,
        }
        with self._index.write() as transaction:
            if find_bucket(transaction, bucket) is None:
                raise errors.no_such_bucket(bucket)
            transaction.execute(
                "INSERT INTO upload VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (upload.id, bucket, encode_key(key), upload.initiated, to_json(document), upload.slab),
            )
        return upload

    def find(self, bucket: str, key: str, upload: str) -> Upload:
        """Raises NoSuchUpload, NoSuchBucket."""
        reader = self._index.reader
        found = _find(reader, upload)
        if found is None or (found.bucket, found.key) != (bucket, key):
            if find_bucket(reader, bucket) is None:
                raise errors.no_such_bucket(bucket)
            raise errors.no_such_upload(upload)
        return found

    def in_bucket(self, bucket: str, prefix: str = "") -> list[Upload]:
        """By key, then by time."""
        rows = self._index.reader.execute(
            "SELECT * FROM upload WHERE bucket = ? ORDER BY key, initiated, id", (bucket,)
        ).fetchall()
        uploads = [_to_upload(row) for row in rows]
        return [upload for upload in uploads if upload.key.startswith(prefix)]

    def parts(self, upload: str) -> list[Part]:
        """By number."""
        return _parts(self._index.reader, upload)

    # Parts

    def begin_part(
        self, bucket: str, key: str, upload: str, *, number: int, length: int | None, algorithms: Sequence[str] = ()
    ) -> PartWriter:
        """`length` in bytes where it is known before; more `algorithms` than the upload's own may be computed.

        Raises NoSuchUpload.
        """
        found = self.find(bucket, key, upload)
        hasher = Hasher({found.algorithm or checksums.DEFAULT_ALGORITHM, *algorithms})
        position = self._reserve(found, number, length)
        if position is None or length is None:
            return PartWriter(self, found, number, self._blobs.write(hasher))
        writer = self._blobs.write_at(found.slab, position, hasher)
        return PartWriter(self, found, number, writer, (position, length))

    def _reserve(self, upload: Upload, number: int, length: int | None) -> int | None:
        """The part's place in the slab; None: it needs a blob of its own."""
        if not length:
            return None
        with self._lock:
            slab = self._slab(upload)
            if slab.stride is None and length >= MINIMUM_PART:
                slab.stride = length
                with self._index.write() as transaction:
                    transaction.execute("UPDATE upload SET stride = ? WHERE id = ?", (length, upload.id))
            if slab.stride is None or length > slab.stride or slab.sealed or number in slab.taken:
                return None
            slab.taken.add(number)
            slab.writing += 1
            return (number - 1) * slab.stride

    def _slab(self, upload: Upload) -> _Slab:
        slab = self._slabs.get(upload.id)
        if slab is None:
            reader = self._index.reader
            row = reader.execute("SELECT stride FROM upload WHERE id = ?", (upload.id,)).fetchone()
            if row is None:  # completed a moment ago: its slab is an object now
                raise errors.no_such_upload(upload.id)
            taken = {part.number for part in _parts(reader, upload.id) if part.blob == upload.slab}
            slab = self._slabs[upload.id] = _Slab(row[0], taken)
        return slab

    def left_slab(self, upload: Upload, number: int, *, failed: bool) -> None:
        """A writer has closed the slab; when it failed, its place is free again."""
        with self._lock:
            slab = self._slabs.get(upload.id)
            if slab is not None:
                slab.writing -= 1
                if failed:
                    slab.taken.discard(number)
        if failed and _find(self._index.reader, upload.id) is None:
            self._blobs.remove(upload.slab)  # the upload ended without this slab, and we made the file again

    def record(self, upload: Upload, part: Part) -> None:
        """Make a sealed part known. Raises NoSuchUpload when the upload has ended meanwhile."""
        with self._index.write() as transaction:
            if _find(transaction, upload.id) is None:
                raise errors.no_such_upload(upload.id)
            row = transaction.execute(
                "SELECT blob FROM part WHERE upload = ? AND number = ?", (upload.id, part.number)
            ).fetchone()
            replaced = [row[0]] if row and row[0] != upload.slab else []
            add_garbage(transaction, replaced)
            transaction.execute(
                "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (upload.id, part.number, part.blob, part.position, part.size, part.md5, part.modified, part.checksum),
            )
        self._collect(replaced)

    # The end

    def complete(
        self,
        bucket: str,
        key: str,
        upload: str,
        chosen: Sequence[Chosen],
        *,
        condition: Condition = ALWAYS,
        check: Callable[[ObjectInfo], None] = lambda info: None,
    ) -> ObjectInfo:
        """Make the object. `check` may refuse what it would become. A repeated call gives the first one's answer.

        Raises NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall, PreconditionFailed.
        """
        try:
            found = self.find(bucket, key, upload)
        except AwsError:
            return self._completed(bucket, key, upload)
        try:
            with self._lock:
                slab = self._slab(found)
        except AwsError:
            return self._completed(bucket, key, upload)
        with slab.completing:
            available = self.parts(upload)
            if _find(self._index.reader, upload) is None:
                return self._completed(bucket, key, upload)
            parts = _choose(found, chosen, {part.number: part for part in available})
            info = _finished(found, parts, self.now())
            check(info)
            return self._finish(found, slab, parts, info, condition)

    def _completed(self, bucket: str, key: str, upload: str) -> ObjectInfo:
        """The answer for an upload that is no more: fine, if the object is still the one that it made."""
        entry = find_object(self._index.reader, bucket, key)
        if entry is None or entry.upload != upload:
            if find_bucket(self._index.reader, bucket) is None:
                raise errors.no_such_bucket(bucket)
            raise errors.no_such_upload(upload)
        return entry.info

    def _finish(
        self, upload: Upload, slab: _Slab, parts: Sequence[Part], info: ObjectInfo, condition: Condition
    ) -> ObjectInfo:
        with self._lock:
            slab.sealed = True
            direct = not slab.writing and _lie_in_order(parts, upload.slab)
        blob = upload.slab if direct else self._blobs.new()
        try:
            if direct:
                inode = self._blobs.truncate(blob, info.size)
            else:
                inode = self._blobs.concatenate(blob, [(part.blob, part.position, part.size) for part in parts])
            entry = Entry(info, blob, upload.id)
            numbered = [(part.number, part.size, _told(upload, part)) for part in parts]
            wanted = self._is_wanted(info.bucket, info.key)
            with self._index.write() as transaction:
                if find_bucket(transaction, info.bucket) is None or _find(transaction, upload.id) is None:
                    raise errors.no_such_upload(upload.id)
                everything = _parts(transaction, upload.id)
                now = {part.number: part for part in everything}
                for part in parts:
                    if now.get(part.number) != part:
                        raise errors.invalid_part(upload.id, part.number, part.etag)
                condition.check(info.key, find_object(transaction, info.bucket, info.key))
                old = put_object(transaction, entry, inode, numbered)
                if wanted:
                    note_untold(transaction, entry)
                garbage = ({part.blob for part in everything} | {upload.slab}) - {blob}
                _forget(transaction, upload.id)
                add_garbage(transaction, garbage)
        except BaseException:
            if not direct:
                self._blobs.remove(blob)
            slab.sealed = False
            raise
        self._slabs.pop(upload.id, None)
        self._collect(garbage)
        self._publish(entry, old, wanted)
        return info

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """Raises NoSuchUpload."""
        found = self.find(bucket, key, upload)
        with self._index.write() as transaction:
            garbage = forget_uploads(transaction, [found])
        self._slabs.pop(upload, None)
        self._collect(garbage)

    def _collect(self, garbage: Sequence[str] | set[str]) -> None:
        for blob in garbage:
            self._blobs.remove(blob)
        self._index.collected(garbage)


def forget_uploads(transaction: sqlite3.Connection, uploads: Sequence[Upload]) -> set[str]:
    """Delete uploads with their parts; the blobs that are garbage now."""
    garbage: set[str] = set()
    for upload in uploads:
        garbage |= {part.blob for part in _parts(transaction, upload.id)} | {upload.slab}
        _forget(transaction, upload.id)
    add_garbage(transaction, garbage)
    return garbage


def _forget(transaction: sqlite3.Connection, upload: str) -> None:
    transaction.execute("DELETE FROM part WHERE upload = ?", (upload,))
    transaction.execute("DELETE FROM upload WHERE id = ?", (upload,))


def _choose(upload: Upload, chosen: Sequence[Chosen], available: Mapping[int, Part]) -> list[Part]:
    numbers = [part.number for part in chosen]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise errors.invalid_part_order(upload.id)
    parts = []
    for named in chosen:
        part = available.get(named.number)
        if part is None or part.etag != named.etag:
            raise errors.invalid_part(upload.id, named.number, named.etag)
        if upload.algorithm is not None:
            value = named.checksums.get(f"Checksum{upload.algorithm}")
            if value is None and upload.checksum_type == checksums.COMPOSITE:
                raise errors.invalid_request(
                    f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must "
                    f"include the checksum for each part. It was missing for part {named.number} in the request."
                )
            if value is not None and value != checksums.encode(part.checksum):
                raise errors.invalid_part(upload.id, named.number, named.etag)
        parts.append(part)
    for part in parts[:-1]:
        if part.size < MINIMUM_PART:
            raise errors.entity_too_small(part.number, part.size, MINIMUM_PART, part.etag)
    return parts


def _finished(upload: Upload, parts: Sequence[Part], now: float) -> ObjectInfo:
    """What the object will be."""
    algorithm = upload.algorithm or checksums.DEFAULT_ALGORITHM
    kind = upload.checksum_type or checksums.FULL_OBJECT
    if kind == checksums.COMPOSITE:
        checksum = checksums.composite(algorithm, [part.checksum for part in parts])
    else:
        checksum = checksums.encode(checksums.full_object(algorithm, [(part.checksum, part.size) for part in parts]))
    return ObjectInfo(
        bucket=upload.bucket,
        key=upload.key,
        size=sum(part.size for part in parts),
        etag=checksums.multipart_etag([part.md5 for part in parts]),
        modified=now,
        headers=upload.attributes.headers,
        metadata=upload.attributes.metadata,
        checksums={f"Checksum{algorithm}": checksum},
        checksum_type=kind,
        tags=upload.attributes.tags,
    )


def _lie_in_order(parts: Sequence[Part], slab: str) -> bool:
    position = 0
    for part in parts:
        if part.blob != slab or part.position != position:
            return False
        position += part.size
    return True


def _told(upload: Upload, part: Part) -> str | None:
    """The part's checksum where GetObjectAttributes shows it."""
    return None if upload.algorithm is None else checksums.encode(part.checksum)


def _find(connection: sqlite3.Connection, upload: str) -> Upload | None:
    row = connection.execute("SELECT * FROM upload WHERE id = ?", (upload,)).fetchone()
    return None if row is None else _to_upload(row)


def _to_upload(row: tuple[Any, ...]) -> Upload:
    identifier, bucket, key, initiated, document, slab, _ = row
    details = json.loads(document)
    attributes = Attributes(details["h"], details["m"], details["g"])
    return Upload(identifier, bucket, decode_key(key), initiated, attributes, details["a"], details["t"], slab)


def _parts(connection: sqlite3.Connection, upload: str) -> list[Part]:
    rows = connection.execute(
        "SELECT number, size, md5, modified, checksum, blob, position FROM part WHERE upload = ? ORDER BY number",
        (upload,),
    ).fetchall()
    return [Part(*row) for row in rows]
