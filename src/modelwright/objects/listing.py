"""Listing: a page of keys and rolled-up common prefixes, in byte order, from any point.

A common prefix is skipped by one jump in the index, so a listing costs what it shows, not what it hides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modelwright.objects.index import OBJECT_COLUMNS, Entry, after_prefix, to_entry

T = TypeVar("T")
_BATCH = 1000


@dataclass
class Page(Generic[T]):
    """`last` is where the next page starts after: a key or a common prefix; set when `truncated`."""

    items: list[T] = field(default_factory=list)
    prefixes: list[bytes] = field(default_factory=list)
    truncated: bool = False
    last: bytes = b""


@dataclass(frozen=True)
class Start:
    """Where a page begins: `key` itself, or beyond it; `rolled`: beyond everything under that common prefix."""

    key: bytes = b""
    inclusive: bool = True

    @classmethod
    def beyond(cls, key: bytes, prefix: bytes, delimiter: bytes, *, roll: bool) -> Start:
        """After `key`; with `roll`, a key inside a common prefix means after that whole common prefix."""
        if roll and delimiter and key.startswith(prefix):
            common = common_prefix(key, prefix, delimiter)
            if common is not None:
                limit = after_prefix(common)
                return cls(limit) if limit is not None else cls(b"\xff" * 1100)
        return cls(key, inclusive=False)


def objects(
    connection: sqlite3.Connection, bucket: str, prefix: bytes, *, delimiter: bytes, start: Start, limit: int
) -> Page[Entry]:
    """A page of a bucket's objects."""

    def fetch(lower: bytes, inclusive: bool, upper: bytes | None, count: int) -> list[tuple[bytes, Entry]]:
        sign = ">=" if inclusive else ">"
        query = f"SELECT {OBJECT_COLUMNS} FROM object WHERE bucket = ? AND key {sign} ?"  # noqa: S608  # constants
        values: list[object] = [bucket, lower]
        if upper is not None:
            query += " AND key < ?"
            values.append(upper)
        rows = connection.execute(f"{query} ORDER BY key LIMIT ?", [*values, count]).fetchall()
        return [(row[1], to_entry(row)) for row in rows]

    return paginate(fetch, prefix, delimiter=delimiter, start=start, limit=limit)


def every(connection: sqlite3.Connection, bucket: str, prefix: bytes) -> Iterator[Entry]:
    """Every object under a prefix, as one consistent picture."""
    return map(to_entry, under(connection, bucket, OBJECT_COLUMNS, prefix))


def under(connection: sqlite3.Connection, bucket: str, columns: str, prefix: bytes) -> list[tuple[Any, ...]]:
    """The columns of every object under a prefix, in key order, read at one moment."""
    upper = after_prefix(prefix)
    query = f"SELECT {columns} FROM object WHERE bucket = ? AND key >= ?"  # noqa: S608  # columns are constants
    if upper is None:
        return connection.execute(f"{query} ORDER BY key", (bucket, prefix)).fetchall()
    return connection.execute(f"{query} AND key < ? ORDER BY key", (bucket, prefix, upper)).fetchall()


def files(connection: sqlite3.Connection, bucket: str, prefix: bytes, cut: int) -> list[tuple[bytes, str, int]]:
    """(key without its first `cut` bytes, blob, inode) of every longer key under a prefix, in order."""
    upper = after_prefix(prefix) or b"\xff" * 1100
    return connection.execute(
        "SELECT CAST(substr(key, ?1) AS BLOB), blob, inode FROM object "
        "WHERE bucket = ?2 AND key >= ?3 AND key < ?4 AND length(key) >= ?1 ORDER BY key",
        (cut + 1, bucket, prefix, upper),
    ).fetchall()


def paginate(
    fetch: Callable[[bytes, bool, bytes | None, int], list[tuple[bytes, T]]],
    prefix: bytes,
    *,
    delimiter: bytes,
    start: Start,
    limit: int,
) -> Page[T]:
    """Fold what `fetch(lower, inclusive, upper, count)` yields, in order, into a page of at most `limit` entries."""
    page: Page[T] = Page()
    if limit <= 0:
        return page
    lower, inclusive = (start.key, start.inclusive) if start.key > prefix else (prefix, True)
    if start.key == prefix:
        inclusive = start.inclusive
    upper = after_prefix(prefix)
    while True:
        size = min(_BATCH, limit - len(page.items) - len(page.prefixes)) + 1
        rows = fetch(lower, inclusive, upper, size)
        jumped = False
        for key, item in rows:
            if len(page.items) + len(page.prefixes) == limit:
                page.truncated = True
                return page
            common = common_prefix(key, prefix, delimiter) if delimiter else None
            if common is None:
                page.items.append(item)
                page.last = key
                lower, inclusive = key, False
                continue
            page.prefixes.append(common)
            page.last = common
            beyond = after_prefix(common)
            if beyond is None:
                return page
            lower, inclusive, jumped = beyond, True, True
            break
        if not jumped and len(rows) < size:
            return page


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """The key up to the first delimiter after the prefix; None: there is no delimiter."""
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]
