"""COPY and ADD: which files, to which path of the tree, and the copying itself."""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, join

from modelwright.images.context import Context, Source
from modelwright.images.dockerfile import DockerfileError, Instruction
from modelwright.images.trees import copy_entry, copy_tree, inside, make_folder, replace_file

_KNOWN_FLAGS = {"from", "chown", "chmod", "link"}
_URL = re.compile(r"(https?|git|ssh|ftp)://|git@")
_HOST_FOLDERS = re.compile(r"/(bin|etc|home|lib|lib64|media|mnt|opt|root|sbin|srv|tmp|usr|var)(/.*)?")


@dataclass(frozen=True)
class Copy:
    """A COPY or ADD with everything found. `texts`: here-documents as (file name, content)."""

    sources: tuple[Source, ...]
    texts: tuple[tuple[str, str], ...]
    target: str
    """An absolute path of the image."""
    into: bool
    """`target` is a folder that they go into, whatever is there."""
    mode: int | None
    unpack: bool

    def apply(self, root: Path) -> None:
        """Copy into the tree at `root`."""
        into = self.into or is_folder(root, self.target)
        for source in self.sources:
            if source.is_folder:
                self._folder(root, source)
            elif self.unpack and tarfile.is_tarfile(source.path):
                self._archive(root, source.path)
            else:
                target = join(self.target, source.path.name) if into else self.target
                self._set_mode(self._file(root, source.path, target))
        for name, content in self.texts:
            place = _prepare(root, join(self.target, name) if into else self.target)
            place.unlink(missing_ok=True)
            place.write_text(content)
            self._set_mode(place)

    def _folder(self, root: Path, source: Source) -> None:
        make_folder(inside(root, self.target))
        for member in source.members:
            path = source.path / member
            if path.is_dir() and not path.is_symlink():
                make_folder(inside(root, join(self.target, member)))
            else:
                self._set_mode(self._file(root, path, join(self.target, member)))

    def _file(self, root: Path, source: Path, target: str) -> Path:
        place = _prepare(root, target)
        if place.is_dir() and not place.is_symlink():
            raise OSError(f"{target} is a folder, and {source.name} is not")
        if source.is_symlink():
            copy_entry(source, place)
        else:
            replace_file(source, place)
        return place

    def _archive(self, root: Path, archive: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root.parent, prefix="unpacked-") as name:
            with tarfile.open(archive) as tar:
                tar.extractall(name, filter="tar")
            folder = inside(root, self.target)
            make_folder(folder)
            copy_tree(Path(name), folder, link=False)

    def _set_mode(self, path: Path) -> None:
        if self.mode is not None and not path.is_symlink():
            path.chmod(self.mode)


def is_folder(root: Path | None, path: str) -> bool:
    """Whether the image has a folder there already: in its tree, or (a system folder) from the host."""
    if root is not None and inside(root, path).is_dir():
        return True
    return bool(_HOST_FOLDERS.fullmatch(path)) and Path(path).is_dir() and not path.startswith("/opt/ml")


def find_copy(
    instruction: Instruction, words: Sequence[str], context: Context, folder: str, texts: Sequence[tuple[str, str]]
) -> Copy:
    """What the instruction copies. `words`: sources and target, expanded; `folder`: where a relative target lies.

    Raises DockerfileError for a source that isn't there and for what can't be honoured.
    """
    line, name = instruction.line, instruction.name
    for flag, _ in instruction.flags:
        if flag not in _KNOWN_FLAGS or (flag == "from" and name == "ADD"):
            raise DockerfileError(line, f"{name} --{flag} is not supported here.")
    if len(words) < 2:
        raise DockerfileError(line, f"{name} needs at least one source and a target.")
    *patterns, target = words
    sources: list[Source] = []
    for pattern in patterns:
        if pattern.startswith("<<"):
            continue
        if _URL.match(pattern):
            raise DockerfileError(
                line, f"{name} {pattern}: only files are added here; download it in a RUN, or before."
            )
        try:
            found = context.find(pattern)
        except ValueError:
            raise DockerfileError(line, f"{name} {pattern}: it leads out of the build's folder.") from None
        if not found:
            raise DockerfileError(line, f"{name} {pattern}: there is no such file{_where(context, instruction)}.")
        sources += found
    several = len(sources) + len(texts) > 1
    if several and not target.endswith("/") and not all(source.is_folder for source in sources):
        raise DockerfileError(line, f"{name} of several files needs a folder as its target: write {target}/.")
    mode = instruction.flag("chmod")
    if mode is not None and not re.fullmatch(r"0?[0-7]{3,4}", mode):
        raise DockerfileError(line, f"{name} --chmod={mode}: only octal modes (755) are supported here.")
    into = target.endswith(("/", "/.")) or several or target == "."
    return Copy(
        sources=tuple(sources),
        texts=tuple(texts),
        target=join(folder, target).rstrip("/") or "/",
        into=into,
        mode=None if mode is None else int(mode, 8),
        unpack=name == "ADD",
    )


def _where(context: Context, instruction: Instruction) -> str:
    stage = instruction.flag("from")
    if stage is None:
        return f" in {context.folder} (or .dockerignore leaves it out)"
    return (
        f" in {stage}'s files. Packages that pip installed there are in its Python environment, "
        f"which comes along with FROM {stage}"
    )


def _prepare(root: Path, target: str) -> Path:
    """The host's path of `target`, its folder made; links above it are followed inside the tree."""
    place = inside(root, target, follow_last=False)
    make_folder(inside(root, target.removesuffix(basename(target))))
    return place
