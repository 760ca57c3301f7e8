"""The audit log: a row for each entry, found by who, what, when. Rows are added and never changed or deleted."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, insert, or_, select

from modelwright.errors import ValidationException
from modelwright.store.database import Transaction, audit_table

_columns = audit_table.c
_INSERT = insert(audit_table)

COLUMNS = ("user", "source", "operation", "resource_type", "resource_name", "access_key", "id", "read_only")
"""What a query may name."""


@dataclass(frozen=True)
class Entry:
    """One call: `record` is CloudTrail's record of it, the rest what it is found by."""

    id: str
    time: float
    user: str
    source: str
    operation: str
    resource_type: str
    resource_name: str
    access_key: str
    read_only: bool
    record: Mapping[str, Any]


@dataclass(frozen=True)
class AuditQuery:
    """Which entries, the newest first. `equal` names columns; bounds of time are inclusive."""

    equal: Mapping[str, Any] = field(default_factory=dict)
    after: float | None = None
    before: float | None = None
    limit: int = 50
    token: str | None = None


def add_entries(transaction: Transaction, entries: Sequence[Entry]) -> None:
    """Add entries that are not there."""
    if entries:
        transaction.execute(_INSERT, [{**vars(entry), "record": dict(entry.record)} for entry in entries])


def known_entries(transaction: Transaction, ids: Iterable[str]) -> set[str]:
    """Which of these are there."""
    found: set[str] = set()
    wanted = list(ids)
    for start in range(0, len(wanted), 500):
        rows = transaction.execute(select(_columns.id).where(_columns.id.in_(wanted[start : start + 500])))
        found.update(row.id for row in rows)
    return found


def find_entries(transaction: Transaction, query: AuditQuery) -> tuple[list[Entry], str | None]:
    """One page, and the token of the next. Raises ValidationException for a token that is none."""
    where = [_columns[name] == value for name, value in query.equal.items()]
    if query.after is not None:
        where.append(_columns.time >= query.after)
    if query.before is not None:
        where.append(_columns.time <= query.before)
    if query.token is not None:
        time, last = _place(query.token)
        where.append(or_(_columns.time < time, and_(_columns.time == time, _columns.id < last)))
    statement = select(audit_table).where(*where).order_by(_columns.time.desc(), _columns.id.desc())
    rows = transaction.execute(statement.limit(query.limit + 1)).all()
    entries = [Entry(**row._mapping) for row in rows[: query.limit]]
    if len(rows) <= query.limit:
        return entries, None
    text = json.dumps([entries[-1].time, entries[-1].id])
    return entries, base64.urlsafe_b64encode(text.encode()).decode()


def _place(token: str) -> tuple[float, str]:
    try:
        time, last = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        return float(time), str(last)
    except (ValueError, TypeError, binascii.Error):
        raise ValidationException("NextToken is not one of ours.") from None
