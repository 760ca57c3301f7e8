"""SQS as far as dead letters need it: standard queues that can be made, sent to, received from and emptied."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError, UnsupportedOperation, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.store.database import Database, Transaction
from modelwright.store.queues import MESSAGE, QUEUE, put_message
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

DEFAULTS = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
}
_CHANGEABLE = ("VisibilityTimeout", "DelaySeconds")
_RECORDED = ("MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "Policy", "SqsManagedSseEnabled")
_NO_FIFO = refused("Queues here are standard queues: leave it out.")

SEND_MEMBERS: Table = {
    "QueueUrl": HONOURED,
    "MessageBody": HONOURED,
    "DelaySeconds": HONOURED,
    "MessageAttributes": HONOURED,
    "MessageSystemAttributes": refused("There is no X-Ray here: leave it out."),
    "MessageDeduplicationId": _NO_FIFO,
    "MessageGroupId": _NO_FIFO,
}

RECEIVE_MEMBERS: Table = {
    "QueueUrl": HONOURED,
    "AttributeNames": HONOURED,
    "MessageSystemAttributeNames": HONOURED,
    "MessageAttributeNames": HONOURED,
    "MaxNumberOfMessages": HONOURED,
    "VisibilityTimeout": HONOURED,
    "WaitTimeSeconds": recorded("An answer comes at once, with or without messages."),
    "ReceiveRequestAttemptId": _NO_FIFO,
}


class Sqs:
    """CreateQueue and what belongs to it."""

    def __init__(self, *, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    @operation("CreateQueue", members={"QueueName": HONOURED, "Attributes": HONOURED, "tags": recorded("A label.")})
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The same request again answers the same queue. Raises QueueNameExists when the attributes differ."""
        name, given, now = parameters["QueueName"], parameters.get("Attributes", {}), self._now()
        if name.endswith(".fifo") or not 1 <= len(name) <= 80 or not name.replace("-", "").replace("_", "").isalnum():
            raise AwsError(
                f"'{name}' can't be a queue's name: 1 to 80 letters, digits, - and _ (queues here are standard ones).",
                code="InvalidParameterValue",
            )
        for attribute in given:
            if attribute not in (*_CHANGEABLE, *_RECORDED):
                raise UnsupportedOperation.member("CreateQueue", f"Attributes.{attribute}", "Leave it out.")
        for attribute in _CHANGEABLE:
            if attribute in given and not given[attribute].isdecimal():
                raise AwsError(f"Invalid value for the parameter {attribute}.", code="InvalidAttributeValue")
        with self._database.write() as transaction:
            present = find_resource(transaction, QUEUE, name)
            if present is None:
                arn = str(Arn("sqs", context.region, context.account, name))
                document = {"QueueArn": arn, "Attributes": {**DEFAULTS, **given}, "CreatedTimestamp": now}
                insert_resource(transaction, QUEUE, name, document, created=now, arn=arn)
            elif any(present["Attributes"].get(key) != value for key, value in given.items()):
                raise AwsError(f"Queue {name} exists with other attributes.", code="QueueNameExists")
        return {"QueueUrl": _url(context, name)}

    @operation("GetQueueUrl")
    def url(self, context: Context, parameters: dict[str, Any]) -> Document:
        with self._database.read() as transaction:
            _find(transaction, parameters["QueueName"])
        return {"QueueUrl": _url(context, parameters["QueueName"])}

    @operation("ListQueues")
    def list(self, context: Context, parameters: dict[str, Any]) -> Document:
        query = Query(QUEUE, name_prefix=parameters.get("QueueNamePrefix"), sort="name", descending=False, limit=1000)
        with self._database.read() as transaction:
            names = [each["QueueArn"].rpartition(":")[2] for each in list_resources(transaction, query).documents]
        return {"QueueUrls": [_url(context, name) for name in names]} if names else {}

    @operation("GetQueueAttributes")
    def attributes(self, _: Context, parameters: dict[str, Any]) -> Document:
        name, asked = _name(parameters), parameters.get("AttributeNames", [])
        with self._database.read() as transaction:
            queue = _find(transaction, name)
            whole = count_resources(transaction, Query(MESSAGE, parent=name))
            visible = count_resources(transaction, self._visible(name))
        found = {
            "QueueArn": queue["QueueArn"],
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(whole - visible),
            "CreatedTimestamp": str(int(queue["CreatedTimestamp"])),
            **queue["Attributes"],
        }
        chosen = {key: value for key, value in found.items() if "All" in asked or key in asked}
        return {"Attributes": chosen} if chosen else {}

    @operation("DeleteQueue")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        name = _name(parameters)
        with self._database.write() as transaction:
            _find(transaction, name)
            _empty(transaction, name)
            delete_resource(transaction, QUEUE, name)
        return {}

    @operation("PurgeQueue")
    def purge(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self._database.write() as transaction:
            _find(transaction, _name(parameters))
            _empty(transaction, _name(parameters))
        return {}

    @operation("SendMessage", members=SEND_MEMBERS)
    def send(self, _: Context, parameters: dict[str, Any]) -> Document:
        name, body = _name(parameters), parameters["MessageBody"]
        attributes = parameters.get("MessageAttributes", {})
        if len(body.encode()) > int(DEFAULTS["MaximumMessageSize"]):
            raise AwsError("One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.",
                           code="InvalidParameterValue")  # fmt: skip
        for key, value in attributes.items():
            if "StringValue" not in value:
                raise UnsupportedOperation.member(
                    "SendMessage", f"MessageAttributes.{key} without a StringValue", "Use a String or a Number."
                )
        with self._database.write() as transaction:
            queue = _find(transaction, name)
            delay = float(parameters.get("DelaySeconds", queue["Attributes"]["DelaySeconds"]))
            identity = put_message(transaction, name, body, attributes, now=self._now(), delay=delay)
        result = {"MessageId": identity, "MD5OfMessageBody": _md5(body.encode())}
        if attributes:
            result["MD5OfMessageAttributes"] = _attributes_md5(attributes)
        return result

    @operation("ReceiveMessage", members=RECEIVE_MEMBERS)
    def receive(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Messages that become invisible to others until they are deleted or their time is over."""
        name, now = _name(parameters), self._now()
        most = parameters.get("MaxNumberOfMessages", 1)
        if not 1 <= most <= 10:
            raise AwsError("MaxNumberOfMessages must be between 1 and 10.", code="InvalidParameterValue")
        received = []
        with self._database.write() as transaction:
            queue = _find(transaction, name)
            timeout = float(parameters.get("VisibilityTimeout", queue["Attributes"]["VisibilityTimeout"]))
            for message in list_resources(transaction, self._visible(name, most)).documents:
                identity = message["MessageId"]
                handle = f"{identity}.{uuid.uuid4().hex}"
                count = message["_Received"] + 1
                first = message.get("_First", now)
                changed = {
                    **message,
                    "_VisibleAt": now + timeout,
                    "_Received": count,
                    "_Handle": handle,
                    "_First": first,
                }
                replace_resource(transaction, MESSAGE, identity, changed, modified=now)
                received.append(_received(context, changed, parameters))
        return {"Messages": received} if received else {}

    @operation("DeleteMessage")
    def delete_message(self, _: Context, parameters: dict[str, Any]) -> Document:
        handle = parameters["ReceiptHandle"]
        identity = handle.partition(".")[0]
        with self._database.write() as transaction:
            _find(transaction, _name(parameters))
            message = find_resource(transaction, MESSAGE, identity, lock=True)
            if message is None and "." not in handle:
                raise AwsError(f'The input receipt handle "{handle}" is not valid.', code="ReceiptHandleIsInvalid")
            if message is not None and message["_Handle"] == handle:
                delete_resource(transaction, MESSAGE, identity)
        return {}

    def _visible(self, name: str, limit: int = 10) -> Query:
        visible = Condition("_VisibleAt", "less-or-equal", self._now())
        return Query(MESSAGE, parent=name, conditions=(visible,), descending=False, limit=limit)


def _received(context: Context, message: Mapping[str, Any], parameters: Mapping[str, Any]) -> Document:
    result: Document = {
        "MessageId": message["MessageId"],
        "ReceiptHandle": message["_Handle"],
        "MD5OfBody": message["MD5OfBody"],
        "Body": message["Body"],
    }
    asked = (*parameters.get("AttributeNames", ()), *parameters.get("MessageSystemAttributeNames", ()))
    system = {
        "SenderId": context.account,
        "SentTimestamp": str(int(message["SentTimestamp"] * 1000)),
        "ApproximateReceiveCount": str(message["_Received"]),
        "ApproximateFirstReceiveTimestamp": str(int(message["_First"] * 1000)),
    }
    if chosen := {key: value for key, value in system.items() if "All" in asked or key in asked}:
        result["Attributes"] = chosen
    wanted = parameters.get("MessageAttributeNames", ())
    attributes = {k: v for k, v in message["MessageAttributes"].items() if _wanted(k, wanted)}
    if attributes:
        result |= {"MessageAttributes": attributes, "MD5OfMessageAttributes": _attributes_md5(attributes)}
    return result


def _wanted(name: str, patterns: Any) -> bool:
    return any(
        each in ("All", ".*", name) or (each.endswith(".*") and name.startswith(each.removesuffix(".*")))
        for each in patterns
    )


def _attributes_md5(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """As SQS makes it: name, type and value of each, in the order of names, with their lengths before them."""
    parts = []
    for name in sorted(attributes):
        kind, value = attributes[name]["DataType"], attributes[name]["StringValue"]
        for text, mark in ((name, b""), (kind, b""), (value, b"\x01")):
            raw = text.encode()
            parts.append(mark + len(raw).to_bytes(4, "big") + raw)
    return _md5(b"".join(parts))


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _find(transaction: Transaction, name: str) -> Document:
    queue = find_resource(transaction, QUEUE, name)
    if queue is None:
        raise AwsError("The specified queue does not exist.", code="AWS.SimpleQueueService.NonExistentQueue")
    return queue


def _empty(transaction: Transaction, name: str) -> None:
    while found := list_resources(transaction, Query(MESSAGE, parent=name, limit=500)).documents:
        for message in found:
            delete_resource(transaction, MESSAGE, message["MessageId"])


def _url(context: Context, name: str) -> str:
    return f"https://sqs.{context.region}.amazonaws.com/{context.account}/{name}"


def _name(parameters: Mapping[str, Any]) -> str:
    url: str = parameters["QueueUrl"]
    name = url.rpartition("/")[2]
    if not name:
        raise ValidationException(f"'{url}' is no queue's URL.")
    return name
