"""What a client may call a reference, a commit or a path. Pure.

Whatever passes here can be given to git: it is no option, no expression (`main~1`, `@{u}`, `HEAD:file`), no way out of
a tree.
"""

from __future__ import annotations

import re

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"

_OBJECT = re.compile(r"[0-9a-f]{40}")
_BAD_IN_REFERENCE = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|/\.|\.$|^[./-]|/$")


def is_object_id(text: str) -> bool:
    """A full SHA-1 in lower case."""
    return _OBJECT.fullmatch(text) is not None


def is_reference(name: str) -> bool:
    """Whether `name` may follow `refs/heads/` (git-check-ref-format). A full name may not."""
    return 0 < len(name) <= 256 and not _BAD_IN_REFERENCE.search(name) and name not in ("@", "HEAD") and _plain(name)


def _plain(name: str) -> bool:
    return not name.startswith("refs/") and _encodable(name)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def split_path(path: str) -> list[bytes] | None:
    """A path's parts; [] for the root; None for what can be no path in a tree. A slash at either end is no matter."""
    if not _encodable(path) or "\0" in path or len(path.encode()) > 4096:
        return None
    parts = path.strip("/").split("/")
    if parts == [""]:
        return []
    if any(part in ("", ".", "..") or part.lower() == ".git" or len(part.encode()) > 255 for part in parts):
        return None
    return [part.encode() for part in parts]
