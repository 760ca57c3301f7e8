"""What groups and streams share: finding a group, its retention, tokens of pages."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import InvalidParameterException, ResourceNotFoundException
from modelwright.services.dispatch import Document
from modelwright.store.database import Transaction
from modelwright.store.logs import GROUP_KIND
from modelwright.store.resources import find_resource

DAY = 86_400_000
"""Milliseconds."""


def find_group(transaction: Transaction, name: str) -> Document:
    group = find_resource(transaction, GROUP_KIND, name)
    if group is None:
        raise no_group()
    return group


def no_group() -> ResourceNotFoundException:
    return ResourceNotFoundException("The specified log group does not exist.")


def group_of_identifier(identifier: str) -> str:
    """A name, or `arn:aws:logs:REGION:ACCOUNT:log-group:NAME`, with or without `:*`."""
    if not identifier.startswith("arn:"):
        return identifier
    arn = Arn.parse(identifier)
    if arn.service != "logs" or not arn.resource.startswith("log-group:"):
        raise InvalidParameterException(f"{identifier} is not the ARN of a log group.")
    return arn.resource.removeprefix("log-group:").removesuffix(":*")


def oldest(group: Document, now: int) -> int:
    days = group.get("retentionInDays")
    return 0 if days is None else now - days * DAY


def make_token(place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def open_token(parameters: dict[str, Any], *kinds: type) -> Any:
    """What `make_token` made: one value, or a list of values of these types. None without a token."""
    token = parameters.get("nextToken")
    if token is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        place = None
    values = place if isinstance(place, list) else [place]
    if len(values) != len(kinds) or not all(isinstance(v, k) for v, k in zip(values, kinds, strict=True)):
        raise InvalidParameterException("The specified nextToken is invalid.")
    return place
