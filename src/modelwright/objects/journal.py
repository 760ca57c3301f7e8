"""Small objects are made durable by the index alone: one sync a write, not three.

A small blob's file is written but not synced; its bytes go into the index with its row, in the transaction that syncs
anyhow. Later, many at once, the files are synced and the copies dropped. After a power loss the copies that are still
there repair the files. A kill -9 needs none of this: the files are in the system's memory.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sqlite3
import sys
import threading

from modelwright.objects.blobs import Blobs, sync
from modelwright.objects.index import Index

SMALL = 64 << 10
"""Bytes of a blob up to which it is worth it."""
_DELAY = 2.0
"""Seconds from the first copy to the sync that makes it needless."""
_FULL = 16 << 20
"""Bytes of copies that don't wait so long."""
_log = logging.getLogger(__name__)


class Journal:
    """The copies in the index, and the thread that makes them needless."""

    def __init__(self, index: Index, blobs: Blobs) -> None:
        self._index = index
        self._blobs = blobs
        self._changed = threading.Condition()
        self._pending = 0
        self._closing = False
        self._flushing = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True, name="objects-journal")

    def start(self) -> int:
        """Repair what a power loss has taken; how many files that were. Before anybody reads."""
        repaired = 0
        rows = self._index.reader.execute("SELECT blob, data FROM journal").fetchall()
        for blob, data in rows:
            repaired += self._repair(blob, data)
        self._pending = sum(len(data) for _, data in rows)
        self._thread.start()
        return repaired

    def _repair(self, blob: str, data: bytes) -> bool:
        path = self._blobs.path(blob)
        try:
            if path.read_bytes() == data:
                return False
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        with open(fd, "wb") as file:
            file.write(data)
            inode = os.fstat(fd).st_ino
        with self._index.write() as transaction:
            transaction.execute("UPDATE object SET inode = ? WHERE blob = ?", (inode, blob))
        return True

    def add(self, transaction: sqlite3.Connection, blob: str, data: bytes) -> None:
        """Keep a copy, in the transaction that makes the blob an object's."""
        transaction.execute("INSERT INTO journal VALUES (?, ?)", (blob, data))

    def added(self, size: int) -> None:
        """That transaction is committed."""
        with self._changed:
            was = self._pending
            self._pending += size + 1
            if not was or was < _FULL <= self._pending:
                self._changed.notify()

    def close(self) -> None:
        """Make everything durable where it belongs."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self.flush()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                self._changed.wait_for(lambda: self._pending >= _FULL or self._closing, timeout=_DELAY)
                if self._closing:
                    return
                self._pending = 0
            try:
                self.flush()
            except (OSError, sqlite3.Error):
                _log.exception("syncing small objects failed; their copies stay in the index")

    def flush(self) -> None:
        """Sync the files that have copies, and drop the copies."""
        with self._flushing:
            blobs = [blob for (blob,) in self._index.reader.execute("SELECT blob FROM journal")]
            if not blobs:
                return
            if not _sync_file_system(self._blobs):
                self._sync_each(blobs)
            with self._index.write() as transaction:
                transaction.executemany("DELETE FROM journal WHERE blob = ?", [(blob,) for blob in blobs])

    def _sync_each(self, blobs: list[str]) -> None:
        folders = set()
        for blob in blobs:
            try:
                fd = os.open(self._blobs.path(blob), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # deleted meanwhile
            try:
                sync(fd)
            finally:
                os.close(fd)
            folders.add(blob.rpartition("/")[0])
        for folder in folders:
            self._blobs.sync_parent(f"{folder}/any")


def _sync_file_system(blobs: Blobs) -> bool:
    """One sync for all, where the system has it."""
    if sys.platform != "linux":
        return False
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    fd = os.open(blobs.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return bool(syncfs(fd) == 0)
    finally:
        os.close(fd)
