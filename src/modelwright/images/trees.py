"""Image trees: folders that mirror `/`, one a build step, by the step's cache key.

A tree is never changed once its `layer.json` is there; the next step begins with a copy of it. Copies share files by
hard links, so whoever changes a file in a new tree replaces it (`replace_file`) and never writes into it.

Paths inside a tree are resolved as the image would: a symbolic link in it, absolute or not, never leads out of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelwright.images.context import digest_of_file
from modelwright.images.locks import locked, write_atomically


@dataclass(frozen=True)
class Tree:
    """A finished tree. `digest`: of names, kinds, executable bits and bytes."""

    key: str
    root: Path
    digest: str
    size: int


class Trees:
    """The trees of one home folder. Safe for several threads and processes at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> Tree | None:
        try:
            layer = json.loads((self._folder / key / "layer.json").read_text())
        except FileNotFoundError:
            return None
        return Tree(key, self._folder / key / "root", layer["digest"], layer["size"])

    def make(self, key: str, parent: Tree | None, change: Callable[[Path], None], *, writable: bool = False) -> Tree:
        """The tree `key`; if there is none yet, a copy of `parent` that `change` has changed.

        `writable`: the copy shares no file with the parent, so that `change` may write into files.
        """
        with locked(self._folder / f"{key}.lock"):
            found = self.find(key)
            if found is not None:
                return found
            folder = self._folder / key
            shutil.rmtree(folder, ignore_errors=True)
            root = folder / "root"
            root.mkdir(parents=True)
            try:
                if parent is not None:
                    copy_tree(parent.root, root, link=not writable)
                change(root)
                digest, size = _measure(root)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            write_atomically(folder / "layer.json", json.dumps({"digest": digest, "size": size}))
            return Tree(key, root, digest, size)

    def names(self) -> list[str]:
        """Of everything that lies here, finished or not."""
        if not self._folder.is_dir():
            return []
        return [entry.name for entry in os.scandir(self._folder) if entry.is_dir()]

    def remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / key / "layer.json").unlink()
        shutil.rmtree(self._folder / key, ignore_errors=True)


def inside(root: Path, path: str, *, follow_last: bool = True) -> Path:
    """The host's path of the image's `path`, links on the way followed inside the tree. It need not exist."""
    waiting = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    current: list[str] = []
    followed = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            current = current[:-1]
            continue
        here = root.joinpath(*current, part)
        if here.is_symlink() and (waiting or follow_last) and followed < 40:
            followed += 1
            target = os.readlink(here)
            current = [] if target.startswith("/") else current
            waiting.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
        else:
            current.append(part)
    return root.joinpath(*current)


def copy_tree(source: Path, target: Path, *, link: bool) -> None:
    """Copy what is in the folder `source` into the folder `target`: over files, into folders."""
    for entry in os.scandir(source):
        copy_entry(Path(entry.path), target / entry.name, link=link)


def copy_entry(source: Path, target: Path, *, link: bool = False) -> None:
    """Copy a file, a link or a folder with all that is in it to `target`. Devices and sockets are left out."""
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode):
        make_folder(target)
        target.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
        copy_tree(source, target, link=link)
    elif stat.S_ISLNK(mode):
        clear(target)
        target.symlink_to(os.readlink(source))
    elif stat.S_ISREG(mode) and link:
        clear(target)
        try:
            os.link(source, target)
        except OSError:  # another file system, or too many links
            shutil.copy2(source, target)
    elif stat.S_ISREG(mode):
        replace_file(source, target)


def replace_file(source: Path, target: Path) -> None:
    """A copy of a file at `target`, as a new file whatever was there."""
    clear(target)
    shutil.copyfile(source, target)
    shutil.copystat(source, target)
    target.chmod(target.stat().st_mode | stat.S_IRUSR | stat.S_IWUSR)


def make_folder(path: Path) -> None:
    """A folder at `path`; a file that is there goes, a link to a folder stays."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)


def clear(path: Path) -> None:
    """Nothing at `path`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _measure(root: Path) -> tuple[str, int]:
    """The tree's digest, and its bytes."""
    whole, size = hashlib.sha256(), 0
    for folder, folders, files in os.walk(root):
        folders.sort()
        relative = os.path.relpath(folder, root)
        for name in sorted([*files, *(name for name in folders if Path(folder, name).is_symlink())]):
            path = Path(folder, name)
            whole.update(f"{relative}/{name}\0".encode(errors="surrogateescape"))
            whole.update(digest_of_file(path))
            size += path.lstat().st_size
        whole.update(f"{relative}/\0".encode(errors="surrogateescape"))
    return whole.hexdigest(), size
