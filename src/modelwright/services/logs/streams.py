"""Log streams and their lines, over the log store that the engine writes job logs to: a line is there once stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import (
    InvalidParameterException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.logs.common import DAY, find_group, group_of_identifier, make_token, oldest, open_token
from modelwright.services.logs.patterns import parse_pattern
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.store import logs
from modelwright.store.database import Database, Transaction
from modelwright.store.history import History
from modelwright.store.logs import Cursor, LogEvent, LogStream

PAGE_EVENTS = 10_000
PAGE_BYTES = 1_048_576
SCANNED_EVENTS = 100_000
"""Lines that one FilterLogEvents call looks at before it answers with what it has."""
BATCH_BYTES = 1_048_576
TOO_NEW = 7_200_000
TOO_OLD = 14 * DAY

_UNMASK = recorded("Nothing is masked here.")

GET_MEMBERS: Table = {
    "logGroupName": HONOURED,
    "logGroupIdentifier": HONOURED,
    "logStreamName": HONOURED,
    "startTime": HONOURED,
    "endTime": HONOURED,
    "nextToken": HONOURED,
    "limit": HONOURED,
    "startFromHead": HONOURED,
    "unmask": _UNMASK,
}

FILTER_MEMBERS: Table = {
    "logGroupName": HONOURED,
    "logGroupIdentifier": HONOURED,
    "logStreamNames": HONOURED,
    "logStreamNamePrefix": HONOURED,
    "startTime": HONOURED,
    "endTime": HONOURED,
    "filterPattern": HONOURED,
    "nextToken": HONOURED,
    "limit": HONOURED,
    "startFromHead": refused("Leave it out, or use GetLogEvents to read backwards.", True),
    "interleaved": recorded("Lines of several streams are always in the order of their times, as on AWS."),
    "unmask": _UNMASK,
}

PUT_MEMBERS: Table = {
    "logGroupName": HONOURED,
    "logStreamName": HONOURED,
    "logEvents": HONOURED,
    "sequenceToken": recorded("Needed no more on AWS either."),
    "entity": refused("Leave it out: entities are not kept."),
}


class LogStreams:
    """The operations on streams and lines."""

    def __init__(self, *, database: Database, history: History, now: Callable[[], float]) -> None:
        self.database = database
        self.history = history
        self._now = now

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)

    @operation("CreateLogStream")
    def create_log_stream(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceAlreadyExistsException when the group has a stream of this name."""
        group, name = parameters["logGroupName"], parameters["logStreamName"]
        with self.database.write() as transaction:
            find_group(transaction, group)
            if logs.find_stream(transaction, group, name) is not None:
                raise ResourceAlreadyExistsException("The specified log stream already exists")
            logs.create_stream(transaction, group, name, self._milliseconds())
        return {}

    @operation("DeleteLogStream")
    def delete_log_stream(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            find_group(transaction, parameters["logGroupName"])
            stream = _stream(transaction, parameters["logGroupName"], parameters["logStreamName"])
            logs.delete_stream(transaction, stream)
        return {}

    @operation("DescribeLogStreams", quick=True)
    def describe_log_streams(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Streams by name or by the time of their last line; a prefix goes with the order of names only."""
        group = _group_name(parameters)
        by_event = parameters.get("orderBy", "LogStreamName") == "LastEventTime"
        prefix = parameters.get("logStreamNamePrefix", "")
        if by_event and prefix:
            raise InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
        limit = parameters.get("limit", 50)
        after = open_token(parameters, int, str)
        with self.database.read() as transaction:
            find_group(transaction, group)
            streams = logs.list_streams(
                transaction,
                group,
                prefix=prefix,
                by_event=by_event,
                descending=parameters.get("descending", False),
                after=None if after is None else (after[0], after[1]),
                limit=limit + 1,
            )
        result: Document = {"logStreams": [_describe_stream(context, stream) for stream in streams[:limit]]}
        if len(streams) > limit:
            last = streams[limit - 1]
            result["nextToken"] = make_token([last.last_event or 0, last.name])
        return result

    @operation("PutLogEvents", members=PUT_MEMBERS)
    def put_log_events(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Add lines. Those too old or too far in the future are left out, and the answer says which."""
        events = [(event["timestamp"], event["message"]) for event in parameters["logEvents"]]
        _check_batch(events)
        now = self._milliseconds()
        with self.database.write() as transaction:
            group = find_group(transaction, parameters["logGroupName"])
            stream = _stream(transaction, parameters["logGroupName"], parameters["logStreamName"])
            expired = sum(time < oldest(group, now) for time, _ in events)
            old = sum(time < now - TOO_OLD for time, _ in events)
            new = sum(time > now + TOO_NEW for time, _ in events)
            logs.add_events(transaction, stream, events[max(old, expired) : len(events) - new], now)
        rejected: Document = {}
        if new:
            rejected["tooNewLogEventStartIndex"] = len(events) - new
        if old:
            rejected["tooOldLogEventEndIndex"] = old
        if expired:
            rejected["expiredLogEventEndIndex"] = expired
        result: Document = {"nextSequenceToken": f"{now:056d}"}
        return result | {"rejectedLogEventsInfo": rejected} if rejected else result

    @operation("GetLogEvents", members=GET_MEMBERS)
    def get_log_events(self, _: Context, parameters: dict[str, Any]) -> Document:
        """A page of one stream's lines, oldest first within the page.

        Without a token: the first page with `startFromHead`, else the last one. A token that is answered again says
        that there is nothing further in its direction (yet).
        """
        group = _group_name(parameters)
        direction, place = _open_position(parameters)
        limit = parameters.get("limit", PAGE_EVENTS)
        with self.database.read() as transaction:
            found = find_group(transaction, group)
            stream = _stream(transaction, group, parameters["logStreamName"])
            lines = logs.read_events(
                transaction,
                [stream],
                after=place if direction == "f" else None,
                until=place if direction == "b" else None,
                start=self._start(found, parameters),
                end=parameters.get("endTime"),
                backward=direction == "b",
                expected=limit,
            )
            page = list(_within_page(lines, limit))
        if direction == "b":
            page.reverse()
        first, last = place or Cursor(0, 0), place or Cursor(0, 0)
        if page:
            first, last = page[0].before, page[-1].cursor
        return {
            "events": [
                {"timestamp": event.time, "message": event.message, "ingestionTime": event.ingested} for event in page
            ],
            "nextForwardToken": _position_token("f", last),
            "nextBackwardToken": _position_token("b", first),
        }

    @operation("FilterLogEvents", members=FILTER_MEMBERS)
    def filter_log_events(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Lines of several streams in the order of their times. A page may be empty and yet have a next one."""
        group = _group_name(parameters)
        pattern = parse_pattern(parameters.get("filterPattern", ""))
        token = open_token(parameters, int, int)
        limit = parameters.get("limit", PAGE_EVENTS)
        page: list[LogEvent] = []
        further: Cursor | None = None
        with self.database.read() as transaction:
            found = find_group(transaction, group)
            streams = _chosen_streams(transaction, group, parameters)
            lines = logs.read_events(
                transaction,
                streams,
                group=group,
                after=None if token is None else Cursor(*token),
                start=self._start(found, parameters),
                end=parameters.get("endTime"),
                containing=pattern.texts,
                expected=limit,
            )
            size = 0
            for scanned, line in enumerate(lines):
                if len(page) >= limit or size > PAGE_BYTES or scanned >= SCANNED_EVENTS:
                    further = line.before
                    break
                if pattern.matches(line.message):
                    page.append(line)
                    size += len(line.message.encode()) + logs.EVENT_OVERHEAD
            names = _names(transaction, streams, page)
        result: Document = {
            "events": [
                {
                    "logStreamName": names[line.stream],
                    "timestamp": line.time,
                    "message": line.message,
                    "ingestionTime": line.ingested,
                    "eventId": f"{line.time:020d}{line.id:036d}",
                }
                for line in page
            ],
            "searchedLogStreams": [],
        }
        if further is not None:
            result["nextToken"] = make_token([further.time, further.id])
        return result

    def _start(self, group: Document, parameters: dict[str, Any]) -> int:
        return max(int(parameters.get("startTime", 0)), oldest(group, self._milliseconds()))


def _stream(transaction: Transaction, group: str, name: str) -> LogStream:
    stream = logs.find_stream(transaction, group, name)
    if stream is None:
        raise ResourceNotFoundException("The specified log stream does not exist.")
    return stream


def _group_name(parameters: dict[str, Any]) -> str:
    name, identifier = parameters.get("logGroupName"), parameters.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise InvalidParameterException("Either logGroupName or logGroupIdentifier must be given, and not both.")
    return str(name) if name is not None else group_of_identifier(str(identifier))


def _describe_stream(context: Context, stream: LogStream) -> Document:
    resource = f"log-group:{stream.group}:log-stream:{stream.name}"
    described: Document = {
        "logStreamName": stream.name,
        "creationTime": stream.created,
        "arn": str(Arn("logs", context.region, context.account, resource)),
        "storedBytes": 0,  # AWS has told 0 for a stream since 2019; the group's figure is real
    }
    for member, value in (
        ("firstEventTimestamp", stream.first_event),
        ("lastEventTimestamp", stream.last_event),
        ("lastIngestionTime", stream.last_ingestion),
    ):
        if value is not None:
            described[member] = value
    return described


def _check_batch(events: list[tuple[int, str]]) -> None:
    if any(later[0] < earlier[0] for earlier, later in pairwise(events)):
        raise InvalidParameterException("Log events in a single PutLogEvents request must be in chronological order.")
    if events[-1][0] - events[0][0] > DAY:
        raise InvalidParameterException(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )
    size = sum(len(message.encode()) + logs.EVENT_OVERHEAD for _, message in events)
    if size > BATCH_BYTES:
        raise InvalidParameterException(f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES}")


def _within_page(lines: Iterator[LogEvent], limit: int) -> Iterator[LogEvent]:
    size = 0
    for count, line in enumerate(lines):
        size += len(line.message.encode()) + logs.EVENT_OVERHEAD
        if count >= limit or (count and size > PAGE_BYTES):
            return
        yield line


def _chosen_streams(transaction: Transaction, group: str, parameters: dict[str, Any]) -> list[LogStream] | None:
    """The streams that the request names; None for all of the group."""
    names, prefix = parameters.get("logStreamNames"), parameters.get("logStreamNamePrefix")
    if names and prefix:
        raise InvalidParameterException("logStreamNames and logStreamNamePrefix can't be given together.")
    if names:
        return [_stream(transaction, group, name) for name in names]
    if prefix:
        return logs.list_streams(transaction, group, prefix=prefix, limit=PAGE_EVENTS)
    return None


def _names(transaction: Transaction, streams: list[LogStream] | None, page: list[LogEvent]) -> dict[int, str]:
    if streams is None:
        return logs.stream_names(transaction, {line.stream for line in page})
    return {stream.id: stream.name for stream in streams}


def _open_position(parameters: dict[str, Any]) -> tuple[str, Cursor | None]:
    """Which way to read (`f` or `b`), and from where."""
    token = parameters.get("nextToken")
    if token is None:
        return ("f" if parameters.get("startFromHead") else "b"), None
    found = re.fullmatch(r"([fb])/(\d{20})(\d{36})/s", token)
    if found is None:
        raise InvalidParameterException("The specified nextToken is invalid.")
    return found[1], Cursor(int(found[2]), int(found[3]))


def _position_token(direction: str, cursor: Cursor) -> str:
    return f"{direction}/{cursor.time:020d}{cursor.id:036d}/s"
