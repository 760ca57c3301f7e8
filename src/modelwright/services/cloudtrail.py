"""CloudTrail, as far as reading goes: LookupEvents over the audit log.

Where AWS takes one attribute, several are taken here; all must hold. Entries are kept for ever, not for 90 days.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from modelwright.errors import AwsError, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store.audit import AuditQuery, Entry, find_entries
from modelwright.store.database import Database

MEMBERS: Table = {
    "LookupAttributes": HONOURED,
    "StartTime": HONOURED,
    "EndTime": HONOURED,
    "EventCategory": refused("Leave it out: there are no Insights events."),
    "MaxResults": HONOURED,
    "NextToken": HONOURED,
}

_COLUMNS = {
    "EventId": "id",
    "EventName": "operation",
    "ReadOnly": "read_only",
    "Username": "user",
    "ResourceType": "resource_type",
    "ResourceName": "resource_name",
    "EventSource": "source",
    "AccessKeyId": "access_key",
}


class CloudTrail:
    """The operations of CloudTrail."""

    def __init__(self, *, database: Database, flush: Callable[[], None]) -> None:
        """`flush()` brings what has been remembered so far into the database."""
        self._database = database
        self._flush = flush

    @operation("LookupEvents", members=MEMBERS)
    def lookup_events(self, _: Context, parameters: dict[str, Any]) -> Document:
        """The newest first. Raises InvalidTimeRangeException, InvalidLookupAttributesException."""
        after, before = parameters.get("StartTime"), parameters.get("EndTime")
        if after is not None and before is not None and after > before:
            message = "The end time must be greater than or equal to the start time."
            raise AwsError(message, code="InvalidTimeRangeException")
        equal: dict[str, Any] = {}
        for attribute in parameters.get("LookupAttributes", []):
            key, value = attribute["AttributeKey"], attribute["AttributeValue"]
            if key not in _COLUMNS:
                message = f"'{key}' is not one of {', '.join(_COLUMNS)}."
                raise AwsError(message, code="InvalidLookupAttributesException")
            equal[_COLUMNS[key]] = value.lower() == "true" if key == "ReadOnly" else value
        self._flush()
        query = AuditQuery(equal, after, before, parameters.get("MaxResults", 50), parameters.get("NextToken"))
        try:
            with self._database.read() as transaction:
                entries, token = find_entries(transaction, query)
        except ValidationException as error:
            raise AwsError(error.message, code="InvalidNextTokenException") from error
        return {"Events": [_event(entry) for entry in entries], **({"NextToken": token} if token else {})}


def _event(entry: Entry) -> Document:
    resources = [{"ResourceType": entry.resource_type, "ResourceName": entry.resource_name}]
    return {
        "EventId": entry.id,
        "EventName": entry.operation,
        "ReadOnly": "true" if entry.read_only else "false",
        **({"AccessKeyId": entry.access_key} if entry.access_key else {}),
        "EventTime": entry.time,
        "EventSource": entry.source,
        "Username": entry.user,
        "Resources": resources if entry.resource_name else [],
        "CloudTrailEvent": json.dumps(entry.record, ensure_ascii=False),
    }
