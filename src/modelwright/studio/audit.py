"""Audit: who did what, with filters in the address, and the same as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from modelwright.studio.view import Route, View

FILTERS = {"user": "Username", "operation": "EventName", "resource": "ResourceName"}
PAGE = 50
MOST_EXPORTED = 100_000


def routes() -> list[Route]:
    return [("/audit", ("GET",), show), ("/audit/export", ("GET",), export)]


@dataclass(frozen=True)
class Entry:
    """A line of the audit log."""

    time: float
    user: str
    operation: str
    service: str
    resource: str
    error: str
    message: str
    source: str
    record: Mapping[str, Any]


async def show(view: View) -> Response:
    wanted = _wanted(view)
    problem, entries, token = "", [], None
    if wanted is None:
        problem = "Give a date like 2026-01-31."
    else:
        answer = await view.call("LookupEvents", "cloudtrail", MaxResults=PAGE, NextToken=_token(view), **wanted)
        entries, token = [_entry(event) for event in answer["Events"]], answer.get("NextToken")
    given = {name: view.argument(name) for name in (*FILTERS, "since", "until")}
    return view.page(
        "audit.html", entries=entries, next=token, problem=view.texts(problem) if problem else "", given=given
    )


async def export(view: View) -> Response:
    """All that fits the filters, as CSV or JSON lines."""
    wanted, token = _wanted(view) or {}, None
    entries: list[Entry] = []
    while len(entries) < MOST_EXPORTED:
        answer = await view.call("LookupEvents", "cloudtrail", MaxResults=PAGE, NextToken=token, **wanted)
        entries += [_entry(event) for event in answer["Events"]]
        token = answer.get("NextToken")
        if token is None:
            break
    form = "json" if view.argument("form") == "json" else "csv"
    text = "".join(f"{json.dumps(entry.record, ensure_ascii=False)}\n" for entry in entries)
    return Response(
        text if form == "json" else _csv(entries),
        media_type="application/x-ndjson" if form == "json" else "text/csv",
        headers={"Content-Disposition": f'attachment; filename="audit.{"jsonl" if form == "json" else "csv"}"'},
    )


def _token(view: View) -> str | None:
    return view.argument("page") or None


def _wanted(view: View) -> dict[str, Any] | None:
    """LookupEvents' parameters; None where a date can't be read."""
    attributes = [
        {"AttributeKey": key, "AttributeValue": view.argument(name).strip()}
        for name, key in FILTERS.items()
        if view.argument(name).strip()
    ]
    wanted: dict[str, Any] = {"LookupAttributes": attributes} if attributes else {}
    try:
        if since := view.argument("since"):
            wanted["StartTime"] = _day(since)
        if until := view.argument("until"):
            wanted["EndTime"] = _day(until) + 86_400 - 0.001
    except ValueError:
        return None
    return wanted


def _day(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()


def _entry(event: Mapping[str, Any]) -> Entry:
    record = json.loads(event["CloudTrailEvent"])
    resources = event.get("Resources", [])
    via, address = record["additionalEventData"]["via"], record["sourceIPAddress"]
    return Entry(
        time=event["EventTime"],
        user=event["Username"],
        operation=event["EventName"],
        service=event["EventSource"].removesuffix(".amazonaws.com"),
        resource=resources[0]["ResourceName"] if resources else "",
        error=record.get("errorCode", ""),
        message=record.get("errorMessage", ""),
        source=via if via == address or "." not in address else f"{via} {address}",
        record=record,
    )


def _csv(entries: list[Entry]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["Time", "User", "Service", "Operation", "Resource", "Error", "Message", "From", "EventId"])
    for entry in entries:
        row = [
            entry.record["eventTime"],
            entry.user,
            entry.service,
            entry.operation,
            entry.resource,
            entry.error,
            entry.message,
            entry.source,
            entry.record["eventID"],
        ]
        writer.writerow([_harmless(str(cell)) for cell in row])
    return file.getvalue()


def _harmless(text: str) -> str:
    """Spreadsheets run what begins like a formula, and names come from anybody."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
