"""Event buses: the default one, which is always there, and one's own."""

from __future__ import annotations

from typing import Any

from modelwright.errors import ResourceAlreadyExistsException, ResourceNotFoundException, ValidationException
from modelwright.events.envelopes import DEFAULT_BUS
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.events.base import EventsService, LimitExceeded, answer, bus_arn, bus_name, page_query
from modelwright.services.members import HONOURED, Table, refused
from modelwright.services.sagemaker.base import pick
from modelwright.store.event_bus import BUS, RULE
from modelwright.store.resources import (
    Query,
    count_resources,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    put_tags,
)

MOST_BUSES = 100

CREATE_MEMBERS: Table = {
    "Name": HONOURED,
    "EventSourceName": refused("There are no partner event sources here: leave it out."),
    "Description": HONOURED,
    "KmsKeyIdentifier": refused("Nothing is encrypted with keys of KMS here: leave it out."),
    "DeadLetterConfig": refused("Give the rules' targets a DeadLetterConfig each."),
    "LogConfig": refused("Failed deliveries are logged anyway: leave it out."),
    "Tags": HONOURED,
}


class Buses(EventsService):
    """CreateEventBus and what belongs to it."""

    @operation("CreateEventBus", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        name, now = parameters["Name"], self.now()
        if "/" in name:
            raise ValidationException(f"Event bus name '{name}' must not contain '/': that is for partner buses.")
        arn = bus_arn(context, name)
        with self.database.write() as transaction:
            if name == DEFAULT_BUS or find_resource(transaction, BUS, name) is not None:
                raise ResourceAlreadyExistsException(f"Event bus {name} already exists.")
            if count_resources(transaction, Query(BUS)) >= MOST_BUSES - 1:
                raise LimitExceeded(f"There may be {MOST_BUSES} event buses.")
            document = {"Name": name, "Arn": arn, "CreationTime": now, "LastModifiedTime": now}
            document |= pick(parameters, "Description")
            insert_resource(transaction, BUS, name, document, created=now, arn=arn)
            put_tags(transaction, arn, parameters.get("Tags", []))
        return {"EventBusArn": arn, **pick(parameters, "Description")}

    @operation("DescribeEventBus", quick=True)
    def describe(self, context: Context, parameters: dict[str, Any]) -> Document:
        name = bus_name(parameters, "Name")
        if name == DEFAULT_BUS:
            return {"Name": name, "Arn": bus_arn(context, name)}
        with self.database.read() as transaction:
            document = find_resource(transaction, BUS, name)
        if document is None:
            raise ResourceNotFoundException(f"Event bus {name} does not exist.")
        return document

    @operation("ListEventBuses")
    def list(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The default one comes first."""
        prefix = parameters.get("NamePrefix", "")
        with self.database.read() as transaction:
            page = list_resources(transaction, page_query(BUS, parameters, name_prefix=prefix))
        result = answer("EventBuses", page, lambda bus: bus)
        if "NextToken" not in parameters and DEFAULT_BUS.startswith(prefix):
            result["EventBuses"].insert(0, {"Name": DEFAULT_BUS, "Arn": bus_arn(context, DEFAULT_BUS)})
        return result

    @operation("DeleteEventBus")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """One that is not there is deleted already."""
        name = parameters["Name"]
        if name == DEFAULT_BUS:
            raise ValidationException("Cannot delete event bus default.")
        with self.database.write() as transaction:
            if count_resources(transaction, Query(RULE, parent=name)):
                raise ValidationException(f"Event bus {name} can't be deleted since it has rules.")
            delete_resource(transaction, BUS, name)
        return {}
