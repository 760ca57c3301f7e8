"""Blobs: the bytes of objects, as immutable files. The index says which blob is whose; nothing here knows a key.

A blob's id is its path below the folder: `<run>/<folder>/<number>`. Each run of a store has a folder of its own, so
that after a crash only the last run's can hold files that no row of the index speaks of. A blob is written under its
final name at once: nobody looks at it before a committed row names it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelwright.objects import errors
from modelwright.objects.checksums import Chunk, Hasher

FOLDER_SIZE = 1000
COPY_BUFFER = 1 << 20
_MODE = 0o444


@dataclass(frozen=True)
class Sealed:
    """A written stretch of a blob, with the digests of its bytes. `data`: the bytes themselves, where it was left to
    whoever takes them to make them durable; else they are synced."""

    blob: str
    inode: int
    size: int
    md5: bytes
    checksums: dict[str, bytes]
    data: bytes | None = None


class Blobs:
    """The folder of blobs. `fsync`: what `seal` returned survives a power loss."""

    def __init__(self, root: Path, *, fsync: bool) -> None:
        self.root = root
        self._prefix = f"{root}/"
        self._fsync = fsync
        self._numbers = itertools.count()
        self._folders: set[str] = set()
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        self.run = self._new_run()

    def _new_run(self) -> str:
        while True:
            run = f"{time.time_ns() // 1_000_000:012x}"
            try:
                (self.root / run).mkdir()
            except FileExistsError:
                continue
            self._sync_folder(self.root)
            return run

    def new(self) -> str:
        """A fresh id, whose folder exists."""
        number = next(self._numbers)
        folder = f"{self.run}/{number // FOLDER_SIZE:x}"
        if folder not in self._folders:
            with self._lock:
                (self.root / folder).mkdir(exist_ok=True)
                self._sync_folder(self.root / self.run)
                self._folders.add(folder)
        return f"{folder}/{number % FOLDER_SIZE}"

    def path(self, blob: str) -> Path:
        return self.root / blob

    def file(self, blob: str) -> str:
        """The path as text, for what is called often."""
        return self._prefix + blob

    def write(self, hasher: Hasher, *, unsynced: int = 0) -> BlobWriter:
        """Begin a new blob. One of up to `unsynced` bytes is not synced but handed out with its bytes."""
        return BlobWriter(self, self.new(), hasher, offset=None, unsynced=unsynced if self._fsync else 0)

    def write_at(self, blob: str, offset: int, hasher: Hasher) -> BlobWriter:
        """Write a stretch of a blob that several write together."""
        return BlobWriter(self, blob, hasher, offset=offset)

    def link(self, blob: str) -> tuple[str, int]:
        """Another blob with the same bytes, without copying them: its id and inode. Raises FileNotFoundError."""
        twin = self.new()
        source = self.path(blob)
        try:
            os.link(source, self.path(twin))
        except FileNotFoundError:
            raise
        except OSError:  # too many links, or a file system without them
            self.concatenate(twin, [(blob, 0, source.stat().st_size)])
        self.sync_parent(twin)
        return twin, self.path(twin).stat().st_ino

    def adopt(self, source: Path) -> str | None:
        """A blob that is the file itself, which keeps its name too; None when it is on another file system."""
        blob = self.new()
        try:
            os.link(source, self.path(blob))
        except OSError:
            return None
        return blob

    def concatenate(self, target: str, pieces: Sequence[tuple[str, int, int]]) -> int:
        """Write a new blob from (blob, offset, size) pieces and sync it; its inode."""
        with open(self.path(target), "xb", buffering=0) as file:
            os.fchmod(file.fileno(), _MODE)
            for blob, offset, size in pieces:
                with open(self.path(blob), "rb", buffering=0) as source:
                    _copy(source.fileno(), offset, size, file.fileno())
            if self._fsync:
                sync(file.fileno())
            inode = os.fstat(file.fileno()).st_ino
        self.sync_parent(target)
        return inode

    def truncate(self, blob: str, size: int) -> int:
        """Cut a blob that is written together to its final size and sync it; its inode."""
        os.chmod(self.path(blob), 0o644)
        with open(self.path(blob), "r+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != size:
                file.truncate(size)
                if self._fsync:
                    sync(file.fileno())
            os.fchmod(file.fileno(), _MODE)
            return os.fstat(file.fileno()).st_ino

    def remove(self, blob: str) -> None:
        """Forget a blob; whoever has it open or linked keeps the bytes."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file(blob))

    def sync_parent(self, blob: str) -> None:
        self._sync_folder(self.path(blob).parent)

    def synced(self, fd: int, blob: str) -> None:
        """Make a written file and its name durable, when asked to."""
        if self._fsync:
            sync(fd)
            self.sync_parent(blob)

    def sweep(self, run: str, known: Collection[str]) -> int:
        """Remove the blobs of an earlier run that are not known; how many there were."""
        removed = 0
        for folder in _folders(self.root / run):
            for name in os.listdir(folder):
                if f"{run}/{folder.name}/{name}" not in known:
                    (folder / name).unlink(missing_ok=True)
                    removed += 1
            _remove_if_empty(folder)
        _remove_if_empty(self.root / run)
        return removed

    def runs(self) -> list[str]:
        """Earlier runs that still have a folder."""
        return sorted(path.name for path in _folders(self.root) if path.name != self.run)

    def _sync_folder(self, folder: Path) -> None:
        if not self._fsync:
            return
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class BlobWriter:
    """One stream into a blob. Not for several threads at once; every method may block on the disk."""

    def __init__(self, blobs: Blobs, blob: str, hasher: Hasher, *, offset: int | None, unsynced: int = 0) -> None:
        self.blob = blob
        self._blobs = blobs
        self._hasher = hasher
        self._offset = offset
        self._fd = -1
        self._made = self._kept = False
        self._unsynced = unsynced
        self._data: list[bytes] = []

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._hasher.size

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Raises InsufficientStorage (507) when the disk is full."""
        fd = self._open()
        for chunk in chunks:
            try:
                self._put(fd, chunk)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise errors.disk_full(str(self._blobs.root)) from error
                raise
            self._hasher.update(chunk)
            if self._unsynced:
                self._remember(chunk)

    def seal(self) -> Sealed:
        """The end of the stream: from here on nobody writes to it."""
        fd = self._open()
        inode = os.fstat(fd).st_ino
        data = b"".join(self._data) if self._unsynced else None
        if data is None:
            self._blobs.synced(fd, self.blob)
        self._close()
        hasher = self._hasher
        return Sealed(self.blob, inode, hasher.size, hasher.md5(), hasher.values(), data)

    def _remember(self, chunk: Chunk) -> None:
        if self._hasher.size > self._unsynced:
            self._unsynced = 0
            self._data.clear()
        else:
            self._data.append(bytes(chunk))

    def keep(self) -> None:
        """Somebody needs the sealed blob now: `discard` will do nothing."""
        self._kept = True

    def discard(self) -> None:
        """Give up; safe at any time."""
        self._close()
        if self._made and not self._kept and self._offset is None:
            self._blobs.remove(self.blob)

    def _open(self) -> int:
        if self._fd == -1:
            self._made = True
            path = self._blobs.file(self.blob)
            if self._offset is None:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)  # an earlier run's, maybe swept
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._fd

    def _put(self, fd: int, chunk: Chunk) -> None:
        view = memoryview(chunk)
        position = self._hasher.size if self._offset is None else self._offset + self._hasher.size
        while view:
            written = os.pwrite(fd, view, position)
            view = view[written:]
            position += written

    def _close(self) -> None:
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1


def sync(fd: int) -> None:
    """To the platter, as far as the system can."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def pieces(path: Path, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
    """A file's bytes, in handy pieces."""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        left = size
        while left is None or left > 0:
            data = file.read(COPY_BUFFER if left is None else min(COPY_BUFFER, left))
            if not data:
                return
            if left is not None:
                left -= len(data)
            yield data


def _copy(source: int, offset: int, size: int, target: int) -> None:
    """Append a stretch of one file to another, inside the kernel where that is possible."""
    while size:
        try:
            if sys.platform == "linux":
                done = os.copy_file_range(source, target, min(size, 1 << 30), offset)
            else:
                done = 0
        except OSError:
            done = 0
        if not done:
            data = os.pread(source, min(size, COPY_BUFFER), offset)
            if not data:
                raise EOFError(f"a blob is {size} bytes shorter than the index says")
            done = os.write(target, data)
        offset += done
        size -= done


def _folders(path: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def remove_tree(path: Path) -> None:
    """Delete a file, or a folder and all below it, whatever stands in the way."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
