"""What CloudFormation's services have in common: finding stacks, reading templates, making plans, pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from modelwright.errors import AwsError
from modelwright.services.dispatch import Context, Document
from modelwright.services.members import HONOURED, Rule, Table, recorded, refused
from modelwright.store.database import Database, Transaction
from modelwright.store.history import Event, History
from modelwright.store.resources import Query, find_by_arn, find_resource, list_resources, replace_resource
from modelwright.templates import plan as plans
from modelwright.templates.problems import TemplateError
from modelwright.templates.template import MOST_BYTES, MOST_BYTES_BY_URL, Template, parse

KIND, CHANGE_SET = "Stack", "ChangeSet"
LEASE_SECONDS = 60.0
PAGE = 100
UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")

ROLE = recorded("Stacks act as the platform; the role is told back.")
NO_TOPICS = refused("Leave it out: there are no SNS topics here. See DescribeStackEvents.", [])
POLICY: Rule = refused("Leave it out: there are no stack policies here. Use DeletionPolicy and termination protection.")
REQUEST_MEMBERS: Table = {
    "StackName": HONOURED,
    "TemplateBody": HONOURED,
    "TemplateURL": HONOURED,
    "Parameters": HONOURED,
    "Capabilities": HONOURED,
    "ResourceTypes": HONOURED,
    "RoleARN": ROLE,
    "Tags": HONOURED,
    "NotificationARNs": NO_TOPICS,
    "RollbackConfiguration": refused("Leave it out: alarms don't roll stacks back here.", {}),
}
"""What everything takes that makes a plan."""

Read = Callable[[str, str], bytes]
"""(bucket, key) -> content. Raises AwsError."""

T = TypeVar("T")


class CloudFormation:
    """A resource group of CloudFormation's."""

    def __init__(self, *, database: Database, history: History, now: Callable[[], float], read: Read) -> None:
        """`read` gets an object: a template by its URL."""
        self.database = database
        self.history = history
        self.now = now
        self._read = read

    def template(self, parameters: Mapping[str, Any], previous: str | None = None) -> tuple[str, Template]:
        """The template that a request means. Raises TemplateError."""
        body, url = parameters.get("TemplateBody"), parameters.get("TemplateURL")
        if parameters.get("UsePreviousTemplate"):
            if body or url:
                raise TemplateError("UsePreviousTemplate must not come with a TemplateBody or a TemplateURL.")
            body = previous
        elif bool(body) == bool(url):
            raise TemplateError("Either Template URL or Template Body must be specified.")
        elif url:
            body = self._fetch(url)
        elif len(str(body).encode()) > MOST_BYTES:
            raise TemplateError(
                f"1 validation error detected: 'templateBody' is longer than {MOST_BYTES} bytes. Put the template into "
                "a bucket and give its TemplateURL."
            )
        assert body is not None
        return body, parse(body)

    def _fetch(self, url: str) -> str:
        bucket, key = place_of(url)
        try:
            content = self._read(bucket, key)
        except AwsError as error:
            raise TemplateError(f"S3 error: {error.message} ({url})") from None
        if len(content) > MOST_BYTES_BY_URL:
            raise TemplateError(f"Template may not exceed {MOST_BYTES_BY_URL} bytes in size.")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise TemplateError(f"The template {url} is not text in UTF-8.") from None

    def plan(
        self,
        transaction: Transaction,
        context: Context,
        template: Template,
        parameters: Mapping[str, Any],
        stack: Mapping[str, Any],
    ) -> plans.Plan:
        """Of `stack`, which has `StackId` and `StackName`, and what it was made of where it is there already."""
        check_capabilities(template, parameters)
        return plans.make(
            template,
            _given(parameters, stack.get("_Values", {})),
            account=context.account,
            region=context.region,
            stack_id=stack["StackId"],
            stack_name=stack["StackName"],
            imports=lambda name: _imported(transaction, name),
            tags=_tags(parameters.get("Tags", stack.get("Tags", []))),
        )

    def request(
        self, transaction: Transaction, stack: Document, kind: str, data: Mapping[str, Any], status: str
    ) -> None:
        """Set the engine to work."""
        now = self.now()
        document = {**stack, "StackStatus": status}
        document.pop("StackStatusReason", None)
        replace_resource(transaction, KIND, document["StackName"], document, modified=now, status=status)
        lease = now + LEASE_SECONDS
        self.history.reopen(transaction, document["_Stream"], [Event(kind, data, now)], lease_until=lease)


def place_of(url: str) -> tuple[str, str]:
    """(bucket, key) of an object's URL, in any of S3's forms, or this server's. Raises TemplateError."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
    if parts.query:
        raise TemplateError(f"TemplateURL {url}: objects have no versions here. Leave ?{parts.query} out.")
    bucket, key = "", path
    if host.endswith(".amazonaws.com"):
        labels = host.removesuffix(".amazonaws.com").split(".")
        place = next((i for i, label in enumerate(labels) if label == "s3" or label.startswith("s3-")), None)
        if place is not None:
            bucket = ".".join(labels[:place])
            if not bucket:
                bucket, _, key = path.partition("/")
    elif host in ("localhost", "::1") or host.startswith("127."):
        bucket, _, key = path.partition("/")
    if parts.scheme not in ("http", "https") or not bucket or not key:
        raise TemplateError(f"TemplateURL must be a supported URL, of an object in S3, and not '{url}'.")
    return bucket, key


def find_stack(transaction: Transaction, name: str) -> Document:
    """By name or id. Raises ValidationError where there is none."""
    stack = look(transaction, name)
    if stack is None:
        raise TemplateError(f"Stack with id {name} does not exist")
    return stack


def look(transaction: Transaction, name: str) -> Document | None:
    """The same, or None."""
    stack = find_resource(transaction, KIND, name, lock=True)
    if stack is None and name.startswith("arn:"):
        found = find_by_arn(transaction, name)
        stack = found[2] if found is not None and found[0] == KIND else None
    return stack


def stacks(transaction: Transaction) -> list[Document]:
    """All that are not deleted."""
    found = list_resources(transaction, Query(KIND, limit=100_000)).documents
    return [stack for stack in found if stack["StackStatus"] != "DELETE_COMPLETE"]


def importers(transaction: Transaction, export: str, *, but: str = "") -> list[str]:
    """The names of the stacks that take a value from an export."""
    return sorted(
        stack["StackName"]
        for stack in stacks(transaction)
        if stack["StackId"] != but and export in stack.get("_Plan", {}).get("Imports", [])
    )


def _imported(transaction: Transaction, export: str) -> str:
    for stack in stacks(transaction):
        for output in stack.get("Outputs", []):
            if output.get("ExportName") == export:
                return str(output["OutputValue"])
    raise TemplateError(f"No export named {export} found. Rollback requested by user.")


def _given(parameters: Mapping[str, Any], before: Mapping[str, str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for one in parameters.get("Parameters", []):
        key = one.get("ParameterKey", "")
        if key in given:
            raise TemplateError(f"Duplicate parameter keys: [{key}]")
        if one.get("UsePreviousValue"):
            if "ParameterValue" in one:
                raise TemplateError(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true "
                                    "and non empty value for a parameter")  # fmt: skip
            if key not in before:
                raise TemplateError(f"Invalid input for parameter key {key}. There is no previous value.")
            given[key] = before[key]
        elif "ParameterValue" in one:
            given[key] = one["ParameterValue"]
    return given


def _tags(tags: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
    keys = [tag["Key"] for tag in tags]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise TemplateError(f"Duplicate tag keys found: {', '.join(twice)}")
    reserved = [key for key in keys if key.lower().startswith("aws:")]
    if reserved:
        raise TemplateError(f"Tag key '{reserved[0]}': the prefix aws: is reserved.")
    return tags


def check_capabilities(template: Template, parameters: Mapping[str, Any]) -> None:
    """Raises InsufficientCapabilitiesException for what must be acknowledged and is not."""
    given = parameters.get("Capabilities", [])
    missing = [
        needed
        for needed in plans.capabilities(template)
        if needed not in given and not (needed == "CAPABILITY_IAM" and "CAPABILITY_NAMED_IAM" in given)
    ]
    if missing:
        raise AwsError(f"Requires capabilities : [{', '.join(missing)}]", code="InsufficientCapabilitiesException")
    wanted = parameters.get("ResourceTypes")
    if wanted is not None:
        for one in template.resources.values():
            if not any(_is_of(one.type, pattern) for pattern in wanted):
                raise TemplateError(f"Resource type {one.type} is not allowed by parameter ResourceTypes {wanted}")


def _is_of(kind: str, pattern: str) -> bool:
    return kind == pattern or (pattern.endswith("*") and kind.startswith(pattern[:-1]))


def request_of(context: Context, parameters: Mapping[str, Any]) -> Document:
    """Who asks, and the token that DescribeStackEvents tells of each event of this request."""
    token = {"Token": parameters["ClientRequestToken"]} if "ClientRequestToken" in parameters else {}
    return {"By": list(context.actors), **token}


def about(parameters: Mapping[str, Any], template: Template, plan: plans.Plan, body: str) -> Document:
    """What a stack, or a change set, tells of the request that it was made by."""
    told: Document = {"Parameters": shown(plan), "_Body": body, "_Values": plan["Parameters"], "_Plan": plan}
    told["Tags"] = plan["Tags"]
    if template.description:
        told["Description"] = template.description
    return told | {key: parameters[key] for key in ("Capabilities", "RoleARN") if key in parameters}


def shown(plan: plans.Plan) -> list[Document]:
    """The parameters, those with NoEcho hidden."""
    hidden = plan["Hidden"]
    return [
        {"ParameterKey": key, "ParameterValue": "****" if key in hidden else value}
        for key, value in plan["Parameters"].items()
    ]


def public(document: Mapping[str, Any]) -> Document:
    """Without what is empty or ours."""
    return {key: value for key, value in document.items() if value != [] and not key.startswith("_")}


def page_of(member: str, items: Sequence[T], token: str | None, size: int = PAGE) -> Document:
    """A page of a list that is made for each request: tokens count. Raises TemplateError."""
    start = 0
    if token is not None:
        try:
            start = int(base64.urlsafe_b64decode(token))
        except (ValueError, binascii.Error):
            start = -1
        if not 0 <= start <= len(items):
            raise TemplateError("NextToken is not one of this request's.")
    answer: Document = {member: list(items[start : start + size])}
    if start + size < len(items):
        answer["NextToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return answer
