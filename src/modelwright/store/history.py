"""Event streams: what happened to one execution or job, in order. The engine's memory.

A stream is opened by the service that creates the resource, in the same transaction, and driven by a worker that
holds its lease. `append` carries the version that the writer has seen: of two writers one gets StaleVersion, reads
again and decides again. Whoever must act on a change subscribes and is called after the commit, with the stream's
name; nothing polls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from modelwright.errors import StaleVersion
from modelwright.store.database import Transaction, event_table, stream_table

_streams = stream_table.c
_events = event_table.c

# Made once: SQLAlchemy takes longer to put a statement together than SQLite to run it, and these run many times a step.
_OPEN = insert(stream_table)
_ADD = insert(event_table)
_HEAD = select(stream_table).where(_streams.name == bindparam("the_name"))
_READ = (
    select(event_table)
    .where(_events.stream == bindparam("the_name"), _events.sequence > bindparam("after"))
    .order_by(_events.sequence)
)
_ADVANCE = (
    update(stream_table)
    .where(_streams.name == bindparam("the_name"), _streams.version == bindparam("expected"))
    .values(version=bindparam("new"))
)
_END = _ADVANCE.values(ended=True)


@dataclass(frozen=True)
class Event:
    """A fact. `data` is plain JSON; `time` is in epoch seconds; `sequence` is set by the history, from 1."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    time: float = 0.0
    sequence: int = 0


@dataclass(frozen=True)
class Stream:
    """A stream's head. `kind` says which lifecycle folds it (`Job`, `Execution`)."""

    name: str
    kind: str
    version: int
    ended: bool


class History:
    """The streams of one database. `owner` is the server process that drives what is opened here."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._subscribers: list[Callable[[str], None]] = []

    def subscribe(self, wake: Callable[[str], None]) -> None:
        """`wake(stream name)` after every commit that appended to it. It must return at once."""
        self._subscribers.append(wake)

    def open(
        self,
        transaction: Transaction,
        name: str,
        kind: str,
        events: Sequence[Event],
        *,
        lease_until: float,
    ) -> None:
        """Begin a stream, leased to this process. Raises StaleVersion when there is one of that name."""
        row = {"name": name, "kind": kind, "version": len(events), "ended": False}
        try:
            transaction.execute(_OPEN, {**row, "owner": self.owner, "lease_until": lease_until})
        except IntegrityError as error:
            raise StaleVersion(f"stream {name!r} exists") from error
        self._write(transaction, name, 0, events)

    def append(
        self,
        transaction: Transaction,
        name: str,
        events: Sequence[Event],
        *,
        expected: int | None = None,
        ended: bool = False,
    ) -> int:
        """Append and return the new version. `expected` None appends to whatever there is (a command from outside).

        Raises StaleVersion when the stream is not at `expected`, or does not exist.
        """
        version = expected
        if version is None:
            head = self.head(transaction, name)
            if head is None:
                raise StaleVersion(f"stream {name!r} does not exist")
            version = head.version
        new = version + len(events)
        place = {"the_name": name, "expected": version, "new": new}
        found = transaction.execute(_END if ended else _ADVANCE, place)
        if found.rowcount == 0:
            raise StaleVersion(f"stream {name!r} is not at version {version}")
        self._write(transaction, name, version, events)
        return new

    def reopen(self, transaction: Transaction, name: str, events: Sequence[Event], *, lease_until: float) -> int:
        """Append to a stream that had ended and make it driven again (RetryPipelineExecution)."""
        version = self.append(transaction, name, events)
        values = {"ended": False, "owner": self.owner, "lease_until": lease_until}
        transaction.execute(update(stream_table).where(_streams.name == name).values(**values))
        return version

    def forget(self, transaction: Transaction, name: str) -> None:
        """Delete a stream and its events: what they were about has been deleted, and its name may be used again."""
        transaction.execute(delete(event_table).where(_events.stream == name))
        transaction.execute(delete(stream_table).where(_streams.name == name))

    def head(self, transaction: Transaction, name: str) -> Stream | None:
        row = transaction.first(_HEAD, {"the_name": name})
        return None if row is None else Stream(row.name, row.kind, row.version, row.ended)

    def read(self, transaction: Transaction, name: str, after: int = 0) -> list[Event]:
        """The events with a sequence above `after`, in order."""
        rows = transaction.execute(_READ, {"the_name": name, "after": after})
        return [Event(row.kind, row.data, row.time, row.sequence) for row in rows]

    def claim(self, transaction: Transaction, *, now: float, until: float, force: bool = False) -> list[Stream]:
        """Take over every open stream that nobody holds; `force` takes all (this process is the only server)."""
        free = or_(_streams.owner == self.owner, _streams.lease_until < now)
        where = [_streams.ended.is_(False)] if force else [_streams.ended.is_(False), free]
        rows = transaction.execute(select(stream_table).where(*where)).all()
        transaction.execute(update(stream_table).where(*where).values(owner=self.owner, lease_until=until))
        return [Stream(row.name, row.kind, row.version, row.ended) for row in rows]

    def _write(self, transaction: Transaction, name: str, version: int, events: Sequence[Event]) -> None:
        if events:
            rows = [
                {"stream": name, "sequence": version + i, "kind": e.kind, "time": e.time, "data": dict(e.data)}
                for i, e in enumerate(events, 1)
            ]
            transaction.execute(_ADD, rows)
        transaction.after_commit(lambda: self._wake(name))

    def _wake(self, name: str) -> None:
        for wake in self._subscribers:
            wake(name)
