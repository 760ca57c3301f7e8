"""DescribeStackEvents: what a stack's event stream tells, in CloudFormation's words. Nothing of it is stored twice."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelwright.services.cloudformation.base import CloudFormation, find_stack
from modelwright.services.dispatch import Context, Document, operation
from modelwright.store.history import Event
from modelwright.templates.problems import TemplateError

PAGE = 100
_REQUESTS = {
    "ReviewRequested": "REVIEW_IN_PROGRESS",
    "CreateRequested": "CREATE_IN_PROGRESS",
    "UpdateRequested": "UPDATE_IN_PROGRESS",
    "DeleteRequested": "DELETE_IN_PROGRESS",
    "ContinueRequested": "UPDATE_ROLLBACK_IN_PROGRESS",
    "RollbackRequested": "ROLLBACK_IN_PROGRESS",
}


class StackEvents(CloudFormation):
    """The events of stacks."""

    @operation("DescribeStackEvents")
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        """A page of events, the newest first."""
        if "StackName" not in parameters:
            raise TemplateError("Give the StackName whose events you want.")
        with self.database.read() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            events = self.history.read(transaction, stack["_Stream"])
        found = list(told(stack, events))
        end = _position(parameters.get("NextToken"), len(found))
        start = max(0, end - PAGE)
        answer: Document = {"StackEvents": found[start:end][::-1]}
        if start:
            answer["NextToken"] = base64.urlsafe_b64encode(str(start).encode()).decode()
        return answer


def told(stack: Mapping[str, Any], events: Sequence[Event]) -> Iterator[Document]:
    """The oldest first. Each carries the token of the request that it is a part of."""
    token: str | None = None
    for event in events:
        data = event.data
        if event.kind.endswith("Requested"):
            token = data.get("Token")
        if event.kind in _REQUESTS:
            about = _own(stack, data.get("Status", _REQUESTS[event.kind]), "User Initiated")
        elif event.kind == "Status":
            about = _own(stack, data["Status"], data.get("Reason", ""))
        elif "Status" in data:
            about = {
                "LogicalResourceId": data["Task"].partition("/")[2],
                "PhysicalResourceId": data.get("Physical", ""),
                "ResourceType": data["Type"],
                "ResourceStatus": data["Status"],
                "ResourceStatusReason": data.get("Reason", ""),
            }
        else:
            continue
        about |= {"ClientRequestToken": token or ""}
        yield {
            "StackId": stack["StackId"],
            "StackName": stack["StackName"],
            "EventId": f"{about['LogicalResourceId']}-{about['ResourceStatus']}-{event.sequence}",
            "Timestamp": event.time,
            **{key: value for key, value in about.items() if value},
        }


def _own(stack: Mapping[str, Any], status: str, reason: str) -> Document:
    return {
        "LogicalResourceId": stack["StackName"],
        "PhysicalResourceId": stack["StackId"],
        "ResourceType": "AWS::CloudFormation::Stack",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def _position(token: str | None, count: int) -> int:
    """Where the page ends: tokens count from the oldest event, so they stay good while events come."""
    if token is None:
        return count
    try:
        place = int(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        place = -1
    if not 0 <= place <= count:
        raise TemplateError("NextToken is not one of this stack's.")
    return place
