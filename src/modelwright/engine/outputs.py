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


@dataclass
class Mirror:
    """A folder that is uploaded as it changes: remembers what was uploaded."""

    folder: Path
    uri: str
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sync(self, objects: ObjectStore, *, ended: bool = False) -> list[str]:
        """Upload what is new or has changed; notes about what was left out. Raises AwsError.

        While the job runs links are passed over: it could bend them meanwhile.
        """
        notes: list[str] = []
        bucket, prefix = split_uri(self.uri)
        with self._lock:
            for relative, path, info in _files(self.folder, notes):
                state = (info.st_mtime_ns, info.st_size)
                if self._seen.get(relative) == state or (path.is_symlink() and not ended):
                    continue
                if path.is_symlink():
                    objects.put_file(bucket, prefix + relative, path)
                elif _upload_open(objects, bucket, prefix + relative, path):
                    self._seen[relative] = state
        return notes


def upload_tree(objects: ObjectStore, folder: Path, uri: str) -> list[str]:
    """Store every file of a folder below `uri`; files may be moved. The job must have ended. Raises AwsError."""
    notes: list[str] = []
    bucket, prefix = split_uri(uri)
    for relative, path, info in _files(folder, notes):
        objects.put_file(bucket, prefix + relative, path, move=info.st_nlink == 1 and not path.is_symlink())
    return notes


def upload_archive(objects: ObjectStore, folder: Path, uri: str, scratch: Path) -> list[str]:
    """Store a folder as one tar.gz. The job must have ended. Raises AwsError."""
    bucket, key = split_uri(uri)
    if is_empty(folder):
        objects.put_bytes(bucket, key, _empty_archive())
        return []
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / "archive.tar.gz"
    notes: list[str] = []
    with _igzip.open(target, "wb", compresslevel=_COMPRESSION_LEVEL) as file:
        _write_archive(file, folder, notes)
    objects.put_file(bucket, key, target, move=True)
    return notes


def is_empty(folder: Path) -> bool:
    """Whether there is nothing in it, or no such folder."""
    try:
        with os.scandir(folder) as items:
            return next(items, None) is None
    except FileNotFoundError:
        return True


def weight(folder: Path, limit: int) -> int:
    """About how many bytes and files (4 KiB each) are to be uploaded; stops counting at `limit`."""
    total = 0
    for _, _, info in _files(folder, []):
        total += info.st_size + 4096
        if total >= limit:
            break
    return total


def read_text(path: Path, limit: int) -> str:
    """The beginning of a file that the job wrote; empty when there is none, or no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return file.read(4 * limit).decode(errors="replace")[:limit]


def _files(folder: Path, notes: list[str]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Every file: its relative path, where it is, and what it is. Links inside the folder count as their files."""
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
                continue  # gone meanwhile
            if not real.startswith(f"{root}{os.sep}"):
                notes.append(f"{relative} was not uploaded: it is a link to something outside the folder.")
            elif not stat.S_ISREG(info.st_mode):
                what = "a link to a folder" if stat.S_ISDIR(info.st_mode) else "no plain file"
                notes.append(f"{relative} was not uploaded: it is {what}.")
            else:
                yield relative, Path(path), info


def _upload_open(objects: ObjectStore, bucket: str, key: str, path: Path) -> bool:
    """Upload a file of a running job, which may take it away or put a link in its place at any moment."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        opened = Path(f"/proc/self/fd/{descriptor}")
        objects.put_file(bucket, key, opened if opened.exists() else path)
        return True
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)


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
