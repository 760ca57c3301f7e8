"""Log groups: their names, tags and retention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import InvalidParameterException, ResourceAlreadyExistsException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.logs.common import find_group, group_of_identifier, make_token, no_group, open_token
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store import logs
from modelwright.store.database import Database, Transaction
from modelwright.store.history import History
from modelwright.store.logs import GROUP_KIND
from modelwright.store.resources import Query, find_resource, list_resources, replace_resource

MOST_TAGS = 50
# fmt: off
RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
# fmt: on

CREATE_MEMBERS: Table = {
    "logGroupName": HONOURED,
    "kmsKeyId": refused("Leave it out: there are no KMS keys here."),
    "tags": HONOURED,
    "logGroupClass": refused("Leave it out: all groups are STANDARD.", "STANDARD"),
    "deletionProtectionEnabled": refused("Leave it out: groups can't be protected.", False),
}

DESCRIBE_MEMBERS: Table = {
    "accountIdentifiers": refused("There is one account here."),
    "logGroupNamePrefix": HONOURED,
    "logGroupNamePattern": HONOURED,
    "nextToken": HONOURED,
    "limit": HONOURED,
    "includeLinkedAccounts": refused("There is one account here.", False),
    "logGroupClass": refused("Leave it out: all groups are STANDARD.", "STANDARD"),
    "logGroupIdentifiers": HONOURED,
}


class LogGroups:
    """The operations on groups."""

    def __init__(self, *, database: Database, history: History, now: Callable[[], float]) -> None:
        self.database = database
        self.history = history
        self._now = now

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)

    @operation("CreateLogGroup", members=CREATE_MEMBERS)
    def create_log_group(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceAlreadyExistsException when there is a group of this name."""
        group = parameters["logGroupName"]
        with self.database.write() as transaction:
            if find_resource(transaction, GROUP_KIND, group) is not None:
                raise ResourceAlreadyExistsException("The specified log group already exists")
            logs.create_group(transaction, group, self._milliseconds())
            if parameters.get("tags"):
                self._update_group(transaction, group, lambda found: {**found, "_tags": dict(parameters["tags"])})
        return {}

    @operation("DeleteLogGroup")
    def delete_log_group(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Deletes its streams and their lines too."""
        with self.database.write() as transaction:
            if not logs.delete_group(transaction, parameters["logGroupName"]):
                raise no_group()
        return {}

    @operation("DescribeLogGroups", members=DESCRIBE_MEMBERS)
    def describe_log_groups(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Groups by name: of a prefix, or whose name contains a pattern."""
        prefix, pattern = parameters.get("logGroupNamePrefix", ""), parameters.get("logGroupNamePattern", "")
        if prefix and pattern:
            raise InvalidParameterException("LogGroup name prefix and LogGroup name pattern are mutually exclusive.")
        names = {group_of_identifier(each) for each in parameters.get("logGroupIdentifiers", [])}
        after = open_token(parameters, str) or ""
        limit = parameters.get("limit", 50)
        with self.database.read() as transaction:
            groups = [
                group
                for group in self._groups(transaction)
                if group["logGroupName"].startswith(prefix)
                and pattern.lower() in group["logGroupName"].lower()
                and group["logGroupName"] > after
                and (not names or group["logGroupName"] in names)
            ]
            page = groups[:limit]
            sizes = logs.stored_bytes(transaction, [group["logGroupName"] for group in page])
        result: Document = {
            "logGroups": [_describe_group(context, group, sizes.get(group["logGroupName"], 0)) for group in page]
        }
        if len(groups) > limit:
            result["nextToken"] = make_token(page[-1]["logGroupName"])
        return result

    @operation("PutRetentionPolicy")
    def put_retention_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Lines older than this many days are not answered any more."""
        days = parameters["retentionInDays"]
        if days not in RETENTIONS:
            raise InvalidParameterException(
                f"retentionInDays = {days} is not one of {', '.join(map(str, RETENTIONS))}."
            )
        with self.database.write() as transaction:
            self._update_group(transaction, parameters["logGroupName"], lambda g: {**g, "retentionInDays": days})
        return {}

    @operation("DeleteRetentionPolicy")
    def delete_retention_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            self._update_group(transaction, parameters["logGroupName"], lambda g: _without(g, ["retentionInDays"]))
        return {}

    @operation("TagLogGroup")
    def tag_log_group(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._tag(parameters["logGroupName"], parameters["tags"])

    @operation("UntagLogGroup")
    def untag_log_group(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._untag(parameters["logGroupName"], parameters["tags"])

    @operation("ListTagsLogGroup", quick=True)
    def list_tags_log_group(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._tags(parameters["logGroupName"])

    @operation("TagResource")
    def tag_resource(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._tag(group_of_identifier(parameters["resourceArn"]), parameters["tags"])

    @operation("UntagResource")
    def untag_resource(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._untag(group_of_identifier(parameters["resourceArn"]), parameters["tagKeys"])

    @operation("ListTagsForResource", quick=True)
    def list_tags_for_resource(self, _: Context, parameters: dict[str, Any]) -> Document:
        return self._tags(group_of_identifier(parameters["resourceArn"]))

    def _groups(self, transaction: Transaction) -> Iterator[Document]:
        query = Query(GROUP_KIND, sort="name", descending=False, limit=1000)
        while True:
            page = list_resources(transaction, query)
            yield from page.documents
            if page.next_token is None:
                return
            query = Query(GROUP_KIND, sort="name", descending=False, limit=1000, token=page.next_token)

    def _update_group(self, transaction: Transaction, name: str, change: Callable[[Document], Document]) -> None:
        group = find_resource(transaction, GROUP_KIND, name, lock=True)
        if group is None:
            raise no_group()
        replace_resource(transaction, GROUP_KIND, name, change(group), modified=self._now())

    def _tag(self, name: str, tags: dict[str, str]) -> Document:
        def change(group: Document) -> Document:
            merged = {**group.get("_tags", {}), **tags}
            if len(merged) > MOST_TAGS:
                raise InvalidParameterException(f"{name} would have {len(merged)} tags; the limit is {MOST_TAGS}.")
            return {**group, "_tags": merged}

        with self.database.write() as transaction:
            self._update_group(transaction, name, change)
        return {}

    def _untag(self, name: str, keys: list[str]) -> Document:
        with self.database.write() as transaction:
            self._update_group(transaction, name, lambda g: {**g, "_tags": _without(g.get("_tags", {}), keys)})
        return {}

    def _tags(self, name: str) -> Document:
        with self.database.read() as transaction:
            return {"tags": find_group(transaction, name).get("_tags", {})}


def _describe_group(context: Context, group: Document, size: int) -> Document:
    arn = str(Arn("logs", context.region, context.account, f"log-group:{group['logGroupName']}"))
    public = {key: value for key, value in group.items() if not key.startswith("_")}
    derived = {"metricFilterCount": 0, "arn": f"{arn}:*", "logGroupArn": arn, "storedBytes": size}
    return {**public, **derived, "logGroupClass": "STANDARD"}


def _without(mapping: Document, keys: list[str]) -> Document:
    return {key: value for key, value in mapping.items() if key not in keys}
