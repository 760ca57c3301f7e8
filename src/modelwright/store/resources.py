"""AWS-shaped documents by (kind, name), and one list query for every List* and Search.

A kind is a noun of AWS's (`TrainingJob`), a document the JSON that its Describe operation returns, with times as
epoch seconds. What lists need often has a column of its own: `status`, `parent` (the group of a model package, the
pipeline of an execution), `created`, `modified`; any other filter names a path into the document.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from modelwright.errors import ResourceInUse, ResourceNotFound, ValidationException
from modelwright.store.database import Transaction, resource_table, tag_table

Document = dict[str, Any]
Sort = Literal["created", "modified", "name", "status", "member"]

_columns = resource_table.c

# Made once: SQLAlchemy takes longer to put a statement together than SQLite to run it.
_INSERT = insert(resource_table)
_FIND = select(_columns.document).where(_columns.kind == bindparam("the_kind"), _columns.name == bindparam("the_name"))
_FIND_LOCKED = _FIND.with_for_update()
_FIND_BY_ARN = select(_columns.kind, _columns.name, _columns.document).where(_columns.arn == bindparam("the_arn"))
_REPLACE = (
    update(resource_table)
    .where(_columns.kind == bindparam("the_kind"), _columns.name == bindparam("the_name"))
    .values(document=bindparam("new_document"), modified=bindparam("new_modified"))
)
_REPLACE_WITH_STATUS = _REPLACE.values(status=bindparam("new_status"))


@dataclass(frozen=True)
class Condition:
    """`path` (dots between keys) of the document compared with `value`.

    `operator` is one of equals, not-equals, contains, in, exists, not-exists, greater, greater-or-equal, less,
    less-or-equal. Numbers compare as numbers.
    """

    path: str
    operator: str
    value: Any = None


@dataclass(frozen=True)
class Query:
    """Which documents of one kind, in which order, which page. Bounds of time are inclusive epoch seconds."""

    kind: str
    parent: str | None = None
    status: str | None = None
    name_contains: str | None = None
    name_prefix: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    modified_after: float | None = None
    modified_before: float | None = None
    conditions: tuple[Condition, ...] = ()
    any_condition: bool = False
    sort: Sort = "created"
    sort_member: str | None = None
    """With `sort` "member": the text of the document to sort by; documents without it come as if it were empty."""
    descending: bool = True
    limit: int = 10
    token: str | None = None


@dataclass(frozen=True)
class Page:
    """`next_token` is None at the end; it stays valid over restarts and over inserts and deletes."""

    documents: list[Document]
    next_token: str | None


def insert_resource(
    transaction: Transaction,
    kind: str,
    name: str,
    document: Document,
    *,
    created: float,
    arn: str | None = None,
    parent: str | None = None,
    status: str | None = None,
) -> None:
    """Raises ResourceInUse when there is one of that kind and name."""
    row = {"kind": kind, "name": name, "arn": arn, "parent": parent, "status": status}
    try:
        transaction.execute(_INSERT, {**row, "created": created, "modified": created, "document": document})
    except IntegrityError as error:
        raise ResourceInUse(f"{kind} '{name}' already exists.") from error
    transaction.changed(kind, name)


def find_resource(transaction: Transaction, kind: str, name: str, *, lock: bool = False) -> Document | None:
    """The document, or None. `lock` keeps other writers from changing it before this transaction ends."""
    row = transaction.first(_FIND_LOCKED if lock else _FIND, {"the_kind": kind, "the_name": name})
    return None if row is None else row.document


def find_by_arn(transaction: Transaction, arn: str) -> tuple[str, str, Document] | None:
    """(kind, name, document) of the resource with this ARN, or None."""
    row = transaction.first(_FIND_BY_ARN, {"the_arn": arn})
    return None if row is None else (row.kind, row.name, row.document)


def replace_resource(
    transaction: Transaction,
    kind: str,
    name: str,
    document: Document,
    *,
    modified: float,
    status: str | None = None,
) -> None:
    """Store a new document; `status` None keeps the column. Raises ResourceNotFound when there is none."""
    values = {"the_kind": kind, "the_name": name, "new_document": document, "new_modified": modified}
    if status is not None:
        values["new_status"] = status
    found = transaction.execute(_REPLACE if status is None else _REPLACE_WITH_STATUS, values)
    if found.rowcount == 0:
        raise ResourceNotFound(f"{kind} '{name}' does not exist.")
    transaction.changed(kind, name)


def delete_resource(transaction: Transaction, kind: str, name: str) -> bool:
    """Whether there was one. Its tags go too."""
    row = transaction.first(select(_columns.arn).where(_columns.kind == kind, _columns.name == name))
    if row is None:
        return False
    transaction.execute(delete(resource_table).where(_columns.kind == kind, _columns.name == name))
    if row.arn:
        transaction.execute(delete(tag_table).where(tag_table.c.arn == row.arn))
    transaction.changed(kind, name)
    return True


def count_resources(transaction: Transaction, query: Query) -> int:
    """How many documents the query would return over all pages."""
    statement = select(func.count()).select_from(resource_table).where(*_filters(query))
    return int(transaction.execute(statement).scalar_one())


def list_resources(transaction: Transaction, query: Query) -> Page:
    """One page. Raises ValidationException when the token is not one of this query's."""
    column = {
        "created": _columns.created,
        "modified": _columns.modified,
        "name": _columns.name,
        "status": func.coalesce(_columns.status, ""),
        "member": func.coalesce(_columns.document[query.sort_member or ""].as_string(), ""),
    }[query.sort]
    statement: Select[Any] = select(column.label("key"), _columns.sequence, _columns.document).where(*_filters(query))
    if query.token is not None:
        key, sequence = _open_token(query)
        # The first comparison is implied by the second; it is what the index can seek by.
        after = (
            and_(column <= key, or_(column < key, _columns.sequence < sequence))
            if query.descending
            else and_(column >= key, or_(column > key, _columns.sequence > sequence))
        )
        statement = statement.where(after)
    order = (column.desc(), _columns.sequence.desc()) if query.descending else (column, _columns.sequence)
    rows = transaction.execute(statement.order_by(*order).limit(query.limit + 1)).all()
    documents = [row.document for row in rows[: query.limit]]
    if len(rows) <= query.limit:
        return Page(documents, None)
    last = rows[query.limit - 1]
    return Page(documents, _make_token(query, last.key, last.sequence))


def put_tags(transaction: Transaction, arn: str, tags: Sequence[Mapping[str, str]], *, limit: int = 50) -> None:
    """Add tags or change their values. Raises ValidationException past the limit or when a key comes twice."""
    if not tags:
        return
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) != len(keys):
        raise ValidationException("Tag keys must be unique: a key comes more than once.")
    present = {tag["Key"]: tag["Value"] for tag in get_tags(transaction, arn)}
    merged = present | {tag["Key"]: tag["Value"] for tag in tags}
    if len(merged) > limit:
        raise ValidationException(f"{arn} would have {len(merged)} tags; the limit is {limit}.")
    transaction.execute(delete(tag_table).where(tag_table.c.arn == arn))
    if merged:
        transaction.execute(
            insert(tag_table),
            [{"arn": arn, "key": k, "value": v, "position": i} for i, (k, v) in enumerate(merged.items())],
        )


def get_tags(transaction: Transaction, arn: str) -> list[dict[str, str]]:
    """`[{"Key": ..., "Value": ...}]` in the order in which they were first given."""
    rows = transaction.execute(select(tag_table).where(tag_table.c.arn == arn).order_by(tag_table.c.position))
    return [{"Key": row.key, "Value": row.value} for row in rows]


def remove_tags(transaction: Transaction, arn: str, keys: Iterable[str]) -> None:
    transaction.execute(delete(tag_table).where(tag_table.c.arn == arn, tag_table.c.key.in_(list(keys))))


def _filters(query: Query) -> list[ColumnElement[bool]]:
    filters = [_columns.kind == query.kind]
    if query.parent is not None:
        filters.append(_columns.parent == query.parent)
    if query.status is not None:
        filters.append(_columns.status == query.status)
    if query.name_contains:
        filters.append(func.lower(_columns.name).contains(query.name_contains.lower(), autoescape=True))
    if query.name_prefix:
        filters.append(func.substr(_columns.name, 1, len(query.name_prefix)) == query.name_prefix)
    for column, lower, upper in (
        (_columns.created, query.created_after, query.created_before),
        (_columns.modified, query.modified_after, query.modified_before),
    ):
        if lower is not None:
            filters.append(column >= lower)
        if upper is not None:
            filters.append(column <= upper)
    conditions = [_condition(condition) for condition in query.conditions]
    if conditions:
        filters.append(or_(*conditions) if query.any_condition else and_(*conditions))
    return filters


def _condition(condition: Condition) -> ColumnElement[bool]:
    value = condition.value
    member = _columns.document[tuple(condition.path.split("."))]
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    found: ColumnElement[Any] = member.as_float() if numeric else member.as_string()
    tests: dict[str, Callable[[], ColumnElement[bool]]] = {
        "equals": lambda: found == value,
        "not-equals": lambda: or_(found != value, found.is_(None)),
        "contains": lambda: func.lower(found).contains(str(value).lower(), autoescape=True),
        "in": lambda: found.in_(list(value)),
        "exists": lambda: found.is_not(None),
        "not-exists": lambda: found.is_(None),
        "greater": lambda: found > value,
        "greater-or-equal": lambda: found >= value,
        "less": lambda: found < value,
        "less-or-equal": lambda: found <= value,
    }
    return tests[condition.operator]()


def _fingerprint(query: Query) -> str:
    what = (query.kind, query.parent, query.sort, query.sort_member, query.descending)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:8]


def _make_token(query: Query, key: Any, sequence: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([_fingerprint(query), key, sequence]).encode()).decode()


def _open_token(query: Query) -> tuple[Any, int]:
    try:
        fingerprint, key, sequence = json.loads(base64.urlsafe_b64decode(query.token or ""))
        if fingerprint == _fingerprint(query) and isinstance(sequence, int) and isinstance(key, str | float | int):
            return key, sequence
    except (ValueError, TypeError, binascii.Error):
        pass
    raise ValidationException("NextToken is not valid for this request: pass on the token of its previous page.")
