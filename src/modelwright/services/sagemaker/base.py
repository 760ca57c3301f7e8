"""What SageMaker's services have in common: their collaborators, who did it, pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelwright.services.dispatch import Context, Document
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import Page, Query, Sort, find_by_arn, find_resource

LEASE_SECONDS = 60.0
"""How long a stream that was just opened belongs to this process; the engine renews it."""

_SORTS: Mapping[str, Sort] = {
    "Name": "name",
    "CreationTime": "created",
    "LastModifiedTime": "modified",
    "Status": "status",
}


class SageMakerService:
    """A resource group of SageMaker's."""

    def __init__(self, *, database: Database, history: History, now: Callable[[], float], events: EventBus) -> None:
        self.events = events
        self.database = database
        self.history = history
        self.now = now


def user_context(context: Context) -> Document:
    """CreatedBy and LastModifiedBy, as AWS tells them for a caller outside Studio."""
    principal = context.principal
    return {"IamIdentity": {"Arn": principal.arn, "PrincipalId": principal.user_id}}


def list_query(kind: str, parameters: Mapping[str, Any], **more: Any) -> Query:
    """The query of a List operation from the members that they all share.

    AWS's defaults: newest first, ten a page. `CreationTimeBefore` and the like are inclusive.
    """
    sort = _SORTS[parameters.get("SortBy", more.pop("sort_by", "CreationTime"))]
    order = parameters.get("SortOrder", more.pop("sort_order", "Descending"))
    values: dict[str, Any] = {
        "name_contains": parameters.get("NameContains"),
        "created_after": parameters.get("CreationTimeAfter"),
        "created_before": parameters.get("CreationTimeBefore"),
        "modified_after": parameters.get("LastModifiedTimeAfter"),
        "modified_before": parameters.get("LastModifiedTimeBefore"),
        "sort": sort,
        "descending": order == "Descending",
        "limit": parameters.get("MaxResults", 10),
        "token": parameters.get("NextToken"),
    }
    return Query(kind, **{**values, **more})


def is_short(parameters: Mapping[str, Any]) -> bool:
    """Whether a List operation reads just a short page from an index: quick, however many resources there are."""
    by_status = parameters.get("SortBy") == "Status"
    return parameters.get("MaxResults", 10) <= 20 and "NameContains" not in parameters and not by_status


def answer(member: str, page: Page, summary: Callable[[Document], Document]) -> Document:
    """A List operation's result."""
    result: Document = {member: [summary(document) for document in page.documents]}
    if page.next_token is not None:
        result["NextToken"] = page.next_token
    return result


def taken(transaction: Transaction, kind: str, name: str, arn: str) -> bool:
    """Whether the name is used, or one that differs in upper and lower case only: its ARN would be the same."""
    return find_resource(transaction, kind, name) is not None or find_by_arn(transaction, arn) is not None


def pick(document: Mapping[str, Any], *members: str) -> Document:
    """Those of the members that are there, in this order."""
    return {member: document[member] for member in members if member in document}
