"""API destinations: where events go by HTTP.

AWS wants https; here plain http may be used too, for servers of one's own.
"""

from __future__ import annotations

import urllib.parse
import uuid
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import ResourceAlreadyExistsException, ResourceNotFoundException, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.events.base import EventsService, answer, page_query
from modelwright.services.sagemaker.base import pick
from modelwright.store.database import Transaction
from modelwright.store.event_bus import API_DESTINATION, CONNECTION
from modelwright.store.resources import (
    Condition,
    delete_resource,
    find_by_arn,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

_GIVEN = ("Description", "ConnectionArn", "InvocationEndpoint", "HttpMethod", "InvocationRateLimitPerSecond")
_TOLD = ("ApiDestinationArn", "ApiDestinationState", "CreationTime", "LastModifiedTime")


class ApiDestinations(EventsService):
    """CreateApiDestination and what belongs to it."""

    @operation("CreateApiDestination")
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        name, now = parameters["Name"], self.now()
        arn = str(Arn("events", context.region, context.account, f"api-destination/{name}/{uuid.uuid4()}"))
        document = {
            "ApiDestinationArn": arn,
            "Name": name,
            "ApiDestinationState": "ACTIVE",
            "InvocationRateLimitPerSecond": 300,
            **pick(parameters, *_GIVEN),
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        _check_endpoint(parameters["InvocationEndpoint"])
        with self.database.write() as transaction:
            connection = _connection(transaction, parameters["ConnectionArn"])
            if find_resource(transaction, API_DESTINATION, name) is not None:
                raise ResourceAlreadyExistsException(f"API destination {name} already exists.")
            insert_resource(transaction, API_DESTINATION, name, document, created=now, arn=arn, parent=connection)
        return pick(document, *_TOLD)

    @operation("UpdateApiDestination")
    def update(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Change it; its connection can be exchanged by giving it a new ARN."""
        name, now = parameters["Name"], self.now()
        if "InvocationEndpoint" in parameters:
            _check_endpoint(parameters["InvocationEndpoint"])
        with self.database.write() as transaction:
            document = _find(transaction, name, lock=True)
            changed = {**document, **pick(parameters, *_GIVEN), "LastModifiedTime": now}
            connection = _connection(transaction, changed["ConnectionArn"])
            delete_resource(transaction, API_DESTINATION, name)
            arn, created = changed["ApiDestinationArn"], changed["CreationTime"]
            insert_resource(transaction, API_DESTINATION, name, changed, created=created, arn=arn, parent=connection)
            replace_resource(transaction, API_DESTINATION, name, changed, modified=now)
        return pick(changed, *_TOLD)

    @operation("DescribeApiDestination", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return _find(transaction, parameters["Name"])

    @operation("ListApiDestinations")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        arn = parameters.get("ConnectionArn")
        conditions = () if arn is None else (Condition("ConnectionArn", "equals", arn),)
        query = page_query(API_DESTINATION, parameters, name_prefix=parameters.get("NamePrefix"), conditions=conditions)
        members = ("ApiDestinationArn", "Name", "ApiDestinationState", *_GIVEN[1:], "CreationTime", "LastModifiedTime")
        with self.database.read() as transaction:
            return answer("ApiDestinations", list_resources(transaction, query), lambda each: pick(each, *members))

    @operation("DeleteApiDestination")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            _find(transaction, parameters["Name"], lock=True)
            delete_resource(transaction, API_DESTINATION, parameters["Name"])
        return {}


def _find(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    document = find_resource(transaction, API_DESTINATION, name, lock=lock)
    if document is None:
        raise ResourceNotFoundException(f"API destination {name} does not exist.")
    return document


def _connection(transaction: Transaction, arn: str) -> str:
    found = find_by_arn(transaction, arn)
    if found is None or found[0] != CONNECTION:
        raise ResourceNotFoundException(f"Connection '{arn}' does not exist.")
    return found[1]


def _check_endpoint(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        wrong = parts.scheme not in ("https", "http") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise ValidationException(f"InvocationEndpoint '{url}' is not valid: it must be https://host/path (or http).")
