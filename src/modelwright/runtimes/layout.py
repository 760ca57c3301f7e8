"""What a container of the process runtime sees: a small file system put together from mounts.

The rule: the root is a folder of the container's own. The host's system folders appear in it read-only, the image's
tree is laid over them, the spec's mounts over that; whatever else the host has (homes, data, Modelwright's own keys)
is not there at all. This module decides what is mounted where and makes the mount points; making the mounts is the
sandbox's business.

Mount points can't be made in a folder that is mounted read-only, so where something must appear in such a folder and
the name isn't there, the folder becomes one of the container's own and the host's entries are mounted back into it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import basename, dirname, join, normpath
from typing import Literal

SYSTEM = ("usr", "etc", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "sys", "nix", "gnu")
"""Top-level names of the host that a container sees, read-only."""

OWN = ("home", "media", "mnt", "run", "srv", "var")
"""Top-level folders that programs expect; the container has empty ones."""

MOST_BINDS = 32
"""A folder with more entries is brought back by links into one mount: each mount costs bubblewrap 0.2 ms and more."""

BEHIND = "/.host"
"""Where those links point to."""


@dataclass(frozen=True)
class Bind:
    """A host file or folder. `copy` numbers a copy-on-write one: its changes go to the job's own folder."""

    source: Path
    writable: bool = False
    copy: int | None = None


@dataclass(frozen=True)
class Folder:
    """A writable folder of the container's own."""


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    to: str


@dataclass(frozen=True)
class Special:
    """Something that only the sandbox can make: /proc, /dev, a device, a file that can't be read."""

    kind: Literal["proc", "dev", "device", "nothing"]


Entry = Bind | Folder | Link | Special


@dataclass(frozen=True)
class Copy:
    """A copy-on-write folder: `source` as it is, the changes in `upper`; `work` belongs to the kernel."""

    folder: Path
    """In the job's own."""
    source: Path
    file: str = ""
    """The only file of it that is meant; empty: all of it."""

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def work(self) -> Path:
        return self.folder / "work"


StepKind = Literal["tmpfs", "folder", "link", "ro", "rw", "copy", "proc", "dev", "device", "nothing"]


@dataclass(frozen=True)
class Step:
    """One thing to do at a path of the container: make a folder, a link, or mount something there."""

    kind: StepKind
    path: str
    source: str = ""
    """Of `ro` and `rw`; what a `link` points to."""
    copy: Copy | None = None
    folder: bool = False
    """What is mounted is a folder."""


@dataclass
class Layout:
    """Entries by the container's absolute path, links on the way followed; `job` is the job's folder on the host."""

    job: Path
    entries: dict[str, Entry] = field(default_factory=lambda: {"/": Folder()})
    copies: list[Copy] = field(default_factory=list)

    def system(self) -> None:
        """The host's system, /proc and /dev."""
        for name in SYSTEM:
            host = Path("/", name)
            if host.is_symlink():
                self.entries[f"/{name}"] = Link(os.readlink(host))
            elif host.is_dir():
                self.entries[f"/{name}"] = Bind(host)
        self.entries |= {f"/{name}": Folder() for name in OWN}
        self.entries |= {
            "/var/run": Link("/run"),
            "/var/tmp": Link("/tmp"),  # noqa: S108 - the container's own
            "/proc": Special("proc"),
            "/dev": Special("dev"),
        }
        self.entries |= {str(device): Special("device") for device in _accelerators()}
        for name in ("/etc/resolv.conf", "/etc/localtime"):
            real = Path(os.path.realpath(name))  # often a link into /run, which is the container's own
            if real.is_file() and not self._exists(str(real)):
                self.bind(real, str(real))

    def bind(self, source: Path, target: str, *, writable: bool = False) -> None:
        """Put a host file or folder at `target`. Raises FileNotFoundError when there is no `source`."""
        source.stat()
        self._put(target, Bind(source, writable), folder=source.is_dir())

    def copy_on_write(self, source: Path, target: str) -> None:
        """Put a host file or folder at `target`, for the container to write to without changing it."""
        source.stat()
        folder = source.is_dir()
        copy = Copy(self.job / "cow" / str(len(self.copies)), *((source,) if folder else (source.parent, source.name)))
        copy.upper.mkdir(parents=True)
        copy.work.mkdir()
        self.copies.append(copy)
        self._put(target, Bind(source, writable=True, copy=len(self.copies) - 1), folder=folder)

    def lay(self, tree: Path, at: str = "/") -> None:
        """Lay a tree over what is there: its files win, folders that both have are merged."""
        for item in sorted(os.scandir(tree), key=lambda item: item.name):
            path, source = join(at, item.name), Path(item.path)
            if item.is_symlink():
                self._link(path, os.readlink(source))
            elif not item.is_dir():
                self.bind(source, path)
            elif self._exists(self.resolve(path)):
                self.lay(source, path)
            else:
                self.copy_on_write(source, path)

    def exists(self, path: str) -> bool:
        """Something is there already."""
        return self._exists(self.resolve(path))

    def hide(self, path: str) -> None:
        """Nothing of it is to be seen, if it would be."""
        path = self.resolve(path)
        host = self.host(path)
        if host is not None and host.exists():
            self.entries[path] = Folder() if host.is_dir() else Special("nothing")

    def copy_now(self) -> None:
        """Really copy what is copy-on-write: where there are no overlays."""
        for number, copy in enumerate(self.copies):
            made = copy.folder / "merged"
            copy_tree(copy.source / copy.file, made / copy.file)
            copy_tree(copy.upper, made)
            for path, entry in self.entries.items():
                if isinstance(entry, Bind) and entry.copy == number:
                    self.entries[path] = Bind(made / copy.file, writable=True)

    def resolve(self, path: str) -> str:
        """The path with every symbolic link followed as in the container."""
        waiting = _parts(path)
        current, followed = "/", 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                current = dirname(current)
                continue
            current = join(current, part)
            link = self._link_at(current)
            if link is not None and followed < 40:
                followed += 1
                current = "/" if link.startswith("/") else dirname(current)
                waiting.extend(_parts(link))
        return current

    def host(self, path: str) -> Path | None:
        """The host's file that a resolved path shows; None where the container has something of its own."""
        above = self._above(path)
        entry = self.entries[above]
        return entry.source / path[len(above) :].lstrip("/") if isinstance(entry, Bind) else None

    def steps(self) -> Iterator[Step]:
        """What makes the container's file system, in order."""
        for path, entry in sorted(self.entries.items(), key=lambda item: _parts(item[0])[::-1]):
            if isinstance(entry, Folder):
                own = path == "/" or isinstance(self.entries[self._above(dirname(path))], Folder)
                yield Step("folder" if own and path != "/" else "tmpfs", path, folder=True)
            elif isinstance(entry, Link):
                yield Step("link", path, entry.to)
            elif isinstance(entry, Special):
                yield Step(entry.kind, path, folder=entry.kind in ("proc", "dev"))
            elif entry.copy is not None:
                yield Step("copy", path, copy=self.copies[entry.copy], folder=not self.copies[entry.copy].file)
            else:
                kind: StepKind = "rw" if entry.writable else "ro"
                yield Step(kind, path, str(entry.source), folder=entry.source.is_dir())

    def _above(self, path: str) -> str:
        while path not in self.entries:
            path = dirname(path)
        return path

    def _link_at(self, path: str) -> str | None:
        entry = self.entries.get(path)
        if isinstance(entry, Link):
            return entry.to
        host = None if entry is not None else self.host(path)
        return os.readlink(host) if host is not None and host.is_symlink() else None

    def _exists(self, path: str) -> bool:
        if path in self.entries:
            return True
        host = self.host(path)
        return host is not None and host.exists()

    def _put(self, target: str, entry: Entry, *, folder: bool) -> None:
        target = normpath(target)
        path = self.resolve(target) if folder else join(self.resolve(dirname(target)), basename(target))
        self._ensure(dirname(path))
        if not self._exists(path) or self._link_at(path) is not None:
            self._make_room(path, folder=folder)
        for below in [other for other in self.entries if other.startswith(f"{path}/")]:
            del self.entries[below]
        self.entries[path] = entry

    def _link(self, path: str, to: str) -> None:
        path = join(self.resolve(dirname(path)), basename(path))
        self._ensure(dirname(path))
        if path not in self.entries and self._writable_side(dirname(path)) is None:
            self._own(dirname(path))
        side = self._writable_side(dirname(path))
        if side is not None:
            (side / basename(path)).unlink(missing_ok=True)
            (side / basename(path)).symlink_to(to)
        else:
            self.entries[path] = Link(to)

    def _ensure(self, path: str) -> None:
        """The folder `path` (resolved) exists."""
        if path in self.entries:
            return
        self._ensure(dirname(path))
        if not self._exists(path) and self._make_room(path, folder=True):
            self.entries[path] = Folder()

    def _make_room(self, path: str, *, folder: bool) -> bool:
        """A new name can be made at `path`, whose parent exists. False: it has been made, in something writable."""
        side = self._writable_side(dirname(path))
        if side is not None:
            side.mkdir(parents=True, exist_ok=True)
            _mount_point(side / basename(path), folder=folder)
            return False
        self._own(dirname(path))
        self.entries.pop(path, None)
        return True

    def _writable_side(self, path: str) -> Path | None:
        """Where on the host a new name in the folder `path` can be made, if it lies in something writable."""
        above = self._above(path)
        entry = self.entries[above]
        if not isinstance(entry, Bind) or not entry.writable:
            return None
        base = entry.source if entry.copy is None else self.copies[entry.copy].upper
        return base / path[len(above) :].lstrip("/")

    def _own(self, path: str) -> None:
        """Make a folder that is mounted read-only the container's own, with the same entries."""
        there = self.host(path)
        if there is None:
            return
        items = list(os.scandir(there))
        self.entries[path] = Folder()
        if len(items) > MOST_BINDS:
            self.bind(there, BEHIND + path)
        for item in items:
            below = join(path, item.name)
            if item.is_symlink():
                self.entries.setdefault(below, Link(os.readlink(item.path)))
            elif len(items) > MOST_BINDS:
                self.entries.setdefault(below, Link(BEHIND + below))
            else:
                self.entries.setdefault(below, Bind(Path(item.path)))


def copy_tree(source: Path, target: Path) -> None:
    """Copy a file or a folder's content, sharing blocks where the file system can. Raises OSError."""
    clone = "-c" if sys.platform == "darwin" else "--reflink=auto"
    named = f"{source}/." if source.is_dir() else str(source)
    (target if source.is_dir() else target.parent).mkdir(parents=True, exist_ok=True)
    for options in ([clone], []):
        done = subprocess.run(["cp", "-Rp", *options, named, str(target)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise OSError(f"{source} can't be copied to {target}: {done.stderr.strip()}")


def _mount_point(path: Path, *, folder: bool) -> None:
    if folder:
        path.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        path.touch()


def _parts(path: str) -> list[str]:
    """The names of a path, last first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _accelerators() -> Iterator[Path]:
    dev = Path("/dev")
    yield from sorted(path for path in dev.glob("nvidia*") if not path.is_dir())
    yield from (path for path in (dev / "dri", dev / "kfd") if path.exists())
