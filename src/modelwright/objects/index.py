"""The index: which object is which blob, in an SQLite file of the store's own. It alone is the truth.

Keys are compared as UTF-8 bytes, as S3 does, so they are BLOBs here. A write transaction that takes a blob away from
its object notes it as garbage (and drops its copy in the journal); after the commit the file goes, and a crash in
between only leaves the note. Reading takes no lock. With `fsync` a commit survives a power loss.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelwright.errors import ConfigurationError
from modelwright.objects.base import ObjectInfo

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE bucket (
    name TEXT PRIMARY KEY, created REAL NOT NULL, region TEXT NOT NULL, tags TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE TABLE object (
    bucket TEXT NOT NULL, key BLOB NOT NULL, blob TEXT NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
    etag TEXT NOT NULL, modified REAL NOT NULL, document TEXT NOT NULL, tags TEXT, parts TEXT,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE upload (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, initiated REAL NOT NULL, document TEXT NOT NULL,
    slab TEXT NOT NULL, stride INTEGER
) WITHOUT ROWID;
CREATE INDEX upload_by_key ON upload (bucket, key, initiated, id);
CREATE TABLE part (
    upload TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT NOT NULL, position INTEGER NOT NULL,
    size INTEGER NOT NULL, md5 BLOB NOT NULL, modified REAL NOT NULL, checksum BLOB,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE journal (blob TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE garbage (blob TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS untold (
    bucket TEXT NOT NULL, key BLOB NOT NULL, blob TEXT NOT NULL, PRIMARY KEY (bucket, key, blob)
) WITHOUT ROWID;
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Bucket:
    name: str
    created: float
    region: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """An object's row: what HeadObject says, and where its bytes are."""

    info: ObjectInfo
    blob: str
    upload: str | None = None
    """The multipart upload that made it."""


_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
OBJECT_COLUMNS = "bucket, key, blob, size, etag, modified, document, tags"


class _Lent:
    """A thread's connection, given back when the thread ends."""

    def __init__(self, connection: sqlite3.Connection, back: Callable[[sqlite3.Connection], None]) -> None:
        self.connection = connection
        self._back = back

    def __del__(self) -> None:
        self._back(self.connection)


class Index:
    """The tables and their connections: one that writes, one for each thread that reads."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._removed: list[str] = []
        self._writer = self._connect()
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'NORMAL'}")
        self._migrate()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA cache_size = -16000")
        with self._lock:
            self._connections.append(connection)
        return connection

    def _migrate(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with self.write() as transaction:
                for statement in _SCHEMA.split(";\n"):
                    transaction.execute(statement)
                transaction.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise ConfigurationError(
                f"{self._path} has schema {version}, this Modelwright knows {SCHEMA_VERSION}: "
                "start the version that wrote it, or another home folder."
            )
        else:  # a table that earlier versions of this schema had not, and can do without
            self._writer.execute(next(each for each in _SCHEMA.split(";\n") if " untold " in each))

    @property
    def reader(self) -> sqlite3.Connection:
        """This thread's connection for reading."""
        lent: _Lent | None = getattr(self._local, "lent", None)
        if lent is None:
            lent = self._local.lent = _Lent(self._connect(), self._forget)
            lent.connection.execute("PRAGMA query_only = ON")
        return lent.connection

    def _forget(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
                connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: commits, or leaves nothing."""
        with self._lock:
            writer = self._writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                if self._removed:
                    writer.executemany("DELETE FROM garbage WHERE blob = ?", [(blob,) for blob in self._removed])
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                writer.execute("ROLLBACK")
                raise
            self._removed.clear()

    def collected(self, blobs: Iterable[str]) -> None:
        """These garbage blobs are gone; the next transaction forgets them."""
        with self._lock:
            self._removed.extend(blobs)

    def garbage(self) -> list[str]:
        return [blob for (blob,) in self.reader.execute("SELECT blob FROM garbage")]

    def untold(self) -> list[tuple[str, str, str]]:
        """(bucket, key, blob) of the objects that somebody has still to hear of."""
        rows = self.reader.execute("SELECT bucket, key, blob FROM untold")
        return [(bucket, decode_key(key), blob) for bucket, key, blob in rows]

    def told(self, bucket: str, key: str, blob: str) -> None:
        """Whoever wanted to hear of this object has heard."""
        with self.write() as transaction:
            transaction.execute(
                "DELETE FROM untold WHERE bucket = ? AND key = ? AND blob = ?", (bucket, encode_key(key), blob)
            )

    def blobs(self, run: str) -> set[str]:
        """Every blob of a run that something still needs."""
        first, last = f"{run}/", f"{run}0"
        query = (
            "SELECT blob FROM object WHERE blob >= ?1 AND blob < ?2 "
            "UNION SELECT blob FROM part WHERE blob >= ?1 AND blob < ?2 "
            "UNION SELECT slab FROM upload WHERE slab >= ?1 AND slab < ?2"
        )
        return {blob for (blob,) in self.reader.execute(query, (first, last))}

    def setting(self, name: str) -> str | None:
        row = self.reader.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set(self, name: str, value: str) -> None:
        with self.write() as transaction:
            transaction.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()


def find_bucket(connection: sqlite3.Connection, name: str) -> Bucket | None:
    row = connection.execute("SELECT name, created, region, tags FROM bucket WHERE name = ?", (name,)).fetchone()
    return None if row is None else Bucket(row[0], row[1], row[2], json.loads(row[3]))


def all_buckets(connection: sqlite3.Connection) -> list[Bucket]:
    """By name."""
    rows = connection.execute("SELECT name, created, region, tags FROM bucket ORDER BY name")
    return [Bucket(name, created, region, json.loads(tags)) for name, created, region, tags in rows]


def find_object(connection: sqlite3.Connection, bucket: str, key: str) -> Entry | None:
    row = connection.execute(
        f"SELECT {OBJECT_COLUMNS} FROM object WHERE bucket = ? AND key = ?",  # noqa: S608  # a constant
        (bucket, encode_key(key)),
    ).fetchone()
    return None if row is None else to_entry(row)


def find_parts(connection: sqlite3.Connection, bucket: str, key: str) -> list[tuple[int, int, str | None]]:
    """(number, size, checksum) of a multipart object's parts; [] for any other object."""
    row = connection.execute(
        "SELECT parts FROM object WHERE bucket = ? AND key = ?", (bucket, encode_key(key))
    ).fetchone()
    return [] if row is None or row[0] is None else [(n, size, value) for n, size, value in json.loads(row[0])]


def put_object(
    connection: sqlite3.Connection,
    entry: Entry,
    inode: int,
    parts: list[tuple[int, int, str | None]] | None = None,
) -> str | None:
    """Write the row; the blob that it held before is noted as garbage and returned."""
    info = entry.info
    key = encode_key(info.key)
    old = _drop_blob(connection, info.bucket, key)
    document = {
        name: value
        for name, value in (
            ("h", dict(info.headers)),
            ("m", dict(info.metadata)),
            ("c", dict(info.checksums)),
            ("t", info.checksum_type),
            ("u", entry.upload),
        )
        if value
    }
    connection.execute(
        "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            info.bucket,
            key,
            entry.blob,
            inode,
            info.size,
            info.etag,
            info.modified,
            to_json(document),
            to_json(info.tags) if info.tags else None,
            to_json(parts) if parts else None,
        ),
    )
    return old


def note_untold(connection: sqlite3.Connection, entry: Entry) -> None:
    """Somebody must hear of this object, whatever happens after the commit."""
    place = (entry.info.bucket, encode_key(entry.info.key), entry.blob)
    connection.execute("INSERT OR REPLACE INTO untold VALUES (?, ?, ?)", place)


def delete_object(connection: sqlite3.Connection, bucket: str, key: str) -> str | None:
    """Delete the row; the garbage blob, None when there was no such object."""
    encoded = encode_key(key)
    old = _drop_blob(connection, bucket, encoded)
    if old is not None:
        connection.execute("DELETE FROM object WHERE bucket = ? AND key = ?", (bucket, encoded))
    return old


def add_garbage(connection: sqlite3.Connection, blobs: Iterable[str]) -> None:
    rows = [(blob,) for blob in blobs]
    connection.executemany("INSERT OR IGNORE INTO garbage VALUES (?)", rows)
    connection.executemany("DELETE FROM journal WHERE blob = ?", rows)


def _drop_blob(connection: sqlite3.Connection, bucket: str, key: bytes) -> str | None:
    row = connection.execute("SELECT blob FROM object WHERE bucket = ? AND key = ?", (bucket, key)).fetchone()
    if row is None:
        return None
    add_garbage(connection, [row[0]])
    return str(row[0])


def to_entry(row: tuple[Any, ...]) -> Entry:
    """An entry from OBJECT_COLUMNS."""
    bucket, key, blob, size, etag, modified, document, tags = row
    details = json.loads(document)
    info = ObjectInfo(
        bucket=bucket,
        key=decode_key(key),
        size=size,
        etag=etag,
        modified=modified,
        headers=details.get("h", {}),
        metadata=details.get("m", {}),
        checksums=details.get("c", {}),
        checksum_type=details.get("t"),
        tags=json.loads(tags) if tags else {},
    )
    return Entry(info, blob, details.get("u"))


def encode_key(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def decode_key(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")


def to_json(value: Any) -> str:
    return _encoder.encode(value)


def after_prefix(prefix: bytes) -> bytes | None:
    """The first key that is beyond every key with this prefix; None: there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
