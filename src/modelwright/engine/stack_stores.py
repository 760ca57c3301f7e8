"""AWS::S3::Bucket and AWS::Logs::LogGroup: what holds objects and lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.engine.stack_tags import as_list, tags_of
from modelwright.engine.stack_types import Act, Read, adopting, only
from modelwright.errors import AwsError, ValidationException

_ALWAYS_SO = {
    "AccessControl": ("Private", "BucketOwnerFullControl"),
    "BucketEncryption": None,
    "OwnershipControls": None,
    "PublicAccessBlockConfiguration": None,
}
"""Properties that ask for what is so anyway: nothing here is public, and how the disk is encrypted is the disk's."""


class Bucket:
    """A bucket in its stack's region."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "us-east-1") -> None:
        self._check(properties)
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        adopting(act, "s3", "CreateBucket", {"Bucket": name, **place})
        tags = tags_of(properties)
        if tags:
            act("s3", "PutBucketTagging", {"Bucket": name, "Tagging": {"TagSet": as_list(tags)}})
        if _tells(properties):
            self._notify(act, name, properties)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        return act("s3", "HeadBucket", {"Bucket": name})

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._check(new)
        if _tells(old) != _tells(new):
            self._notify(act, name, new)

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("s3", "DeleteBucket", {"Bucket": name})

    def _check(self, properties: Mapping[str, Any]) -> None:
        only(properties, "BucketName", "Tags", "NotificationConfiguration", *_ALWAYS_SO)
        for key, fine in _ALWAYS_SO.items():
            if fine is not None and properties.get(key, fine[0]) not in fine:
                raise ValidationException(f"Modelwright can't honour {key} = {properties[key]!r}: leave it out.")
        block = properties.get("PublicAccessBlockConfiguration", {})
        for key, value in block.items():
            if str(value).lower() != "true":
                raise ValidationException(f"Modelwright can't honour {key} = {value!r}: nothing is public here.")
        wanted = properties.get("NotificationConfiguration", {})
        only(wanted, "EventBridgeConfiguration")

    def _notify(self, act: Act, name: str, properties: Mapping[str, Any]) -> None:
        wanted: dict[str, Any] = {"EventBridgeConfiguration": {}} if _tells(properties) else {}
        given = {"Bucket": name, "NotificationConfiguration": wanted}
        act("s3", "PutBucketNotificationConfiguration", given)


def _tells(properties: Mapping[str, Any]) -> bool:
    """Whether EventBridge is told of new objects."""
    wanted = properties.get("NotificationConfiguration", {}).get("EventBridgeConfiguration")
    return wanted is not None and str(wanted.get("EventBridgeEnabled", True)).lower() == "true"


class LogGroup:
    """A log group, with its retention."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        self._check(properties)
        tags = tags_of(properties)
        adopting(act, "logs", "CreateLogGroup", {"logGroupName": name, **({"tags": tags} if tags else {})})
        if "RetentionInDays" in properties:
            self._retain(act, name, properties)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        token: dict[str, Any] = {}
        while True:
            page = act("logs", "DescribeLogGroups", {"logGroupNamePrefix": name, **token})
            for group in page["logGroups"]:
                if group["logGroupName"] == name:
                    return dict(group)
            if "nextToken" not in page:
                raise AwsError(f"The log group {name} does not exist.", code="ResourceNotFoundException")
            token = {"nextToken": page["nextToken"]}

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._check(new)
        if "RetentionInDays" in new:
            self._retain(act, name, new)
        elif "RetentionInDays" in old:
            act("logs", "DeleteRetentionPolicy", {"logGroupName": name})

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("logs", "DeleteLogGroup", {"logGroupName": name})

    def _check(self, properties: Mapping[str, Any]) -> None:
        only(properties, "LogGroupName", "RetentionInDays", "Tags", "LogGroupClass")
        if properties.get("LogGroupClass", "STANDARD") != "STANDARD":
            raise ValidationException("LogGroupClass: all groups are STANDARD here. Leave it out.")

    def _retain(self, act: Act, name: str, properties: Mapping[str, Any]) -> None:
        days = str(properties["RetentionInDays"])
        if not days.isdigit():
            raise ValidationException(f"Value of property RetentionInDays must be of type Number, not '{days}'")
        act("logs", "PutRetentionPolicy", {"logGroupName": name, "retentionInDays": int(days)})
