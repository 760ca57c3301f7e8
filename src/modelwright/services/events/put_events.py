"""Events of one's own, and trying a pattern out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelwright.errors import ValidationException
from modelwright.events.envelopes import REQUIRED
from modelwright.events.patterns import compile_pattern
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.events.base import EventsService, bus_name
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.store.database import Transaction
from modelwright.store.event_bus import bus_exists

SIZE_LIMIT = 256 * 1024
"""Bytes of all entries of a request."""

MEMBERS: Table = {
    "Entries": {
        "Time": HONOURED,
        "Source": HONOURED,
        "Resources": HONOURED,
        "DetailType": HONOURED,
        "Detail": HONOURED,
        "EventBusName": HONOURED,
        "TraceHeader": recorded("There is no X-Ray here."),
    },
    "EndpointId": refused("There are no global endpoints here: leave it out."),
}


class PutEvents(EventsService):
    """PutEvents and TestEventPattern."""

    @operation("PutEvents", members=MEMBERS)
    def put(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Send events. Each entry gets an id or an error of its own; those with an id are sent durably."""
        entries = parameters["Entries"]
        if sum(_size(entry) for entry in entries) > SIZE_LIMIT:
            raise ValidationException("Total size of the entries in the request is over the limit.")
        with self.database.write() as transaction:
            results = [self._send(transaction, context, entry) for entry in entries]
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    @operation("TestEventPattern")
    def test(self, _: Context, parameters: dict[str, Any]) -> Document:
        pattern = compile_pattern(parameters["EventPattern"])
        try:
            event = json.loads(parameters["Event"])
        except (ValueError, RecursionError) as error:
            raise ValidationException(f"Parameter Event is not valid. Reason: it is not valid JSON: {error}") from None
        if not isinstance(event, dict):
            raise ValidationException("Parameter Event is not valid. Reason: it is not a JSON object.")
        missing = [name for name in REQUIRED if name not in event]
        if missing:
            raise ValidationException(f"Parameter Event is not valid. Reason: {', '.join(missing)} missing.")
        return {"Result": pattern.matches(event)}

    def _send(self, transaction: Transaction, context: Context, entry: Mapping[str, Any]) -> Document:
        for member in ("Source", "DetailType", "Detail"):
            if not entry.get(member):
                return _invalid(f"Parameter {member} is not valid. Reason: {member} is a required argument.")
        if entry["Source"].lower().startswith("aws."):
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source."}
        try:
            detail = json.loads(entry["Detail"])
        except (ValueError, RecursionError):
            detail = None
        if not isinstance(detail, dict):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        bus = bus_name(entry)
        if not bus_exists(transaction, bus):
            return _invalid(f"Parameter EventBusName is not valid. Reason: there is no event bus {bus}.")
        identity = self.events.emit(
            transaction,
            source=entry["Source"],
            detail_type=entry["DetailType"],
            detail=detail,
            resources=entry.get("Resources", []),
            region=context.region,
            time=self.now(),
            sent=entry.get("Time"),
            bus=bus,
        )
        return {"EventId": identity}


def _invalid(message: str) -> Document:
    return {"ErrorCode": "InvalidArgument", "ErrorMessage": message}


def _size(entry: Mapping[str, Any]) -> int:
    """As AWS counts: 14 bytes for a time, the others by their UTF-8."""
    texts = [entry.get(member, "") for member in ("Source", "DetailType", "Detail")]
    texts += entry.get("Resources", [])
    return (14 if "Time" in entry else 0) + sum(len(text.encode()) for text in texts)
