"""Which images there are: records by content, tags and repositories that name them. One file, no database.

`index.json` is read without a lock (it is replaced as a whole) and changed under one, so the command line may build
and remove images while a server runs, or without any. An image's tree and environment are folders beside it; this
module knows only what names them.

Two namings lead to a record: `repository:tag`, and `repository@digest`, the content itself. A content whose tag moves
on stays in its repository, untagged, as ECR keeps it: whoever was promised that content can still have it. A record
that nothing names any more is gone from every listing; its folders stay as a cache until `prune` (library.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from modelwright.errors import AwsError, ConfigurationError
from modelwright.images.locks import locked, write_atomically
from modelwright.images.uris import Reference

_VERSION = 1


@dataclass(frozen=True)
class Record:
    """One image by content. `tree` and `environment` are names of folders (layers/, environments/), None: it has none.

    `config` is state.py's Config as plain JSON. `size` is the tree's, in bytes.
    """

    digest: str
    tree: str | None = None
    environment: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    created: float = 0.0
    base: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tag:
    """A name of an image. `tag`: empty where the content has none in this repository. `pushed`: when it came to name
    this content, in epoch seconds."""

    repository: str
    tag: str
    record: Record
    pushed: float

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.record.digest}"


@dataclass(frozen=True)
class Repository:
    """`document`: what ECR says about it beside its name, in AWS's members."""

    name: str
    created: float
    document: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Index:
    """`tags`: by repository and tag what is named, and since when. What is untagged has its digest for a tag."""

    repositories: dict[str, dict[str, Any]]
    tags: dict[str, dict[str, dict[str, Any]]]
    images: dict[str, dict[str, Any]]


class ImageStore:
    """The index of one home folder. Safe for several threads and processes at once."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._path = folder / "index.json"
        self._lock = folder / "index.lock"
        self._now = now
        self._cached: tuple[tuple[int, int, int], _Index] | None = None

    def find(self, reference: Reference) -> Record | None:
        """The record that a URI names, or None."""
        index = self._read()
        tags = index.tags.get(reference.repository, {})
        digest = reference.digest
        if digest is None:
            named = tags.get(reference.tag)
            digest = named["digest"] if named else None
        elif all(named["digest"] != digest for named in tags.values()):
            return None
        return None if digest is None else _record(index.images[digest])

    def put(self, reference: Reference, record: Record) -> Record:
        """Name the content by the reference's repository and tag; an equal content that is there already stays.

        The repository is made when there is none, as pushing to a local registry does. Raises
        ImageTagAlreadyExistsException where the repository's tags are immutable and this one names something else.
        """
        with self._change() as index:
            now = self._now()
            stored = index.images.setdefault(record.digest, asdict(replace(record, created=record.created or now)))
            index.repositories.setdefault(reference.repository, {"created": now, "document": {}})
            tags = index.tags.setdefault(reference.repository, {})
            present = tags.get(reference.tag)
            if present is None or present["digest"] != record.digest:
                document = index.repositories[reference.repository]["document"]
                if present is not None and document.get("imageTagMutability") == "IMMUTABLE":
                    raise AwsError(
                        f"The image tag '{reference.tag}' already exists in the '{reference.repository}' repository "
                        "and cannot be overwritten because the repository is immutable.",
                        code="ImageTagAlreadyExistsException",
                    )
                tags[reference.tag] = {"digest": record.digest, "pushed": now}
                tags.pop(record.digest, None)
                if present is not None and all(named["digest"] != present["digest"] for named in tags.values()):
                    tags[present["digest"]] = present
            _forget_unnamed(index)
            return _record(stored)

    def remove(self, reference: Reference) -> list[Tag]:
        """Take the tag away, and with the last one the content; a digest takes all of it. What was taken."""
        with self._change() as index:
            taken = [
                tag
                for tag in _tags(index)
                if tag.repository == reference.repository
                and (tag.record.digest == reference.digest if reference.digest else tag.tag == reference.tag)
            ]
            for tag in taken:
                del index.tags[tag.repository][tag.tag or tag.record.digest]
            _forget_unnamed(index)
            return taken

    def tags(self, repository: str | None = None) -> list[Tag]:
        """Every tag, or those of one repository; by repository and tag."""
        return [tag for tag in self.names(repository) if tag.tag]

    def names(self, repository: str | None = None) -> list[Tag]:
        """The tags, and what is untagged, by repository and tag."""
        found = (tag for tag in _tags(self._read()) if repository in (None, tag.repository))
        return sorted(found, key=lambda tag: (tag.repository, tag.tag, tag.record.digest))

    def records(self) -> list[Record]:
        """Every content that a repository has."""
        return [_record(stored) for stored in self._read().images.values()]

    def repositories(self) -> list[Repository]:
        """Every repository, by name."""
        return sorted(_repositories(self._read()), key=lambda repository: repository.name)

    def repository(self, name: str) -> Repository | None:
        return next((found for found in _repositories(self._read()) if found.name == name), None)

    def create_repository(self, name: str, document: dict[str, Any]) -> Repository | None:
        """None when there is one of that name."""
        with self._change() as index:
            if name in index.repositories:
                return None
            index.repositories[name] = {"created": self._now(), "document": document}
            return Repository(name, index.repositories[name]["created"], document)

    def update_repository(self, name: str, change: Callable[[dict[str, Any]], None]) -> Repository | None:
        """Let `change` change the document; None when there is no such repository."""
        with self._change() as index:
            stored = index.repositories.get(name)
            if stored is None:
                return None
            change(stored["document"])
            return Repository(name, stored["created"], stored["document"])

    def delete_repository(self, name: str, *, force: bool) -> Repository | None:
        """None when there is none. Raises RepositoryNotEmptyException unless it is empty or `force` is given."""
        with self._change() as index:
            stored = index.repositories.get(name)
            if stored is None:
                return None
            if index.tags.get(name) and not force:
                raise AwsError(
                    f"The repository with name '{name}' cannot be deleted because it still contains images",
                    code="RepositoryNotEmptyException",
                )
            del index.repositories[name]
            index.tags.pop(name, None)
            _forget_unnamed(index)
            return Repository(name, stored["created"], stored["document"])

    @contextmanager
    def _change(self) -> Iterator[_Index]:
        with locked(self._lock):
            index = self._load()
            yield index
            write_atomically(self._path, json.dumps({"version": _VERSION, **asdict(index)}, indent=1))

    def _read(self) -> _Index:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return _Index({}, {}, {})
        # The inode changes with every replacement, so a change within the clock's grain is seen too.
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        cached = self._cached
        if cached is None or cached[0] != stamp:
            cached = (stamp, self._load())
            self._cached = cached
        return cached[1]

    def _load(self) -> _Index:
        try:
            stored = json.loads(self._path.read_text())
        except FileNotFoundError:
            return _Index({}, {}, {})
        if stored["version"] != _VERSION:
            raise ConfigurationError(f"{self._path} was made by another version of Modelwright: upgrade Modelwright.")
        return _Index(stored["repositories"], stored["tags"], stored["images"])


def _record(stored: dict[str, Any]) -> Record:
    return Record(**{**stored, "notes": tuple(stored["notes"])})


def _tags(index: _Index) -> Iterator[Tag]:
    for repository, tags in index.tags.items():
        for tag, named in tags.items():
            name = "" if tag == named["digest"] else tag
            yield Tag(repository, name, _record(index.images[named["digest"]]), named["pushed"])


def _repositories(index: _Index) -> Iterator[Repository]:
    for name, stored in index.repositories.items():
        yield Repository(name, stored["created"], dict(stored["document"]))


def _forget_unnamed(index: _Index) -> None:
    named = {tag["digest"] for tags in index.tags.values() for tag in tags.values()}
    for digest in set(index.images) - named:
        del index.images[digest]
