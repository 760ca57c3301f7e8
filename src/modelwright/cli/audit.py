"""`modelwright audit`: who did what, when, from where."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from modelwright.cli.commands import Command, pass_console
from modelwright.cli.console import Console
from modelwright.cli.tables import Column
from modelwright.errors import ConfigurationError

COLUMNS = (
    Column("WHEN", "Time"),
    Column("WHO", "User"),
    Column("WHAT", "Operation"),
    Column("RESOURCE", "Resource"),
    Column("OUTCOME", "Outcome"),
    Column("FROM", "From", spare=True),
)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.command("audit", cls=Command)
@click.option("--user", metavar="NAME", help="Of this user only (a job's is SageMaker-...).")
@click.option("--operation", metavar="NAME", help="Only this operation, as AWS calls it: UpdateModelPackage.")
@click.option("--resource", metavar="NAME", help="Only on this resource: its name or ARN, as the call named it.")
@click.option("--since", metavar="TIME", help="Not before: 30m, 12h, 7d, or a date (2026-01-31, 2026-01-31T10:00).")
@click.option("--until", metavar="TIME", help="Not after; like --since.")
@click.option("--refused", is_flag=True, help="Only what was refused, or has failed.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.  [default: 50; all with --csv]")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, all columns.")
@pass_console
def audit(
    console: Console,
    user: str | None,
    operation: str | None,
    resource: str | None,
    since: str | None,
    until: str | None,
    refused: bool,
    limit: int | None,
    as_csv: bool,
) -> None:
    """Show the audit log: every change of state, who made it, and what came of it; the newest first.

    --json prints CloudTrail's records. AWS clients read the same by CloudTrail's LookupEvents.
    """
    attributes = {"Username": user, "EventName": operation, "ResourceName": resource}
    wanted: dict[str, Any] = {
        "LookupAttributes": [
            {"AttributeKey": key, "AttributeValue": value} for key, value in attributes.items() if value is not None
        ]
    }
    if since is not None:
        wanted["StartTime"] = moment(since)
    if until is not None:
        wanted["EndTime"] = moment(until)
    if limit is None and not as_csv:
        limit = 50
    records = _records(console, wanted, limit, refused)
    if as_csv:
        _print_csv(records)
    elif console.as_json:
        console.show(list(records))
    else:
        console.rows([row(record) for record in records], COLUMNS, "Nothing of that kind in the audit log.")


def row(record: dict[str, Any]) -> dict[str, Any]:
    """A record as one flat row."""
    identity = record["userIdentity"]
    behalf = identity.get("onBehalfOf") or []
    acts = "invokedBy" in identity
    name = identity["arn"].rpartition("/")[2]
    return {
        "Time": record["eventTime"],
        "User": f"{behalf[0].rpartition('/')[2]} (by the platform)"
        if acts and behalf
        else "the platform"
        if acts
        else name,
        "Role": identity["sessionContext"]["attributes"]["modelwrightRole"],
        "Service": record["eventSource"].removesuffix(".amazonaws.com"),
        "Operation": record["eventName"],
        "Resource": next((each["ARN"] for each in record["resources"]), ""),
        "Outcome": record.get("errorCode") or "done",
        "Message": record.get("errorMessage", ""),
        "From": f"{record['additionalEventData']['via']} {record['sourceIPAddress']}",
        "UserAgent": record["userAgent"],
        "AccessKeyId": identity["accessKeyId"],
        "RequestId": record["requestID"],
        "EventId": record["eventID"],
        "Parameters": json.dumps(record["requestParameters"], ensure_ascii=False),
    }


def moment(text: str, now: datetime | None = None) -> datetime:
    """A time that somebody has typed. Raises ConfigurationError."""
    now = now or datetime.now(UTC)
    if found := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"'{text}' is no time. Give 30m, 12h, 7d, or a date: 2026-01-31, 2026-01-31T10:00."
        ) from None
    return given if given.tzinfo else given.astimezone()


def _records(console: Console, wanted: dict[str, Any], limit: int | None, refused: bool) -> Iterator[dict[str, Any]]:
    pages = console.client("cloudtrail").get_paginator("lookup_events").paginate(**wanted)
    number = 0
    for page in pages:
        for event in page["Events"]:
            if limit is not None and number >= limit:
                return
            record = json.loads(event["CloudTrailEvent"])
            if refused and "errorCode" not in record:
                continue
            number += 1
            yield record


def _print_csv(records: Iterator[dict[str, Any]]) -> None:
    writer: csv.DictWriter[str] | None = None
    for record in records:
        flat = {key: _harmless(str(value)) for key, value in row(record).items()}
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(flat))
            writer.writeheader()
        writer.writerow(flat)


def _harmless(text: str) -> str:
    """Spreadsheets run what begins like a formula, and names come from anybody."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


COMMANDS = (audit,)
