"""Connections: the credentials that API destinations are called with.

What is secret is kept apart (`_Secret`) and told to nobody again; Describe answers the rest.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import ResourceAlreadyExistsException, ResourceNotFoundException, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.events.base import EventsService, answer, page_query
from modelwright.services.members import HONOURED, Table, refused
from modelwright.services.sagemaker.base import pick
from modelwright.store.database import Transaction
from modelwright.store.event_bus import API_DESTINATION, CONNECTION
from modelwright.store.resources import (
    Condition,
    Query,
    count_resources,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

_PRIVATE = refused("Destinations are reached from this machine directly: leave it out.")
_OAUTH = refused("Use API_KEY or BASIC: OAuth's tokens are not fetched here.")

_AUTH: Table = {
    "BasicAuthParameters": HONOURED,
    "OAuthParameters": _OAUTH,
    "ApiKeyAuthParameters": HONOURED,
    "InvocationHttpParameters": HONOURED,
    "ConnectivityParameters": _PRIVATE,
}

MEMBERS: Table = {
    "Name": HONOURED,
    "Description": HONOURED,
    "AuthorizationType": HONOURED,
    "AuthParameters": _AUTH,
    "InvocationConnectivityParameters": _PRIVATE,
    "KmsKeyIdentifier": refused("Nothing is encrypted with keys of KMS here: leave it out."),
}

_PARAMETERS = {"BASIC": "BasicAuthParameters", "API_KEY": "ApiKeyAuthParameters"}
_SUMMARY = (
    "ConnectionArn", "Name", "ConnectionState", "AuthorizationType", "CreationTime", "LastModifiedTime",
    "LastAuthorizedTime",
)  # fmt: skip
_TOLD = ("ConnectionArn", "ConnectionState", "CreationTime", "LastModifiedTime")


class Connections(EventsService):
    """CreateConnection and what belongs to it."""

    @operation("CreateConnection", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        name, now = parameters["Name"], self.now()
        arn = str(Arn("events", context.region, context.account, f"connection/{name}/{uuid.uuid4()}"))
        document = {
            "ConnectionArn": arn,
            "Name": name,
            **pick(parameters, "Description"),
            "CreationTime": now,
            **_authorized(parameters["AuthorizationType"], parameters["AuthParameters"], now),
        }
        with self.database.write() as transaction:
            if find_resource(transaction, CONNECTION, name) is not None:
                raise ResourceAlreadyExistsException(f"Connection {name} already exists.")
            insert_resource(transaction, CONNECTION, name, document, created=now, arn=arn)
        return pick(document, *_TOLD)

    @operation("UpdateConnection", members=MEMBERS)
    def update(self, _: Context, parameters: dict[str, Any]) -> Document:
        name, now = parameters["Name"], self.now()
        with self.database.write() as transaction:
            document = _find(transaction, name, lock=True)
            changed = {**document, **pick(parameters, "Description"), "LastModifiedTime": now}
            if "AuthParameters" in parameters or "AuthorizationType" in parameters:
                kind: str = parameters.get("AuthorizationType") or document["AuthorizationType"]
                given = {**document["_Secret"], **parameters.get("AuthParameters", {})}
                if kind != document["AuthorizationType"]:
                    given.pop(_PARAMETERS[document["AuthorizationType"]], None)
                changed |= _authorized(kind, given, now)
            replace_resource(transaction, CONNECTION, name, changed, modified=now)
        return pick(changed, *_TOLD, "LastAuthorizedTime")

    @operation("DescribeConnection", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            document = _find(transaction, parameters["Name"])
        return {member: value for member, value in document.items() if not member.startswith("_")}

    @operation("ListConnections")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        state = parameters.get("ConnectionState")
        conditions = () if state is None else (Condition("ConnectionState", "equals", state),)
        query = page_query(CONNECTION, parameters, name_prefix=parameters.get("NamePrefix"), conditions=conditions)
        with self.database.read() as transaction:
            return answer("Connections", list_resources(transaction, query), lambda each: pick(each, *_SUMMARY))

    @operation("DeauthorizeConnection")
    def deauthorize(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Forget its secrets; UpdateConnection gives it new ones."""
        name, now = parameters["Name"], self.now()
        with self.database.write() as transaction:
            document = _find(transaction, name, lock=True)
            changed = {**document, "ConnectionState": "DEAUTHORIZED", "LastModifiedTime": now, "_Secret": {}}
            replace_resource(transaction, CONNECTION, name, changed, modified=now)
        return pick(changed, *_TOLD, "LastAuthorizedTime")

    @operation("DeleteConnection")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """One that no destination uses."""
        name = parameters["Name"]
        with self.database.write() as transaction:
            document = _find(transaction, name, lock=True)
            if count_resources(transaction, Query(API_DESTINATION, parent=name)):
                raise ValidationException(f"Connection {name} is used by an API destination: delete that first.")
            delete_resource(transaction, CONNECTION, name)
        return {**pick(document, *_TOLD, "LastAuthorizedTime"), "ConnectionState": "DELETING"}


def _find(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    document = find_resource(transaction, CONNECTION, name, lock=lock)
    if document is None:
        raise ResourceNotFoundException(f"Connection {name} does not exist.")
    return document


def _authorized(kind: str, given: Mapping[str, Any], now: float) -> Document:
    """The members that follow from the credentials."""
    if kind not in _PARAMETERS:
        raise ValidationException(f"AuthorizationType {kind} is not supported. Use API_KEY or BASIC.")
    member = _PARAMETERS[kind]
    if member not in given:
        raise ValidationException(f"AuthorizationType {kind} needs AuthParameters.{member}.")
    other = [name for name in _PARAMETERS.values() if name != member and name in given]
    if other:
        raise ValidationException(f"AuthParameters.{other[0]} does not go with AuthorizationType {kind}.")
    shown = "ApiKeyName" if kind == "API_KEY" else "Username"
    public: Document = {member: pick(given[member], shown)}
    if "InvocationHttpParameters" in given:
        public["InvocationHttpParameters"] = {
            where: [
                {name: value for name, value in each.items() if name != "Value" or not each.get("IsValueSecret")}
                for each in items
            ]
            for where, items in given["InvocationHttpParameters"].items()
        }
    return {
        "AuthorizationType": kind,
        "AuthParameters": public,
        "ConnectionState": "AUTHORIZED",
        "LastModifiedTime": now,
        "LastAuthorizedTime": now,
        "_Secret": pick(given, member, "InvocationHttpParameters"),
    }
