"""Log lines by group and stream, as CloudWatch Logs keeps them.

A group is a resource of kind `LogGroup`; a stream is a row with what DescribeLogStreams tells; lines are ordered by
their time, lines of one millisecond in the order in which they came. A `Cursor` stands between two lines, so that a
reader who has come to the end finds exactly what was added since. Times are milliseconds, as everywhere in Logs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Integer, Row, and_, delete, func, insert, or_, select, type_coerce, update
from sqlalchemy.exc import IntegrityError

from modelwright.errors import ResourceAlreadyExistsException
from modelwright.store.database import Transaction, log_event_table, log_stream_table
from modelwright.store.resources import delete_resource, find_resource, insert_resource

GROUP_KIND = "LogGroup"
EVENT_OVERHEAD = 26
"""Bytes that CloudWatch Logs counts for an event beside its message."""

_streams = log_stream_table.c
_events = log_event_table.c
_CHUNK = 2_000


@dataclass(frozen=True, order=True)
class Cursor:
    """The place just after the line (time, id)."""

    time: int
    id: int


@dataclass(frozen=True)
class LogStream:
    """A stream's row."""

    id: int
    group: str
    name: str
    created: int
    first_event: int | None
    last_event: int | None
    last_ingestion: int | None
    stored_bytes: int


class LogEvent(NamedTuple):
    """One line."""

    id: int
    stream: int
    time: int
    ingested: int
    message: str

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.time, self.id)

    @property
    def before(self) -> Cursor:
        return Cursor(self.time, self.id - 1)


def put_log_events(
    transaction: Transaction,
    group: str,
    stream: str,
    events: Sequence[tuple[int, str]],
    now_ms: int,
) -> None:
    """Add lines (milliseconds, text); makes the group and the stream when they are missing."""
    found = find_stream(transaction, group, stream)
    if found is None:
        if find_resource(transaction, GROUP_KIND, group) is None:
            create_group(transaction, group, now_ms)
        create_stream(transaction, group, stream, now_ms)
        found = find_stream(transaction, group, stream)
        assert found is not None
    add_events(transaction, found, events, now_ms)


def add_events(
    transaction: Transaction,
    stream: LogStream,
    events: Sequence[tuple[int, str]],
    now_ms: int,
) -> None:
    """Add lines to a stream that there is."""
    if not events:
        return
    rows = [{"stream": stream.id, "time": time, "ingested": now_ms, "message": text} for time, text in events]
    transaction.execute(insert(log_event_table), rows)
    first, last = min(time for time, _ in events), max(time for time, _ in events)
    size = sum(len(text.encode()) + EVENT_OVERHEAD for _, text in events)
    transaction.execute(
        update(log_stream_table)
        .where(_streams.id == stream.id)
        .values(
            first_event=first if stream.first_event is None else min(first, stream.first_event),
            last_event=last if stream.last_event is None else max(last, stream.last_event),
            last_ingestion=now_ms,
            stored_bytes=_streams.stored_bytes + size,
        )
    )


def create_group(transaction: Transaction, group: str, now_ms: int) -> None:
    """Raises ResourceInUse when there is one of that name."""
    document = {"logGroupName": group, "creationTime": now_ms}
    insert_resource(transaction, GROUP_KIND, group, document, created=now_ms / 1000)


def delete_group(transaction: Transaction, group: str) -> bool:
    """Whether there was one. Its streams and their lines go too."""
    ids = select(_streams.id).where(_streams.log_group == group)
    transaction.execute(delete(log_event_table).where(_events.stream.in_(ids)))
    transaction.execute(delete(log_stream_table).where(_streams.log_group == group))
    return delete_resource(transaction, GROUP_KIND, group)


def create_stream(transaction: Transaction, group: str, stream: str, now_ms: int) -> None:
    """Raises ResourceAlreadyExistsException when the group has one of that name."""
    row = {"log_group": group, "name": stream, "created": now_ms, "stored_bytes": 0}
    try:
        transaction.execute(insert(log_stream_table), row)
    except IntegrityError as error:
        raise ResourceAlreadyExistsException("The specified log stream already exists") from error


def delete_stream(transaction: Transaction, stream: LogStream) -> None:
    transaction.execute(delete(log_event_table).where(_events.stream == stream.id))
    transaction.execute(delete(log_stream_table).where(_streams.id == stream.id))


def find_stream(transaction: Transaction, group: str, name: str) -> LogStream | None:
    row = transaction.first(select(log_stream_table).where(_streams.log_group == group, _streams.name == name))
    return None if row is None else _stream(row)


def stream_names(transaction: Transaction, ids: Collection[int]) -> dict[int, str]:
    """Names by the ids that lines carry."""
    rows = transaction.execute(select(_streams.id, _streams.name).where(_streams.id.in_(list(ids))))
    return {row.id: row.name for row in rows}


def stored_bytes(transaction: Transaction, groups: Sequence[str]) -> dict[str, int]:
    """Bytes kept, by group."""
    rows = transaction.execute(
        select(_streams.log_group, func.sum(_streams.stored_bytes))
        .where(_streams.log_group.in_(list(groups)))
        .group_by(_streams.log_group)
    )
    return {group: int(size) for group, size in rows}


def list_streams(
    transaction: Transaction,
    group: str,
    *,
    prefix: str = "",
    by_event: bool = False,
    descending: bool = False,
    after: tuple[int, str] | None = None,
    limit: int = 50,
) -> list[LogStream]:
    """Streams by name, or by the time of their last line (streams without any count as 0).

    `after` is (last event or 0, name) of the last one of the page before.
    """
    when: ColumnElement[int] = type_coerce(func.coalesce(_streams.last_event, 0), Integer)
    statement = select(log_stream_table).where(_streams.log_group == group)
    if prefix:
        statement = statement.where(_starts_with(prefix))
    if after is not None:
        time, name = after
        further = _streams.name < name if descending else _streams.name > name
        if by_event:
            later = when < time if descending else when > time
            further = or_(later, and_(when == time, further))
        statement = statement.where(further)
    keys = [when, _streams.name] if by_event else [_streams.name]
    order = [key.desc() for key in keys] if descending else keys
    return [_stream(row) for row in transaction.execute(statement.order_by(*order).limit(limit))]


def read_events(
    transaction: Transaction,
    streams: Sequence[LogStream] | None,
    *,
    group: str = "",
    after: Cursor | None = None,
    until: Cursor | None = None,
    start: int | None = None,
    end: int | None = None,
    containing: Sequence[str] = (),
    backward: bool = False,
    expected: int = _CHUNK,
) -> Iterator[LogEvent]:
    """Lines of these streams (None: all of `group`) in order, read as the caller goes on.

    `after` and `until` are bounds by cursor (lines after the one, up to and including the other's), `start` inclusive
    and `end` exclusive bounds by time; `backward` starts at the last line. Lines without one of the texts `containing`
    may be left out, so that whoever looks for them has fewer to look at. `expected` is how many lines the caller will
    probably take.
    """
    bounds = [_of_streams(streams, group)]
    bounds += [_events.message.contains(text, autoescape=True) for text in containing]
    if start is not None and (after is None or start > after.time):
        after = Cursor(start, -1)
    if end is not None and (until is None or end <= until.time):
        until = Cursor(end, -1)
    order: Iterable[ColumnElement[int]] = (_events.time, _events.id)
    if backward:
        order = (_events.time.desc(), _events.id.desc())
    columns = select(_events.id, _events.stream, _events.time, _events.ingested, _events.message)
    chunk = min(expected + 1, _CHUNK)
    while True:
        statement = columns.where(*bounds)
        if after is not None:
            statement = statement.where(_beyond(after))
        if until is not None:
            statement = statement.where(_up_to(until))
        rows = transaction.execute(statement.order_by(*order).limit(chunk)).all()
        for row in rows:
            yield LogEvent(*row)
        if len(rows) < chunk:
            return
        last = LogEvent(*rows[-1])
        if backward:
            until = last.before
        else:
            after = last.cursor
        chunk = _CHUNK


def _of_streams(streams: Sequence[LogStream] | None, group: str) -> ColumnElement[bool]:
    if streams is None:
        return _events.stream.in_(select(_streams.id).where(_streams.log_group == group))
    if len(streams) == 1:
        return _events.stream == streams[0].id
    return _events.stream.in_([stream.id for stream in streams])


def _beyond(cursor: Cursor) -> ColumnElement[bool]:
    # The first comparison is implied by the second; it is what the index can seek by.
    return and_(_events.time >= cursor.time, or_(_events.time > cursor.time, _events.id > cursor.id))


def _up_to(cursor: Cursor) -> ColumnElement[bool]:
    return and_(_events.time <= cursor.time, or_(_events.time < cursor.time, _events.id <= cursor.id))


def _starts_with(prefix: str) -> ColumnElement[bool]:
    # A range, which the index can seek by (LIKE ignores case in SQLite), and the exact test on what it finds.
    in_range = and_(_streams.name >= prefix, _streams.name < prefix + "\U0010ffff")
    return and_(in_range, func.substr(_streams.name, 1, len(prefix)) == prefix)


def _stream(row: Row[tuple[object, ...]]) -> LogStream:
    return LogStream(
        id=row.id,
        group=row.log_group,
        name=row.name,
        created=int(row.created),
        first_event=row.first_event,
        last_event=row.last_event,
        last_ingestion=row.last_ingestion,
        stored_bytes=row.stored_bytes,
    )
