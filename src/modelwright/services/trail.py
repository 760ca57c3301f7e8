"""Who did what, when, from where: the one door's memory, in the shape of CloudTrail's records.

Every call that changes something is remembered, allowed or refused, with its outcome; of the others those that were
refused. What feeds something without changing what is managed (an invocation, a log line, a metric, a part of an
upload) is not: AWS calls those data events and leaves them out as well. Objects in S3 are remembered as they are
written and deleted. What the platform does itself is remembered with whom it does it for; that something is there
already is no news there.

Secrets stay out: of parameters only short texts are kept, and none whose name sounds like a secret or that holds an
environment; of results only names and ids.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from modelwright.arns import EXECUTION_ROLE, EXECUTION_ROLE_ID, role_arn
from modelwright.errors import AwsError
from modelwright.services.access import SERVICE, effect
from modelwright.services.dispatch import Context, Document, Note
from modelwright.services.subjects import ACTION_PREFIXES, subject
from modelwright.store.audit import Entry

End = Callable[[Mapping[str, Any] | None], None]
Begin = Callable[[Entry], End]

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
LONGEST_TEXT = 256
MOST_ITEMS = 20
DEEPEST = 5
_SECRET = re.compile(
    r"secret|password|token|credential|authorization|environment(variables)?(override)?$|privatekey|apikey|authparameters",
    re.IGNORECASE,
)
_TELLING = re.compile(r"(Arn|ARN|Id|Name|Status|Url|ETag|arn|Version)$")
_SOURCES = {"cloudwatch": "monitoring", "codestar-connections": "codestar-connections"}


class AuditTrail:
    """`services.dispatch.Trail`, writing by `begin` (`store.audit_journal`)."""

    def __init__(self, begin: Begin, now: Callable[[], float]) -> None:
        self._begin = begin
        self._now = now

    def begin(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> Note | None:
        if effect(service, operation) != "change":
            return None
        end = self._begin(self._entry(context, service, operation, parameters))
        return _OfThePlatform(end) if context.principal.role == SERVICE else _Noted(end)

    def denied(
        self, context: Context, service: str, operation: str, parameters: Mapping[str, Any], error: AwsError
    ) -> None:
        self._begin(self._entry(context, service, operation, parameters))(_error(error))

    def _entry(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> Entry:
        about = subject(service, operation, parameters, context.region, context.account)
        now, who, identity = self._now(), context.principal, str(uuid.uuid4())
        acts = who.role == SERVICE
        named = [arn for arn in context.behalf if arn != who.arn]
        user = named[0].rpartition("/")[2] if acts and named else who.name
        source = f"{_SOURCES.get(service, ACTION_PREFIXES.get(service, service))}.amazonaws.com"
        read_only = effect(service, operation) == "read"
        record: Document = {
            "eventVersion": "1.11",
            "userIdentity": _identity(context),
            "eventTime": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "eventSource": source,
            "eventName": operation,
            "awsRegion": context.region,
            "sourceIPAddress": "sagemaker.amazonaws.com" if acts else context.address or context.source,
            "userAgent": "sagemaker.amazonaws.com" if acts else context.agent or context.source,
            "requestParameters": {_camel(key): told(key, value) for key, value in parameters.items()} or None,
            "responseElements": None,
            "requestID": context.request_id,
            "eventID": identity,
            "readOnly": read_only,
            "resources": [{"accountId": context.account, "type": about.type, "ARN": about.arn}] if about.name else [],
            "eventType": "AwsApiCall",
            "managementEvent": about.type != "AWS::S3::Object",
            "recipientAccountId": context.account,
            "eventCategory": "Data" if about.type == "AWS::S3::Object" else "Management",
            "additionalEventData": {"via": context.source},
        }
        return Entry(identity, now, user, source, operation, about.type, about.name, who.access_key, read_only, record)


class _Noted:
    """A call that has been written down."""

    def __init__(self, end: End) -> None:
        self._end = end

    def done(self, result: Mapping[str, Any]) -> None:
        told_of = {
            _camel(key): told(key, value)
            for key, value in result.items()
            if not _SECRET.search(key) and _TELLING.search(key) and isinstance(value, str | int)
        }
        self._end({"responseElements": told_of or None})

    def failed(self, error: BaseException) -> None:
        self._end(_error(error))


class _OfThePlatform(_Noted):
    """What the platform does: it repeats itself after a crash, and to find its own work done is no event."""

    def failed(self, error: BaseException) -> None:
        if isinstance(error, AwsError) and "already exist" in error.message:
            self._end(None)
        else:
            super().failed(error)


def told(name: str, value: Any, depth: int = 0) -> Any:
    """What is told of a parameter."""
    if _SECRET.search(name) and not isinstance(value, bool):
        return HIDDEN
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}... ({len(value)} characters)"
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {_camel(key): told(key, item, depth + 1) for key, item in list(value.items())[:MOST_ITEMS]}
    if isinstance(value, list | tuple):
        return [told(name, item, depth + 1) for item in value[:MOST_ITEMS]]
    return f"({len(value)} bytes)" if isinstance(value, bytes) else "(stream)"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _identity(context: Context) -> Document:
    who, account = context.principal, context.account
    identity: Document = {
        "type": "AssumedRole",
        "principalId": who.user_id,
        "arn": who.arn,
        "accountId": account,
        "accessKeyId": who.access_key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": EXECUTION_ROLE_ID,
                "arn": role_arn(account, EXECUTION_ROLE),
                "accountId": account,
                "userName": EXECUTION_ROLE,
            },
            "attributes": {"modelwrightRole": who.role},
        },
    }
    if who.role == SERVICE:
        identity["invokedBy"] = "sagemaker.amazonaws.com"
        identity["onBehalfOf"] = [arn for arn in context.behalf if arn != who.arn]
    return identity


def _error(error: BaseException) -> Document:
    if isinstance(error, AwsError):
        return {"errorCode": error.code, "errorMessage": error.message[:1024]}
    return {"errorCode": type(error).__name__, "errorMessage": "The call was not finished."}
