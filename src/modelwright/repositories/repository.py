"""One bare repository: reading objects and references, writing new objects, moving references.

A reference moves only from the value that the caller has seen. While something moves references, it holds the
repository's lock file shared (`writing`), in the child processes too: so a server that starts after a crash can wait
until nothing of its predecessor writes any more (`settled`).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from modelwright.repositories.git import Git, GitFailed
from modelwright.repositories.names import BRANCHES, TAGS, is_object_id, is_reference
from modelwright.repositories.objects import Commit, Entry, NewObject, object_id, pack, parse_commit, parse_tree

_LOCK = "modelwright.lock"
_REFLOG_TAIL = 256 * 1024


class ReferenceMoved(Exception):
    """The reference is not where the caller saw it."""


class ReferenceRefused(Exception):
    """Git does not take a reference of this name; the text says why (`a` exists, so `a/b` can't)."""


@dataclass(frozen=True)
class Update:
    """An entry of a reference's log: `old` is '' where it was made. `who` is what the writer called itself."""

    old: str
    new: str
    who: str


@dataclass(frozen=True)
class Change:
    """A path that differs between two trees. `kind` is A, M or D; the side that isn't there is None."""

    kind: str
    before: tuple[str, Entry] | None
    after: tuple[str, Entry] | None


class Repository:
    """A bare repository in `path`."""

    def __init__(self, git: Git, path: Path) -> None:
        self.git = git
        self.path = path

    # References

    def references(self) -> dict[str, str]:
        """Object ids by full name."""
        lines = self.git.run(self.path, "for-each-ref", "--format=%(objectname) %(refname)").decode().splitlines()
        return {name: value for value, _, name in (line.partition(" ") for line in lines)}

    def reference(self, name: str) -> str | None:
        """What a full name (`refs/heads/main`) points to, or None."""
        try:
            said = self.git.run(self.path, "show-ref", "--verify", "--hash", "--", name)
        except GitFailed:
            return None
        return said.decode().strip()

    def set_reference(self, name: str, new: str, old: str | None, who: str) -> None:
        """Move a reference from `old` (None: it must not exist). Raises ReferenceMoved, ReferenceRefused."""
        self._update(name, old, who, "-m", "modelwright", "--create-reflog", name, new, old or "0" * 40)

    def delete_reference(self, name: str, old: str, who: str) -> None:
        """Raises ReferenceMoved."""
        self._update(name, old, who, "-d", name, old)

    def _update(self, name: str, old: str | None, who: str, *arguments: str) -> None:
        with self.writing() as lock:
            try:
                self.git.run(self.path, "update-ref", *arguments, environ=identity_environ(who), keep=(lock,))
            except GitFailed as error:
                if self.reference(name) != old:
                    raise ReferenceMoved(name) from error
                raise ReferenceRefused(str(error)) from error

    def set_head(self, branch: str) -> None:
        """The branch that a clone checks out."""
        self.git.run(self.path, "symbolic-ref", "HEAD", BRANCHES + branch)

    def head(self) -> str:
        """Its full name; it need not exist."""
        return self.git.run(self.path, "symbolic-ref", "HEAD").decode().strip()

    def log_of(self, name: str) -> list[Update]:
        """The latest updates of a reference, the oldest first."""
        try:
            with (self.path / "logs" / name).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _REFLOG_TAIL))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        updates = []
        for line in lines:
            old, new, rest = line[:40], line[41:81], line[82:]
            if is_object_id(old) and is_object_id(new):
                updates.append(Update("" if old == "0" * 40 else old, new, rest.partition(" <")[0]))
        return updates

    # Reading

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Read objects, by one process however many they are."""
        with Reader(self.git, self.path) as reader:
            yield reader

    def changes(self, before: str, after: str, paths: Sequence[str] = ()) -> list[Change]:
        """What differs between two trees, with renames found."""
        said = self.git.run(
            self.path, "diff-tree", "-r", "-z", "-M", "--no-abbrev", before, after, "--", *paths
        )  # fmt: skip
        return _parse_changes(said)

    def history(self, commit: str, path: str, most: int | None = None) -> list[str]:
        """The commits that changed a path, the newest first."""
        limit = () if most is None else (f"--max-count={most}",)
        return self.git.run(self.path, "rev-list", *limit, commit, "--", path).decode().split()

    def tree_listing(self, tree: str) -> Iterator[tuple[bytes, Entry]]:
        """All that is in a tree and below it but folders, by path."""
        for line in self.git.run(self.path, "ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0"):
            if line:
                about, _, path = line.partition(b"\t")
                mode, _, value = about.decode().split(" ")
                yield path, Entry(int(mode, 8), value)

    # Writing

    def write(self, objects: Sequence[NewObject]) -> None:
        """Write objects; git checks each and that what they name is there. Nothing points to them yet."""
        unique = {each.id: each for each in objects}
        self.git.run(self.path, "unpack-objects", "-q", "--strict", given=pack(list(unique.values())))

    @contextmanager
    def writing(self) -> Iterator[int]:
        """Hold the lock file, shared; the descriptor is for child processes."""
        handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield handle
        finally:
            os.close(handle)

    def settled(self, *, wait: bool) -> bool:
        """Whether no process moves references; `wait` waits until it is so."""
        try:
            handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return True  # the repository was deleted
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(handle)
        return True


class Reader:
    """Objects by `git cat-file`, kept running until the end of the `with`."""

    def __init__(self, git: Git, path: Path) -> None:
        self._git = git
        self._path = path
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            if kind is not None:
                process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def header(self, name: str) -> tuple[str, str, int] | None:
        """(id, type, size) of an object; None where there is none. `name` is an id, or one with `^{commit}`."""
        return _header(self._ask("--batch-check", name))

    def read(self, name: str) -> tuple[str, bytes] | None:
        """(type, content)."""
        stream = self._ask("--batch", name)
        found = _header(stream)
        if found is None:
            return None
        content = stream.read(found[2])
        stream.read(1)
        return found[1], content

    def copy(self, blob: str, target: IO[bytes]) -> None:
        """Write a blob's content to a file, piece by piece."""
        stream = self._ask("--batch", blob)
        found = _header(stream)
        if found is None:
            raise GitFailed(f"object {blob} is missing")
        left = found[2]
        while left:
            piece = stream.read(min(left, 1 << 20))
            if not piece:
                raise GitFailed(f"object {blob} ends early")
            target.write(piece)
            left -= len(piece)
        stream.read(1)

    def commit(self, commit: str) -> Commit | None:
        """The commit of that id; None where there is none, or it is something else."""
        found = self.read(commit)
        return parse_commit(commit, found[1]) if found is not None and found[0] == "commit" else None

    def tree(self, tree: str) -> dict[bytes, Entry]:
        """A tree's entries. Raises GitFailed where it is none."""
        if tree == object_id("tree", b""):
            return {}
        found = self.read(tree)
        if found is None or found[0] != "tree":
            raise GitFailed(f"{tree} is no tree")
        return parse_tree(found[1])

    def peel(self, name: str) -> str | None:
        """The commit that an object's id stands for (an annotated tag's target), or None."""
        found = self.header(f"{name}^{{commit}}")
        return found[0] if found is not None else None

    def _ask(self, mode: str, name: str) -> IO[bytes]:
        process = self._processes.get(mode)
        if process is None:
            process = subprocess.Popen(  # see git.py
                self._git.command("cat-file", mode),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._git.environ(self._path),
                cwd=self._path,
            )
            self._processes[mode] = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(name.encode() + b"\n")
        process.stdin.flush()
        return process.stdout


def resolve(repository: Repository, reader: Reader, specifier: str, default_branch: str | None) -> str | None:
    """The commit that a specifier (its id, a branch, a tag, a full reference, HEAD) means, or None."""
    if is_object_id(specifier):
        found = reader.header(specifier)
        return specifier if found is not None and found[1] == "commit" else None
    if specifier == "HEAD":
        names = [BRANCHES + default_branch] if default_branch else []
    elif specifier.startswith("refs/"):
        names = [specifier] if is_reference(specifier.removeprefix("refs/")) else []
    else:
        names = [BRANCHES + specifier, TAGS + specifier] if is_reference(specifier) else []
    for name in names:
        value = repository.reference(name)
        if value is not None:
            return reader.peel(value)
    return None


def identity_environ(who: str) -> dict[str, str]:
    """What makes git write `who` into a reference's log."""
    name = "".join(letter for letter in who if letter.isprintable() and letter not in "<>") or "unknown"
    return {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": "modelwright@localhost"}


def _header(stream: IO[bytes]) -> tuple[str, str, int] | None:
    line = stream.readline().decode()
    if not line:
        raise GitFailed("git cat-file ended early")
    parts = line.split()
    if len(parts) != 3 or not parts[2].isdecimal():
        return None  # "NAME missing"
    return parts[0], parts[1], int(parts[2])


def _parse_changes(said: bytes) -> list[Change]:
    """`:100644 100755 OLD NEW M NUL path NUL`; renames (`R100`) name both paths."""
    fields = iter(said.split(b"\0"))
    changes = []
    for about in fields:
        if not about:
            break
        old_mode, new_mode, old, new, status = about.decode().lstrip(":").split(" ")
        path = next(fields).decode("utf-8", "replace")
        target = next(fields).decode("utf-8", "replace") if status[0] in "RC" else path
        before = None if status == "A" else (path, Entry(int(old_mode, 8), old))
        after = None if status == "D" else (target, Entry(int(new_mode, 8), new))
        changes.append(Change(status if status in "AD" else "M", before, after))
    return changes
