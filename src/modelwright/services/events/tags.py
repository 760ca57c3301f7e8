"""Tags of rules and event buses."""

from __future__ import annotations

from typing import Any

from modelwright.errors import ResourceNotFoundException, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.events.base import EventsService
from modelwright.store.database import Transaction
from modelwright.store.event_bus import BUS, RULE
from modelwright.store.resources import find_by_arn, get_tags, put_tags, remove_tags


class Tags(EventsService):
    """TagResource, UntagResource, ListTagsForResource."""

    @operation("TagResource")
    def tag(self, _: Context, parameters: dict[str, Any]) -> Document:
        for tag in parameters["Tags"]:
            if tag["Key"].lower().startswith("aws:"):
                raise ValidationException(f"Tag key '{tag['Key']}': the prefix aws: is reserved.")
        with self.database.write() as transaction:
            _check(transaction, parameters["ResourceARN"])
            put_tags(transaction, parameters["ResourceARN"], parameters["Tags"])
        return {}

    @operation("UntagResource")
    def untag(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            _check(transaction, parameters["ResourceARN"])
            remove_tags(transaction, parameters["ResourceARN"], parameters["TagKeys"])
        return {}

    @operation("ListTagsForResource", quick=True)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            _check(transaction, parameters["ResourceARN"])
            return {"Tags": get_tags(transaction, parameters["ResourceARN"])}


def _check(transaction: Transaction, arn: str) -> None:
    found = find_by_arn(transaction, arn)
    if found is None or found[0] not in (RULE, BUS):
        raise ResourceNotFoundException(f"There is no rule and no event bus with the ARN {arn}.")
