"""What a job leaves: folders -> objects, as single files or as one archive.

The files were made by the job, so nothing is followed out of its folder: a symbolic link inside counts as what it
points to, one that leads elsewhere is left out, and so are devices, sockets and pipes. What is left out is told in
notes for the job's log. Uploads may be repeated; what a repetition finds gone was stored before.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

from isal import igzip

from modelwright.engine.inputs import split_uri
from modelwright.objects.base import ObjectStore

_COMPRESSION_LEVEL = 1
_igzip: Any = igzip  # has no annotations
_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


@dataclass(frozen=True)
class Tree:
    """A folder that a job could write to: `relative` below `base`, of which only `base` itself is sure to be ours."""

    base: Path
    relative: str = ""

    @property
    def place(self) -> Path:
        """Where it was made. To be used before the job runs only."""
        return self.base / self.relative

    def path(self) -> Path | None:
        """Where it is, when the job has ended; None when it is gone or the job has put a link on the way."""
        path = self.base
        for part in self.relative.split("/") if self.relative else ():
            path = path / part
            if path.is_symlink():
                return None
        return path if path.is_dir() else None

    def open(self) -> int | None:
        """A descriptor of the folder, while the job runs and may change it at any moment."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.base, flags)
            for part in self.relative.split("/") if self.relative else ():
                above = descriptor
                try:
                    descriptor = os.open(part, flags, dir_fd=above)
                finally:
                    os.close(above)
        except OSError:
            return None
        return descriptor


@dataclass
class Mirror:
    """A folder that is uploaded as it changes: remembers what was uploaded."""

    tree: Tree
    uri: str
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sync(self, objects: ObjectStore) -> None:
        """Upload what is new or has changed, while the job runs. Links wait for the end. Raises AwsError."""
        bucket, prefix = split_uri(self.uri)
        with self._lock:
            top = self.tree.open()
            if top is None:
                return
            try:
                for folder, _, names, descriptor in os.fwalk(".", dir_fd=top):
                    for name in names:
                        relative = os.path.normpath(os.path.join(folder, name))
                        self._upload(objects, bucket, prefix + relative, relative, name, descriptor)
            finally:
                os.close(top)

    def finish(self, objects: ObjectStore) -> list[str]:
        """Upload the rest, when the job has ended; notes about what was left out. Raises AwsError."""
        notes: list[str] = []
        bucket, prefix = split_uri(self.uri)
        with self._lock:
            for relative, path, info in _files(self.tree, notes):
                if self._seen.get(relative) != (info.st_mtime_ns, info.st_size):
                    objects.put_file(bucket, prefix + relative, path)
        return notes

    def _upload(self, objects: ObjectStore, bucket: str, key: str, relative: str, name: str, folder: int) -> None:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return  # a link, or gone
        try:
            info = os.fstat(descriptor)
            state = (info.st_mtime_ns, info.st_size)
            if stat.S_ISREG(info.st_mode) and self._seen.get(relative) != state:
                objects.put_file(bucket, key, Path(f"{_DESCRIPTORS}/{descriptor}"))
                self._seen[relative] = state
        finally:
            os.close(descriptor)


def upload_tree(objects: ObjectStore, tree: Tree, uri: str) -> list[str]:
    """Store every file of a folder below `uri`; files may be moved. The job must have ended. Raises AwsError."""
    notes: list[str] = []
    bucket, prefix = split_uri(uri)
    for relative, path, info in _files(tree, notes):
        objects.put_file(bucket, prefix + relative, path, move=info.st_nlink == 1 and not path.is_symlink())
    return notes


def upload_archive(objects: ObjectStore, tree: Tree, uri: str, scratch: Path) -> list[str]:
    """Store a folder as one tar.gz. The job must have ended. Raises AwsError."""
    bucket, key = split_uri(uri)
    folder = tree.path()
    if folder is None or _is_empty(folder):
        objects.put_bytes(bucket, key, _empty_archive())
        return []
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / "archive.tar.gz"
    notes: list[str] = []
    with _igzip.open(target, "wb", compresslevel=_COMPRESSION_LEVEL) as file:
        _write_archive(file, folder, notes)
    objects.put_file(bucket, key, target, move=True)
    return notes


def weight(tree: Tree, limit: int) -> int:
    """About how many bytes and files (4 KiB each) are to be uploaded; stops counting at `limit`."""
    total = 0
    for _, _, info in _files(tree, []):
        total += info.st_size + 4096
        if total >= limit:
            break
    return total


def _is_empty(folder: Path) -> bool:
    with os.scandir(folder) as items:
        return next(items, None) is None


def _files(tree: Tree, notes: list[str]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Every file: its relative path, where it is, and what it is. Links inside the folder count as their files."""
    folder = tree.path()
    if folder is None:
        return
    root = os.path.realpath(folder)
    for here, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names + [each for each in folders if os.path.islink(os.path.join(here, each))]):
            path = os.path.join(here, name)
            relative = os.path.relpath(path, root)
            try:
                real = os.path.realpath(path)
                info = os.lstat(real)
            except OSError:
                continue  # a link to nothing
            if not real.startswith(f"{root}{os.sep}"):
                notes.append(f"{relative} was not uploaded: it is a link to something outside the folder.")
            elif not stat.S_ISREG(info.st_mode):
                what = "a link to a folder" if stat.S_ISDIR(info.st_mode) else "no plain file"
                notes.append(f"{relative} was not uploaded: it is {what}.")
            else:
                yield relative, Path(path), info


def _write_archive(file: IO[bytes], folder: Path, notes: list[str]) -> None:
    root = os.path.realpath(folder)
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for here, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(folders + names):
                path = os.path.join(here, name)
                relative = os.path.relpath(path, root)
                member = archive.gettarinfo(path, relative)
                if member is None or not (member.isfile() or member.isdir() or member.islnk() or member.issym()):
                    notes.append(f"{relative} was left out: it is no plain file.")
                    continue
                if member.issym() and not _stays_inside(path, root):
                    notes.append(f"{relative} was left out: it is a link to something outside the folder.")
                    continue
                member.uid = member.gid = 0
                member.uname = member.gname = "root"
                if member.isfile():
                    with open(path, "rb") as content:
                        archive.addfile(member, content)
                else:
                    archive.addfile(member)


def _stays_inside(link: str, root: str) -> bool:
    target = os.readlink(link)
    return not os.path.isabs(target) and os.path.realpath(link).startswith(f"{root}{os.sep}")


@cache
def _empty_archive() -> bytes:
    buffer = io.BytesIO()
    with _igzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w|"):
        pass
    return buffer.getvalue()
