"""Rules: which events of a bus, or which times, go to which targets. These are a part of their rule's document."""

from __future__ import annotations

import uuid
from typing import Any

from modelwright.errors import ValidationException
from modelwright.events.envelopes import DEFAULT_BUS
from modelwright.events.patterns import compile_pattern
from modelwright.events.schedules import parse
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.events.base import (
    MOST_RULES,
    EventsService,
    LimitExceeded,
    answer,
    bus_name,
    check_bus,
    find_rule,
    page_query,
    rule_arn,
)
from modelwright.services.members import HONOURED, Table, recorded
from modelwright.services.sagemaker.base import pick
from modelwright.store.database import Transaction
from modelwright.store.event_bus import RULE
from modelwright.store.resources import (
    Query,
    count_resources,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    put_tags,
    replace_resource,
)

PUT_MEMBERS: Table = {
    "Name": HONOURED,
    "ScheduleExpression": HONOURED,
    "EventPattern": HONOURED,
    "State": HONOURED,
    "Description": HONOURED,
    "RoleArn": recorded("Targets are called with the platform's own rights."),
    "Tags": HONOURED,
    "EventBusName": HONOURED,
}


_GIVEN = ("EventPattern", "ScheduleExpression", "Description", "RoleArn")


class Rules(EventsService):
    """PutRule and what belongs to it."""

    @operation("PutRule", members=PUT_MEMBERS)
    def put(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Create or change a rule; its targets stay, tags are taken when it is created only."""
        name, bus, now = parameters["Name"], bus_name(parameters), self.now()
        if not parameters.get("EventPattern") and not parameters.get("ScheduleExpression"):
            raise ValidationException("Parameter(s) EventPattern or ScheduleExpression must be specified.")
        if parameters.get("EventPattern"):
            compile_pattern(parameters["EventPattern"])
        if parameters.get("ScheduleExpression"):
            _check_schedule(parameters["ScheduleExpression"], bus, now)
        arn, state = rule_arn(context, bus, name), parameters.get("State", "ENABLED")
        if state not in ("ENABLED", "DISABLED"):
            raise ValidationException(f"State {state}: there are no events of CloudTrail here; use ENABLED.")
        with self.database.write() as transaction:
            check_bus(transaction, bus)
            present = find_resource(transaction, RULE, f"{bus}/{name}", lock=True)
            document = {
                "Name": name,
                "Arn": present["Arn"] if present else arn,
                "State": state,
                "EventBusName": bus,
                "CreatedBy": context.account,
                **{key: value for key, value in pick(parameters, *_GIVEN).items() if value},
                "_Targets": present["_Targets"] if present else [],
            }
            self._schedule(transaction, document, present, now)
            if present is not None:
                replace_resource(transaction, RULE, f"{bus}/{name}", document, modified=now, status=state)
            else:
                if count_resources(transaction, Query(RULE, parent=bus)) >= MOST_RULES:
                    raise LimitExceeded(f"Event bus {bus} may have {MOST_RULES} rules.")
                insert_resource(
                    transaction, RULE, f"{bus}/{name}", document, created=now, arn=arn, parent=bus, status=state
                )
                put_tags(transaction, arn, parameters.get("Tags", []))
            self.events.changed(transaction)
        return {"RuleArn": document["Arn"]}

    @operation("DescribeRule", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return find_rule(transaction, bus_name(parameters), parameters["Name"])

    @operation("ListRules")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        bus = bus_name(parameters)
        prefix = f"{bus}/{parameters.get('NamePrefix', '')}"
        with self.database.read() as transaction:
            check_bus(transaction, bus)
            page = list_resources(transaction, page_query(RULE, parameters, parent=bus, name_prefix=prefix))
        members = (
            "Name",
            "Arn",
            "EventPattern",
            "State",
            "Description",
            "ScheduleExpression",
            "RoleArn",
            "EventBusName",
        )
        return answer("Rules", page, lambda rule: pick(rule, *members))

    @operation("EnableRule")
    def enable(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._switch(parameters, "ENABLED")

    @operation("DisableRule")
    def disable(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._switch(parameters, "DISABLED")

    @operation("DeleteRule")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """One without targets; one that is not there is deleted already."""
        name, bus = parameters["Name"], bus_name(parameters)
        with self.database.write() as transaction:
            check_bus(transaction, bus)
            document = find_resource(transaction, RULE, f"{bus}/{name}", lock=True)
            if document is None:
                return {}
            if document["_Targets"]:
                raise ValidationException("Rule can't be deleted since it has targets.")
            delete_resource(transaction, RULE, f"{bus}/{name}")
            self.events.changed(transaction)
        return {}

    def _switch(self, parameters: dict[str, Any], state: str) -> Document:
        name, bus = parameters["Name"], bus_name(parameters)
        with self.database.write() as transaction:
            now, present = self.now(), find_rule(transaction, bus, name, lock=True)
            rule = {**present, "State": state}
            self._schedule(transaction, rule, present, now)
            replace_resource(transaction, RULE, f"{bus}/{name}", rule, modified=now, status=state)
            self.events.changed(transaction)
        return {}

    def _schedule(self, transaction: Transaction, document: Document, present: Document | None, now: float) -> None:
        """Begin the schedule of a rule that is enabled, or go on with the one it has. Its end needs nothing: what was
        written down for another schedule comes to nothing when it is due."""
        document.pop("_Schedule", None)
        if "ScheduleExpression" not in document or document["State"] != "ENABLED":
            return
        before = present or {}
        if "_Schedule" in before and before["ScheduleExpression"] == document["ScheduleExpression"]:
            document["_Schedule"] = before["_Schedule"]
            return
        document["_Schedule"] = {"Id": str(uuid.uuid4()), "Anchor": now}
        self.events.schedule(transaction, f"{document['EventBusName']}/{document['Name']}", document, now)


def _check_schedule(text: str, bus: str, now: float) -> None:
    if bus != DEFAULT_BUS:
        raise ValidationException("ScheduleExpression is supported only on the default event bus.")
    if parse(text).after(now, now) is None:
        raise ValidationException(f"Parameter ScheduleExpression is not valid: {text} lies wholly in the past.")
