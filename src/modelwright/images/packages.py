"""The packages that a RUN asks for: pip's, by the image's own paths; Debian's, which are this machine's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from posixpath import join

from modelwright.images.context import digest_of_file
from modelwright.images.pip import build_failed
from modelwright.images.state import next_key
from modelwright.images.trees import Tree, inside

ELSEWHERE = "The container runtime builds any Dockerfile."
_FILE_OPTIONS = ("-r", "--requirement", "-c", "--constraint")
_FOLDER_OPTIONS = ("-f", "--find-links")


def located(arguments: Sequence[str], tree: Tree | None, folder: str) -> tuple[list[str], list[Path]]:
    """pip's arguments with the image's paths (relative to `folder`) made the tree's, and the files that they name."""
    actual, files, option = [], [], ""
    for word in arguments:
        name, separator, value = word.partition("=")
        attached = bool(separator) and name in (*_FILE_OPTIONS, *_FOLDER_OPTIONS)
        is_option = word.startswith("-") and not attached
        path = value if attached else word.removeprefix("file://")
        local = attached or option in (*_FILE_OPTIONS, *_FOLDER_OPTIONS) or path.startswith((".", "/"))
        bare = path.partition("[")[0]  # `.[extra]`
        place = _place(tree, join(folder, bare)) if local and not is_option and "://" not in path else None
        if place is None:
            actual.append(word)
        else:
            files += _with_included(place) if option in _FILE_OPTIONS or name in _FILE_OPTIONS else [place]
            found = f"{place}{path[len(bare) :]}"
            actual.append(f"{name}={found}" if attached else found)
        option = word if is_option else ""
    return actual, files


def digest_of(files: Sequence[Path]) -> str:
    """A hash of files and of all that is in folders; empty for none."""
    parts: list[str] = []
    for file in files:
        members = sorted(file.rglob("*")) if file.is_dir() else [file]
        parts += [f"{member.relative_to(file)} {digest_of_file(member).hex()}" for member in members]
    return next_key("", parts) if parts else ""


def names(words: Sequence[str]) -> list[str]:
    """Debian packages without version, architecture and release."""
    return [re.split(r"[=:/]", word, maxsplit=1)[0] for word in words]


def of_the_host() -> frozenset[str]:
    """The Debian packages that this machine has, and the names that they provide. Raises AwsError on other systems."""
    try:
        listed = subprocess.run(
            ["dpkg-query", "-W", "-f", "${db:Status-Status}|${Package}|${Provides}\n"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise build_failed(f"this machine ({sys.platform}) has no Debian packages. {ELSEWHERE}") from error
    names: set[str] = set()
    for line in listed.splitlines():
        status, package, provides = line.split("|", 2)
        if status == "installed":
            names |= {package, *(word.split()[0] for word in provides.split(",") if word.strip())}
    return frozenset(names)


def _place(tree: Tree | None, path: str) -> Path | None:
    place = inside(tree.root, path) if tree is not None else None
    return place if place is not None and place.exists() else None


def _with_included(requirements: Path) -> list[Path]:
    """A requirements file and those that it includes."""
    found = [requirements]
    for file in found:
        if file.is_file():
            for name in re.findall(r"^\s*(?:-r|--requirement|-c|--constraint)[ =]\s*(\S+)", file.read_text(), re.M):
                inner = file.parent / name
                found += [inner] if inner.is_file() and inner not in found else []
    return found
