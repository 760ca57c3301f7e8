"""The build context: which of a folder's files there are (.dockerignore), which ones a COPY means, and their hash."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath


@dataclass(frozen=True)
class Source:
    """One source of a COPY: a file, or a folder whose content is meant; `members` are its files below it."""

    path: Path
    members: tuple[str, ...] = ()
    """Relative paths of everything in the folder, folders before what is in them. Empty for a file."""

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


class Context:
    """The files under `folder` that .dockerignore leaves (Docker's rule: the last pattern that matches decides)."""

    def __init__(self, folder: Path, ignore: str = "") -> None:
        self.folder = folder
        self._rules = _rules(ignore)

    def find(self, pattern: str) -> list[Source]:
        """What a source of COPY means: a file, a folder, or all that a pattern with `*`, `?` or `[...]` matches.

        Empty when there is nothing; raises ValueError for a path that leads out of the context.
        """
        relative = normpath(pattern.lstrip("/") or ".")
        if relative == ".." or relative.startswith("../"):
            raise ValueError(pattern)
        if not re.search(r"[*?\[]", relative):
            found = self._source(relative)
            return [] if found is None else [found]
        matcher = re.compile(_segments(relative))
        names = [name for name in self._walk("") if matcher.fullmatch(name)]
        sources = (self._source(name) for name in names)
        return [source for source in sources if source is not None]

    def ignored(self, relative: str) -> bool:
        """Whether .dockerignore leaves the file out."""
        verdict = False
        for keep, rule in self._rules:
            if rule.fullmatch(relative):
                verdict = not keep
        return verdict

    def _source(self, relative: str) -> Source | None:
        path = self.folder if relative == "." else self.folder / relative
        if not path.exists() and not path.is_symlink():
            return None
        real = path.resolve()
        if not real.is_relative_to(self.folder.resolve()):
            raise ValueError(relative)
        if path.is_dir():
            prefix = "" if relative == "." else f"{relative}/"
            members = tuple(name[len(prefix) :] for name in self._walk(prefix))
            if not members and relative != "." and self.ignored(relative):
                return None
            return Source(real, members)
        return None if self.ignored(relative) else Source(real)

    def _walk(self, prefix: str) -> Iterator[str]:
        """Relative paths under the folder `prefix` ("" or ending in /), in order; folders come first."""
        for entry in sorted(os.scandir(self.folder / prefix), key=lambda entry: entry.name):
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                inner = self._walk(f"{name}/")
                if not self.ignored(name):
                    yield name
                    yield from inner
                elif any(keep for keep, _ in self._rules):
                    # An exception may bring back what is inside; the folder comes with it.
                    kept = list(inner)
                    yield from ([name, *kept] if kept else [])
            elif not self.ignored(name):
                yield name


def digest(sources: Sequence[Source]) -> str:
    """A hash of names, kinds, executable bits and bytes; times and owners don't count."""
    whole = hashlib.sha256()
    for source in sources:
        whole.update(f"{source.path.name}\0{len(source.members)}\0".encode())
        for member in source.members or ("",):
            whole.update(f"{member}\0".encode())
            whole.update(digest_of_file(source.path / member if member else source.path))
    return whole.hexdigest()


def digest_of_file(path: Path) -> bytes:
    """The same for one file, link or folder (a folder's content does not count)."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return hashlib.sha256(f"link {os.readlink(path)}".encode()).digest()
    if stat.S_ISDIR(status.st_mode):
        return hashlib.sha256(b"folder").digest()
    with path.open("rb") as file:
        whole = hashlib.sha256(f"file {stat.S_IMODE(status.st_mode) & 0o111:o} ".encode())
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.digest()


def _rules(text: str) -> list[tuple[bool, re.Pattern[str]]]:
    rules = []
    for line in text.splitlines():
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        keep = pattern.startswith("!")
        cleaned = normpath(pattern[keep:].strip()).lstrip("/")
        if cleaned not in ("", "."):
            # A pattern that matches a folder matches all in it.
            rules.append((keep, re.compile(f"{_segments(cleaned)}(/.*)?", re.DOTALL)))
    return rules


def _segments(pattern: str) -> str:
    """A path pattern as a regular expression: `*` and `?` stay within a name, `**` crosses them."""
    done, position = "", 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            done += "(?:.*/)?"
            position += 3
        elif pattern.startswith("**", position):
            done += ".*"
            position += 2
        elif pattern[position] == "[" and (end := pattern.find("]", position + 2)) > 0:
            inner = pattern[position + 1 : end]
            negated = inner[:1] in "^!"
            done += f"[{'^' if negated else ''}{inner[negated:]}]".replace("\\", "\\\\")
            position = end + 1
        elif pattern[position] == "\\" and position + 1 < len(pattern):
            done += re.escape(pattern[position + 1])
            position += 2
        else:
            done += {"*": "[^/]*", "?": "[^/]"}.get(pattern[position]) or re.escape(pattern[position])
            position += 1
    return done
