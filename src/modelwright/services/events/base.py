"""What EventBridge's services share: their collaborators, names of buses, rules, pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError, ResourceNotFoundException, ValidationException
from modelwright.events.envelopes import DEFAULT_BUS
from modelwright.services.dispatch import Context, Document
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import RULE, EventBus, bus_exists
from modelwright.store.resources import Page, Query, find_resource

DEFAULT_PAGE = 100
MOST_RULES = 300
"""Of a bus."""


class EventsService:
    """A part of EventBridge."""

    def __init__(self, *, database: Database, now: Callable[[], float], events: EventBus) -> None:
        self.database = database
        self.now = now
        self.events = events


class LimitExceeded(AwsError):
    """The requested resource exceeds the maximum number allowed."""

    default_code = "LimitExceededException"


def bus_name(parameters: Mapping[str, Any], member: str = "EventBusName") -> str:
    """The bus that a request means, by name or ARN; the default one when it says none."""
    given: str = parameters.get(member, DEFAULT_BUS)
    if not given.startswith("arn:"):
        return given
    arn = Arn.parse(given)
    if arn.service != "events" or arn.resource_type != "event-bus":
        raise ValidationException(f"{given} is not the ARN of an event bus.")
    return arn.name


def bus_arn(context: Context, name: str) -> str:
    return str(Arn("events", context.region, context.account, f"event-bus/{name}"))


def rule_arn(context: Context, bus: str, name: str) -> str:
    """Rules of the default bus are named without it."""
    place = name if bus == DEFAULT_BUS else f"{bus}/{name}"
    return str(Arn("events", context.region, context.account, f"rule/{place}"))


def check_bus(transaction: Transaction, name: str) -> None:
    """Raises ResourceNotFoundException when there is none."""
    if not bus_exists(transaction, name):
        raise ResourceNotFoundException(f"Event bus {name} does not exist.")


def find_rule(transaction: Transaction, bus: str, name: str, *, lock: bool = False) -> Document:
    """Raises ResourceNotFoundException when there is none."""
    check_bus(transaction, bus)
    document = find_resource(transaction, RULE, f"{bus}/{name}", lock=lock)
    if document is None:
        raise ResourceNotFoundException(f"Rule {name} does not exist on EventBus {bus}.")
    return document


def page_query(kind: str, parameters: Mapping[str, Any], **more: Any) -> Query:
    """By name, a page of `Limit`."""
    limit, token = parameters.get("Limit", DEFAULT_PAGE), parameters.get("NextToken")
    return Query(kind, sort="name", descending=False, limit=limit, token=token, **more)


def answer(member: str, page: Page, summary: Callable[[Document], Any]) -> Document:
    """A List operation's result."""
    result: Document = {member: [summary(document) for document in page.documents]}
    if page.next_token is not None:
        result["NextToken"] = page.next_token
    return result
