"""The embedded store: S3's objects in a folder of this machine.

    objects/index.db     which object is which blob (index.py): the truth
    objects/blobs/       the bytes, immutable (blobs.py)
    objects/live, views, files  hard links to them, for jobs (views.py)

A write streams into a fresh blob, syncs it, and commits a row: readers see the old object or the new one, a kill at any
moment leaves at worst a blob that no row names, which the next start removes. Keys are never paths here, except in
views, which refuse what a folder can't hold. One process at a time opens a store; any number of threads use it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from modelwright.errors import AwsError
from modelwright.objects import checksums, errors, listing
from modelwright.objects.attributes import ALWAYS, NOTHING, Attributes, Condition
from modelwright.objects.base import ObjectInfo
from modelwright.objects.blobs import Blobs, BlobWriter, Sealed, pieces
from modelwright.objects.buckets import Buckets, require
from modelwright.objects.checksums import FULL_OBJECT, Hasher
from modelwright.objects.index import (
    Entry,
    Index,
    delete_object,
    encode_key,
    find_bucket,
    find_object,
    find_parts,
    note_untold,
    put_object,
    to_json,
)
from modelwright.objects.journal import SMALL, Journal
from modelwright.objects.uploads import Uploads
from modelwright.objects.views import KEEP_KNOWN, Views

_log = logging.getLogger(__name__)


class DirectoryStore:
    """An `ObjectStore`, and all that S3's operations need beyond it.

    `region` is where buckets are that nobody named a region for. `in_use` tells which views running jobs have mounted,
    so that old ones can go earlier than after a month.
    """

    def __init__(
        self,
        root: Path,
        *,
        fsync: bool = True,
        now: Callable[[], float] = time.time,
        in_use: Callable[[], Collection[Path]] | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._in_use = in_use
        self._listeners: list[tuple[Callable[[str, str], bool], Callable[[ObjectInfo], None]]] = []
        self._watchers: list[Callable[[str, str], None]] = []
        self._closed = False
        self._swept = now()
        self._blobs = Blobs(root / "blobs", fsync=fsync)
        self._index = Index(root / "index.db", fsync=fsync)
        self._views = Views(root, self._blobs.file)
        self._generations: dict[str, int] = {}
        self._generation_lock = threading.Lock()
        self._latest_views: dict[tuple[str, str], tuple[int, Path]] = {}
        self._journal = Journal(self._index, self._blobs)
        self.uploads = Uploads(self._index, self._blobs, self._publish, self._is_wanted, now)
        self.buckets = Buckets(self._index, self.uploads, self._collect, now)
        if repaired := self._journal.start():
            _log.warning("repaired %d objects after a power loss", repaired)
            self._views.forget_all()
        self._cleaner = threading.Thread(target=self._clean, args=(self._opened(),), daemon=True, name="objects")
        self._cleaner.start()

    def _opened(self) -> bool:
        """Note that the store is open; whether it was closed properly before."""
        clean = self._index.setting("closed") == "yes"
        place = self._blobs.root.stat()
        here = f"{place.st_dev}:{place.st_ino}"
        if self._index.setting("place") != here:
            self._views.forget()  # a copied folder has other inodes
            self._index.set("place", here)
        boot = _boot()
        if not clean and self._index.setting("boot") not in (None, boot):
            self._views.forget_all()  # folders that were being made when the power went may lack files
        self._index.set("boot", boot)
        self._index.set("closed", "no")
        return clean

    def _clean(self, was_closed: bool) -> None:
        """Remove what a crash left behind; runs beside the first requests."""
        try:
            garbage = self._index.garbage()
            for blob in garbage:
                self._blobs.remove(blob)
            self._index.collected(garbage)
            if not was_closed:
                for run in self._blobs.runs():
                    removed = self._blobs.sweep(run, self._index.blobs(run))
                    if removed:
                        _log.info("removed %d blobs that an interrupted write left in run %s", removed, run)
            self.sweep_views()
        except Exception:
            _log.exception("cleaning the object store failed; the next start tries again")

    def cleaned(self, timeout: float | None = None) -> bool:
        """Wait until what an earlier crash left is gone."""
        self._cleaner.join(timeout)
        return not self._cleaner.is_alive()

    def close(self) -> None:
        """May be called again."""
        if self._closed:
            return
        self._closed = True
        self._cleaner.join()
        self._journal.close()
        self._index.set("closed", "yes")
        self._index.close()

    def create_bucket(self, name: str, region: str) -> bool:
        """Whether it is new. Raises InvalidBucketName."""
        return self.buckets.create(name, region)

    # Reading

    def entry(self, bucket: str, key: str) -> Entry:
        """The row of an object. Raises NoSuchKey, NoSuchBucket."""
        entry = find_object(self._index.reader, bucket, key)
        if entry is None:
            self.buckets.find(bucket)
            raise errors.no_such_key(key)
        return entry

    def head(self, bucket: str, key: str) -> ObjectInfo:
        return self.entry(bucket, key).info

    def open(self, bucket: str, key: str) -> tuple[ObjectInfo, BinaryIO]:
        """An object and its open file, which stays what it is whatever happens to the object."""
        entry, file = self._open(bucket, key)
        return entry.info, file

    def _open(self, bucket: str, key: str) -> tuple[Entry, BinaryIO]:
        while True:
            entry = self.entry(bucket, key)
            try:
                return entry, open(self._blobs.file(entry.blob), "rb", buffering=0)
            except FileNotFoundError:
                if self.entry(bucket, key).blob == entry.blob:
                    raise  # not overwritten meanwhile: the store is damaged

    def read(self, bucket: str, key: str) -> bytes:
        _, file = self.open(bucket, key)
        with file:
            return file.read()

    def parts(self, bucket: str, key: str) -> list[tuple[int, int, str | None]]:
        """(number, size, base64 checksum) of the parts that it was uploaded in; [] when it was one."""
        return find_parts(self._index.reader, bucket, key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        self.buckets.find(bucket)
        return (entry.info for entry in listing.every(self._index.reader, bucket, encode_key(prefix)))

    def page(
        self, bucket: str, prefix: bytes, *, delimiter: bytes, start: listing.Start, limit: int
    ) -> listing.Page[Entry]:
        """A page for ListObjects. Raises NoSuchBucket."""
        self.buckets.find(bucket)
        return listing.objects(self._index.reader, bucket, prefix, delimiter=delimiter, start=start, limit=limit)

    # Writing

    def begin(self, algorithm: str = checksums.DEFAULT_ALGORITHM) -> BlobWriter:
        """Begin to write bytes that `put` will give a name; discard them when it comes to nothing."""
        return self._blobs.write(Hasher([algorithm]), unsynced=SMALL)

    def put(
        self,
        bucket: str,
        key: str,
        writer: BlobWriter,
        attributes: Attributes = NOTHING,
        *,
        condition: Condition = ALWAYS,
        check: Callable[[Sealed], None] = lambda sealed: None,
    ) -> ObjectInfo:
        """Make what was written the object, if `check` finds nothing wrong with it.

        Raises NoSuchBucket, PreconditionFailed and what `check` raises; then the bytes are gone.
        """
        try:
            sealed = writer.seal()
            check(sealed)
            (algorithm,) = sealed.checksums
            info = self._put(bucket, key, sealed, attributes, algorithm=algorithm, condition=condition)
        except BaseException:
            writer.discard()
            raise
        writer.keep()
        return info

    def _put(
        self,
        bucket: str,
        key: str,
        sealed: Sealed,
        attributes: Attributes,
        *,
        algorithm: str = checksums.DEFAULT_ALGORITHM,
        condition: Condition = ALWAYS,
    ) -> ObjectInfo:
        info = ObjectInfo(
            bucket=bucket,
            key=key,
            size=sealed.size,
            etag=sealed.md5.hex(),
            modified=self._now(),
            headers=attributes.headers,
            metadata=attributes.metadata,
            checksums={f"Checksum{algorithm}": checksums.encode(sealed.checksums[algorithm])},
            checksum_type=FULL_OBJECT,
            tags=attributes.tags,
        )
        return self._commit(Entry(info, sealed.blob), sealed, condition)

    def _commit(self, entry: Entry, sealed: Sealed, condition: Condition) -> ObjectInfo:
        info = entry.info
        wanted = self._is_wanted(info.bucket, info.key)
        try:
            with self._index.write() as transaction:
                require(find_bucket(transaction, info.bucket), info.bucket)
                if condition is not ALWAYS:
                    condition.check(info.key, find_object(transaction, info.bucket, info.key))
                old = put_object(transaction, entry, sealed.inode)
                if wanted:
                    note_untold(transaction, entry)
                if sealed.data is not None:
                    self._journal.add(transaction, sealed.blob, sealed.data)
        except BaseException:
            self._blobs.remove(entry.blob)
            raise
        if sealed.data is not None:
            self._journal.added(sealed.size)
        self._publish(entry, old, wanted)
        return info

    def _publish(self, entry: Entry, old: str | None, wanted: bool) -> None:
        """After the commit: what follows from it. It may be lost, but not that somebody wanted to hear of it."""
        self._changed(entry.info.bucket)
        self._views.written(entry.info.bucket, encode_key(entry.info.key), entry.blob)
        if old is not None:
            self._collect([old])
        if wanted:
            self._tell(entry)
        for watcher in self._watchers:
            watcher(entry.info.bucket, entry.info.key)

    def subscribe(self, wants: Callable[[str, str], bool], stored: Callable[[ObjectInfo], None]) -> None:
        """`stored(object)` after every write that `wants(bucket, key)`, before the writer hears of it.

        That it is wanted is noted in the transaction of the write. Where this process dies before it was told, or
        `stored` raises, it is told by the next process (`tell_untold`): at least once, that is. Both must be quick.
        """
        self._listeners.append((wants, stored))

    def tell_untold(self) -> None:
        """Tell what an earlier process had no time to tell. An object that was replaced since has a note of its own."""
        for bucket, key, blob in self._index.untold():
            entry = find_object(self._index.reader, bucket, key)
            if entry is not None and entry.blob == blob:
                self._tell(entry)
            else:
                self._index.told(bucket, key, blob)

    def _is_wanted(self, bucket: str, key: str) -> bool:
        return any(wants(bucket, key) for wants, _ in self._listeners)

    def _tell(self, entry: Entry) -> None:
        info = entry.info
        try:
            for wants, stored in self._listeners:
                if wants(info.bucket, info.key):
                    stored(info)
        except Exception:
            _log.exception("s3://%s/%s was written, and who waits for it could not be told", info.bucket, info.key)
        else:
            self._index.told(info.bucket, info.key, entry.blob)

    def watch(self, changed: Callable[[str, str], None]) -> None:
        """`changed(bucket, key)` after every write and every deletion. It must be quick and must not raise."""
        self._watchers.append(changed)

    def _changed(self, bucket: str) -> None:
        """A bucket is not what it was; said before the writer hears that its write is done."""
        with self._generation_lock:
            self._generations[bucket] = self._generations.get(bucket, 0) + 1

    def _collect(self, garbage: Collection[str]) -> None:
        for blob in garbage:
            self._blobs.remove(blob)
        self._index.collected(garbage)

    def put_bytes(self, bucket: str, key: str, data: bytes) -> ObjectInfo:
        return self._put_stream(bucket, key, iter((data,)))

    def put_file(self, bucket: str, key: str, source: Path, *, move: bool = False) -> ObjectInfo:
        self.buckets.find(bucket)
        sealed = self._adopt(source) if move else None
        if sealed is not None:
            info = self._put(bucket, key, sealed, NOTHING)
        else:
            info = self._put_stream(bucket, key, pieces(source))
        if move:  # not before the object is stored for good: whoever dies on the way finds the file again
            source.unlink()
        return info

    def _put_stream(self, bucket: str, key: str, stream: Iterator[bytes]) -> ObjectInfo:
        self.buckets.find(bucket)
        writer = self.begin()
        try:
            for piece in stream:
                writer.write([piece])
        except BaseException:
            writer.discard()
            raise
        return self.put(bucket, key, writer)

    def _adopt(self, source: Path) -> Sealed | None:
        """Take the file itself, if it is an ordinary one that nobody else has a link to."""
        status = source.lstat()
        if not source.is_file() or source.is_symlink() or status.st_nlink != 1:
            return None
        hasher = Hasher([checksums.DEFAULT_ALGORITHM])
        with source.open("rb", buffering=0) as file:
            while data := file.read(1 << 20):
                hasher.update(data)
            os.fchmod(file.fileno(), 0o444)
            blob = self._blobs.adopt(source)
            if blob is None:
                return None
            self._blobs.synced(file.fileno(), blob)
        return Sealed(blob, status.st_ino, hasher.size, hasher.md5(), hasher.values())

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        decide: Callable[[ObjectInfo], Attributes],
        *,
        algorithm: str | None = None,
        condition: Condition = ALWAYS,
    ) -> ObjectInfo:
        """A new object with the same bytes, shared, not copied.

        `decide` sees the source, may refuse it, and says what the copy shall have. The copy's ETag and checksum are
        those of one piece, also where the source came in parts; `algorithm`: another checksum than the source has.
        """
        while True:
            entry, file = self._open(*source)
            with file:
                attributes = decide(entry.info)
                self.buckets.find(target[0])
                sealed = self._twin(entry, file, algorithm or _algorithm(entry.info))
            if sealed is not None:
                chosen = algorithm or _algorithm(entry.info)
                return self._put(*target, sealed, attributes, algorithm=chosen, condition=condition)

    def _twin(self, entry: Entry, file: BinaryIO, algorithm: str) -> Sealed | None:
        """The source's bytes as a new blob; None when the source was overwritten just now."""
        info = entry.info
        known = info.checksums.get(f"Checksum{algorithm}")
        value = checksums.decode(algorithm, known) if known else None
        if "-" not in info.etag and value is not None:
            md5 = bytes.fromhex(info.etag)
        else:
            hasher = Hasher([algorithm])
            while data := file.read(1 << 20):
                hasher.update(data)
            md5, value = hasher.md5(), hasher.values()[algorithm]
        self._blobs.synced(file.fileno(), entry.blob)  # it may be a small one whose copy goes with its own row
        try:
            blob, inode = self._blobs.link(entry.blob)
        except FileNotFoundError:
            return None
        return Sealed(blob, inode, info.size, md5, {algorithm: value})

    def delete(self, bucket: str, key: str, condition: Condition = ALWAYS) -> bool:
        """Whether there was such an object. Raises NoSuchBucket, PreconditionFailed."""
        (result,) = self.delete_many(bucket, [(key, condition)])
        if isinstance(result, AwsError):
            raise result
        return result

    def delete_many(self, bucket: str, keys: Sequence[tuple[str, Condition]]) -> Sequence[bool | AwsError]:
        """For each key, whether it was there or why it must stay. Raises NoSuchBucket."""
        results: list[bool | AwsError] = []
        gone: list[tuple[str, str]] = []
        with self._index.write() as transaction:
            require(find_bucket(transaction, bucket), bucket)
            for key, condition in keys:
                try:
                    if condition is not ALWAYS:
                        condition.check(key, find_object(transaction, bucket, key))
                except AwsError as error:
                    results.append(error)
                    continue
                old = delete_object(transaction, bucket, key)
                results.append(old is not None)
                if old is not None:
                    gone.append((key, old))
        self._changed(bucket)
        for key, _ in gone:
            self._views.deleted(bucket, encode_key(key))
        self._collect([blob for _, blob in gone])
        for key, _ in gone:
            for watcher in self._watchers:
                watcher(bucket, key)
        return results

    def tag(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Replace an object's tags. Raises NoSuchKey, NoSuchBucket."""
        with self._index.write() as transaction:
            if find_object(transaction, bucket, key) is None:
                require(find_bucket(transaction, bucket), bucket)
                raise errors.no_such_key(key)
            transaction.execute(
                "UPDATE object SET tags = ? WHERE bucket = ? AND key = ?",
                (to_json(tags) if tags else None, bucket, encode_key(key)),
            )

    # Files for jobs

    def path(self, bucket: str, key: str) -> Path:
        while True:
            path = self._views.file(self.entry(bucket, key).blob, self._now())
            if path is not None:
                return path

    def view(self, bucket: str, prefix: str) -> Path:
        self.buckets.find(bucket)
        folder = encode_key(prefix[: prefix.rfind("/") + 1])
        while True:
            generation = self._generations.get(bucket, 0)
            known = self._latest_views.get((bucket, prefix))
            if known is not None and known[0] == generation and self._views.touch(known[1], self._now()):
                return known[1]
            files = listing.files(self._index.reader, bucket, encode_key(prefix), len(folder))
            if not files:
                raise errors.no_such_key(prefix)
            view = self._views.view(files, bucket, folder, self._now())
            if view is not None:
                self._latest_views[bucket, prefix] = (generation, view)
                self._sweep_sometimes()
                return view

    def _sweep_sometimes(self) -> None:
        now = self._now()
        if now - self._swept > KEEP_KNOWN and not self._cleaner.is_alive():
            self._swept = now
            self._cleaner = threading.Thread(target=self.sweep_views, daemon=True, name="objects")
            self._cleaner.start()

    def sweep_views(self) -> int:
        """Remove views that nobody uses any more; how many."""
        return self._views.sweep(self._now(), self._in_use() if self._in_use else None)


def _boot() -> str:
    """What is another after every start of the system, where it tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _algorithm(info: ObjectInfo) -> str:
    """The checksum algorithm that an object has."""
    for name in info.checksums:
        return name.removeprefix("Checksum")
    return checksums.DEFAULT_ALGORITHM
