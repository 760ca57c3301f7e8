"""Views: objects as files in a folder, by hard links: no bytes are copied, and the folder never changes.

20,000 hard links take some 0.4 s, which is too long to wait for a channel. So every write also links its blob into a
living tree, `live/<bucket>/<key>`; a view of a whole folder then takes that folder out of the tree by one rename,
after it has been compared, file by file and inode by inode, with what the index says. The tree is only ever a
shortcut: whatever is missing or wrong in it (a crash, a key that no folder can hold) costs the links, nothing else.

A view's name is the hash of what is in it, so the same content is the same folder. Views that nobody has asked for
since the longest job that SageMaker allows are swept.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from modelwright.errors import ValidationException
from modelwright.objects.blobs import remove_tree

KEEP = 30 * 86400.0
"""Seconds that an unused view is kept without asking: SageMaker's longest job runs 28 days."""
KEEP_KNOWN = 3600.0
"""Seconds that it is kept when somebody can say which views are in use."""
_NAME_LIMIT = 255


File = tuple[bytes, str, int]
"""What a view shall hold: name relative to it (one that ends in `/` is a folder), blob, inode. A plain tuple, as there
are so many."""


class Views:
    """The views of one store. `file_of` tells where a blob is."""

    def __init__(self, root: Path, file_of: Callable[[str], str]) -> None:
        self._views = root / "views"
        self._live = root / "live"
        self._files = root / "files"
        self._trash = root / "trash"
        self._file_of = file_of
        self._live_prefix = os.fsencode(self._live) + b"/"
        self._live_lock = threading.Lock()
        self._build_lock = threading.Lock()
        self._numbers = itertools.count()
        self._folders: set[bytes] = set()
        for folder in (self._views, self._files, self._live, self._trash):
            folder.mkdir(parents=True, exist_ok=True)

    # The living tree

    def written(self, bucket: str, key: bytes, blob: str) -> None:
        """An object has these bytes now."""
        if not _is_plain(key):
            return
        path = self._live_path(bucket, key)
        with self._live_lock:
            try:
                if key.endswith(b"/"):
                    os.makedirs(path, exist_ok=True)
                    return
                folder = os.path.dirname(path)
                if folder not in self._folders:
                    os.makedirs(folder, exist_ok=True)
                    self._folders.add(folder)
                self._relink(os.fsencode(self._file_of(blob)), path)
            except OSError:
                self._folders.clear()  # a folder may be gone, or a file in its place: never mind, views compare

    def _relink(self, source: bytes, target: bytes) -> None:
        try:
            os.link(source, target)
        except FileExistsError:
            os.unlink(target)
            os.link(source, target)
        except FileNotFoundError:  # the folder has become a view
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.link(source, target)

    def deleted(self, bucket: str, key: bytes) -> None:
        """There is no such object any more."""
        if not _is_plain(key):
            return
        top = os.fsencode(self._live / bucket)
        path = self._live_path(bucket, key)
        with self._live_lock:
            try:
                if not key.endswith(b"/"):
                    os.unlink(path)
                folder = os.path.dirname(path)
                while len(folder) >= len(top):
                    os.rmdir(folder)
                    self._folders.discard(folder)
                    folder = os.path.dirname(folder)
            except OSError:
                return  # not there, or not empty

    def forget(self) -> None:
        """Throw the living tree away: it may describe another store."""
        with self._live_lock:
            self._folders.clear()
            os.rename(self._live, self._trash / f"live-{time.time_ns()}")
            self._live.mkdir()

    def forget_all(self) -> None:
        """Throw the views away too: the files in them may be damaged."""
        self.forget()
        for path in [*self._views.iterdir(), *self._files.iterdir()]:
            os.rename(path, self._trash / f"view-{time.time_ns()}-{next(self._numbers)}")

    def _live_path(self, bucket: str, key: bytes) -> bytes:
        return b"%s%s/%s" % (self._live_prefix, bucket.encode(), key)

    # Views

    def view(self, files: Sequence[File], bucket: str, folder: bytes, now: float) -> Path | None:
        """The folder with just these files; None when one of the blobs has gone meanwhile: look again.

        `folder` is the part of the keys (with its `/`) that the names lack. Raises ValidationException naming what no
        folder can hold.
        """
        target = self._views / _digest(files)
        with self._build_lock:
            if not target.is_dir() and not self._build(files, bucket, folder, target):
                return None
            os.utime(target, (now, now))
        return target

    def file(self, blob: str, now: float) -> Path | None:
        """A blob as a file that stays when the object goes; None when the blob has gone meanwhile: look again."""
        path = self._files / blob.replace("/", "-")
        try:
            with self._build_lock:
                with contextlib.suppress(FileExistsError):
                    os.link(self._file_of(blob), path)
                os.utime(path, (now, path.stat().st_mtime))
        except FileNotFoundError:
            return None
        return path

    def touch(self, view: Path, now: float) -> bool:
        """Note that a view is used again; whether it is still there."""
        try:
            with self._build_lock:
                os.utime(view, (now, now))
        except FileNotFoundError:
            return False
        return True

    def _build(self, files: Sequence[File], bucket: str, folder: bytes, target: Path) -> bool:
        if self._take(files, bucket, folder, target):
            return True
        check(files)
        draft = self._trash / f"draft-{os.getpid()}-{time.time_ns()}-{next(self._numbers)}"
        draft.mkdir()
        rest: list[File] = []
        for (first, slash), group in itertools.groupby(files, key=lambda file: file[0].partition(b"/")[:2]):
            members = list(group)
            cut = len(first) + 1
            inside = [(name[cut:], blob, inode) for name, blob, inode in members if len(name) > cut]
            top = draft / os.fsdecode(first)
            if not (slash and self._take(inside, bucket, folder + first + b"/", top)):
                rest.extend(members)
        try:
            self._link(rest, draft)
        except FileNotFoundError:
            remove_tree(draft)
            return False
        except OSError as error:
            remove_tree(draft)
            name_text = os.fsdecode(error.filename2 or error.filename or b"")
            raise ValidationException(f"No folder can hold {Path(name_text).name!r}: {error.strerror}.") from error
        os.rename(draft, target)
        return True

    def _take(self, files: Sequence[File], bucket: str, folder: bytes, target: Path) -> bool:
        """Make the living tree's folder the view, if it holds exactly these files."""
        if not _is_plain(folder or b"x"):
            return False
        source = self._live_path(bucket, folder)
        expected = {name: inode for name, _, inode in files if name[-1:] != b"/"}
        markers = {name for name, _, _ in files if name[-1:] == b"/"}
        with self._live_lock:
            if not _matches(source, expected, markers):
                return False
            try:
                os.rename(source.rstrip(b"/"), target)
            except OSError:
                return False
            self._folders.clear()
        return True

    def _link(self, files: Sequence[File], draft: Path) -> None:
        root = os.fsencode(draft)
        folders = {b""}
        for name, blob, _ in files:
            folder, _, base = name.rpartition(b"/")
            if folder not in folders:
                os.makedirs(os.path.join(root, folder), exist_ok=True)
                folders.add(folder)
            if base:
                os.link(self._file_of(blob), os.path.join(root, name))

    def sweep(self, now: float, in_use: Collection[Path] | None = None) -> int:
        """Remove what nobody uses: what was not asked for in KEEP, or in KEEP_KNOWN when `in_use` names what is used.

        A folder's time of use is its modification's, a file's (which shares its times with the blob) its access's.
        """
        keep = KEEP if in_use is None else KEEP_KNOWN
        removed = 0
        for path in [*self._views.iterdir(), *self._files.iterdir()]:
            with self._build_lock:
                status = path.stat()
                used = status.st_mtime if path.is_dir() else status.st_atime
                if now - used < keep or (in_use is not None and path in in_use):
                    continue
                os.rename(path, self._trash / f"view-{time.time_ns()}-{next(self._numbers)}")
            removed += 1
        self.empty_trash()
        return removed

    def empty_trash(self) -> None:
        for path in self._trash.iterdir():
            if not path.name.startswith(f"draft-{os.getpid()}-"):
                remove_tree(path)


def check(files: Sequence[File]) -> None:
    """Raise ValidationException naming the keys that no folder can hold."""
    bad = sorted(name for name, _, _ in files if not _is_plain(name))
    if bad:
        raise ValidationException(
            f"No folder can hold these names: {_names(bad)}. Move the objects, or choose a narrower prefix."
        )
    names = {name for name, _, _ in files}
    folders = {name[:-1] for name in names if name.endswith(b"/")}
    for name in names:
        at = name.find(b"/")
        while at >= 0:
            folders.add(name[:at])
            at = name.find(b"/", at + 1)
    both = sorted(names & folders)
    if both:
        raise ValidationException(
            f"These names are an object and a folder at once, which no folder can hold: {_names(both)}. "
            "Move the objects, or choose a narrower prefix."
        )


def _names(names: Sequence[bytes]) -> str:
    shown = ", ".join(repr(name.decode("utf-8", "replace")) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _is_plain(name: bytes) -> bool:
    """Whether a relative path of these segments is what it says and stays where it is put."""
    if b"\0" in name:
        return False
    segments = name.removesuffix(b"/").split(b"/")
    return all(0 < len(segment) <= _NAME_LIMIT and segment not in (b".", b"..") for segment in segments)


def _digest(files: Sequence[File]) -> str:
    text = b"\0".join([b"%s\0%s" % (name, blob.encode()) for name, blob, _ in files])
    return hashlib.blake2b(text, digest_size=20).hexdigest()


def _matches(root: bytes, expected: dict[bytes, int], markers: set[bytes]) -> bool:
    """Whether a folder holds exactly the expected files by inode, and no folder that no key speaks of."""
    found = 0
    missing = set(markers)
    stack = [(root, b"")]
    while stack:
        folder, prefix = stack.pop()
        missing.discard(prefix)
        count = 0
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    count += 1
                    name = prefix + entry.name
                    if expected.get(name) == entry.inode():
                        found += 1
                    elif entry.is_dir(follow_symlinks=False):
                        stack.append((entry.path, name + b"/"))
                    else:
                        return False
        except OSError:
            return False
        if not count and prefix not in markers:
            return False
    return found == len(expected) and not missing
