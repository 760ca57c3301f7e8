"""Git's objects as bytes: trees, commits, identities, and the packs in which new ones are handed to git. Pure.

An object's name is the SHA-1 of `type size NUL content`, so it is known before git has seen the object.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TREE = 0o040000
FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
SUBMODULE = 0o160000
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

_PACK_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


@dataclass(frozen=True)
class Entry:
    """What a name in a tree stands for."""

    mode: int
    id: str


@dataclass(frozen=True)
class Identity:
    """Who made a commit, and when: epoch seconds and an offset as git writes it (`+0900`)."""

    name: str
    email: str
    time: int
    zone: str = "+0000"

    def __str__(self) -> str:
        return f"{self.name} <{self.email}> {self.time} {self.zone}"

    @classmethod
    def parse(cls, line: str) -> Identity:
        """What cannot be read is left empty: histories hold all sorts of things."""
        who, _, when = line.rpartition("> ")
        name, _, email = who.partition("<")
        seconds, _, zone = when.partition(" ")
        time = int(seconds) if seconds.lstrip("-").isdecimal() else 0
        return cls(name.strip(), email.strip(), time, zone.strip() or "+0000")


@dataclass(frozen=True)
class Commit:
    """A commit as CodeCommit tells it."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    committer: Identity
    message: str


@dataclass(frozen=True)
class NewObject:
    """An object to be written. `type` is blob, tree or commit."""

    type: str
    content: bytes

    @property
    def id(self) -> str:
        return object_id(self.type, self.content)


def object_id(kind: str, content: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest()


def parse_tree(content: bytes) -> dict[bytes, Entry]:
    """The entries by name, in git's order."""
    entries, at = {}, 0
    while at < len(content):
        space = content.index(b" ", at)
        end = content.index(b"\0", space)
        entries[content[space + 1 : end]] = Entry(int(content[at:space], 8), content[end + 1 : end + 21].hex())
        at = end + 21
    return entries


def format_tree(entries: Iterable[tuple[bytes, Entry]]) -> bytes:
    """Folders sort as if their names ended in a slash: that is how git compares paths."""
    ordered = sorted(entries, key=lambda item: item[0] + b"/" if item[1].mode == TREE else item[0])
    return b"".join(b"%o %s\0" % (entry.mode, name) + bytes.fromhex(entry.id) for name, entry in ordered)


def parse_commit(commit_id: str, content: bytes) -> Commit:
    head, _, message = content.partition(b"\n\n")
    fields: dict[str, list[str]] = {}
    encoding = "utf-8"
    for line in head.split(b"\n"):
        name, _, value = line.partition(b" ")
        if name == b"encoding":
            encoding = value.decode("ascii", "replace")
        fields.setdefault(name.decode("ascii", "replace"), []).append(value.decode("utf-8", "replace"))
    return Commit(
        id=commit_id,
        tree=fields["tree"][0],
        parents=tuple(fields.get("parent", ())),
        author=Identity.parse(fields.get("author", [""])[0]),
        committer=Identity.parse(fields.get("committer", [""])[0]),
        message=_decoded(message, encoding),
    )


def format_commit(tree: str, parents: Sequence[str], author: Identity, committer: Identity, message: str) -> bytes:
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {author}", f"committer {committer}"]
    return ("\n".join(lines) + "\n\n" + message).encode()


def pack(objects: Sequence[NewObject]) -> bytes:
    """A pack file with these objects, each whole."""
    parts = [b"PACK", (2).to_bytes(4, "big"), len(objects).to_bytes(4, "big")]
    for each in objects:
        size = len(each.content)
        byte = _PACK_TYPES[each.type] << 4 | size & 0x0F
        size >>= 4
        head = bytearray()
        while size:
            head.append(byte | 0x80)
            byte = size & 0x7F
            size >>= 7
        head.append(byte)
        parts += [bytes(head), zlib.compress(each.content, 1)]
    content = b"".join(parts)
    return content + hashlib.sha1(content, usedforsecurity=False).digest()


def _decoded(message: bytes, encoding: str) -> str:
    try:
        return message.decode(encoding, "replace")
    except LookupError:
        return message.decode("utf-8", "replace")
