"""Messages in queues, as SQS keeps them: standard queues, at least once.

A queue is a resource of kind `SqsQueue`, a message one of kind `SqsMessage` whose parent is the queue. Putting one is a
part of the caller's transaction, so that a dead letter is written exactly when its delivery is given up.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from modelwright.store.database import Transaction
from modelwright.store.resources import find_resource, insert_resource

QUEUE = "SqsQueue"
MESSAGE = "SqsMessage"

Attributes = Mapping[str, Mapping[str, Any]]


def text_attributes(values: Mapping[str, str]) -> Attributes:
    """Message attributes of type String."""
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


def put_message(
    transaction: Transaction, queue: str, body: str, attributes: Attributes, *, now: float, delay: float = 0.0
) -> str | None:
    """The message's id; None when there is no such queue."""
    if find_resource(transaction, QUEUE, queue) is None:
        return None
    identity = str(uuid.uuid4())
    document = {
        "MessageId": identity,
        "Body": body,
        "MD5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "MessageAttributes": dict(attributes),
        "SentTimestamp": now,
        "_VisibleAt": now + delay,
        "_Received": 0,
        "_Handle": "",
    }
    insert_resource(transaction, MESSAGE, identity, document, created=now, parent=queue)
    return identity
