"""Stacks as AWS's calls see them. What they make is the engine's (`engine.stacks`)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from modelwright.errors import AwsError
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded
from modelwright.store.database import Database, Transaction
from modelwright.store.history import Event, History
from modelwright.store.resources import Query, find_resource, insert_resource, list_resources, replace_resource
from modelwright.templates import plan as plans
from modelwright.templates.problems import TemplateError
from modelwright.templates.template import MOST_BYTES, Template, parse

KIND = "Stack"
LEASE_SECONDS = 60.0
_ROLE = recorded("Stacks act as the platform; the role is told back.")

CREATE_MEMBERS: Table = {
    "StackName": HONOURED,
    "TemplateBody": HONOURED,
    "Parameters": HONOURED,
    "DisableRollback": HONOURED,
    "OnFailure": HONOURED,
    "Capabilities": HONOURED,
    "RoleARN": _ROLE,
    "ClientRequestToken": HONOURED,
    "Tags": recorded("They are the stack's; its resources do not get them yet."),
}
UPDATE_MEMBERS: Table = {key: rule for key, rule in CREATE_MEMBERS.items() if key != "OnFailure"} | {
    "UsePreviousTemplate": HONOURED
}
DELETE_MEMBERS: Table = {"StackName": HONOURED, "RetainResources": HONOURED, "RoleARN": _ROLE} | {
    "ClientRequestToken": HONOURED
}


class Stacks:
    """CreateStack and what belongs to it."""

    def __init__(self, *, database: Database, history: History, now: Callable[[], float]) -> None:
        self.database = database
        self.history = history
        self.now = now

    @operation("CreateStack", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationError for a template that can't be, AlreadyExistsException for a name that is taken."""
        name, now, identity = parameters["StackName"], self.now(), str(uuid.uuid4())
        arn = f"arn:aws:cloudformation:{context.region}:{context.account}:stack/{name}/{identity}"
        if "OnFailure" in parameters and "DisableRollback" in parameters:
            raise TemplateError("Either DisableRollback or OnFailure can be specified, not both.")
        body, template = _template(parameters)
        _check_capabilities(template, parameters)
        with self.database.write() as transaction:
            present = find_resource(transaction, KIND, name)
            if present is not None:
                token = parameters.get("ClientRequestToken")
                if token is not None and present.get("_Token") == token:
                    return {"StackId": present["StackId"]}
                raise AwsError(f"Stack [{name}] already exists", code="AlreadyExistsException")
            plan = self._plan(transaction, context, template, parameters, {}, arn, name)
            document = {
                "StackId": arn,
                "StackName": name,
                "CreationTime": now,
                "StackStatus": "CREATE_IN_PROGRESS",
                "_Stream": f"stack/{identity}",
                "_Token": parameters.get("ClientRequestToken"),
                **_about(parameters, template, plan, body),
            }
            insert_resource(transaction, KIND, name, document, created=now, arn=arn, status="CREATE_IN_PROGRESS")
            data = {"StackId": arn, "Name": name, "Region": context.region, "Plan": plan}
            event = Event("CreateRequested", {**data, "OnFailure": _on_failure(parameters), **_token(parameters)}, now)
            self.history.open(transaction, document["_Stream"], KIND, [event], lease_until=now + LEASE_SECONDS)
        return {"StackId": arn}

    @operation("UpdateStack", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationError when nothing would change, or the stack's status forbids it."""
        with self.database.write() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            status = stack["StackStatus"]
            if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
                raise TemplateError(f"Stack:{stack['StackId']} is in {status} state and can not be updated.")
            if parameters.get("UsePreviousTemplate"):
                parameters["TemplateBody"] = stack["_Body"]
            body, template = _template(parameters)
            _check_capabilities(template, parameters)
            name, arn = stack["StackName"], stack["StackId"]
            plan = self._plan(transaction, context, template, parameters, stack["_Values"], arn, name)
            before = stack["_Plan"]
            if all(plan[key] == before[key] for key in ("Resources", "Outputs")) and (
                parameters.get("Tags", stack.get("Tags", [])) == stack.get("Tags", [])
            ):
                raise TemplateError("No updates are to be performed.")
            document = {**stack, **_about(parameters, template, plan, body), "LastUpdatedTime": self.now()}
            data = {"Plan": plan, "OnFailure": _on_failure(parameters), **_token(parameters)}
            self._request(transaction, document, "UpdateRequested", data, "UPDATE_IN_PROGRESS")
        return {"StackId": arn}

    @operation("DeleteStack", members=DELETE_MEMBERS)
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Deleting one that there is not is no error."""
        with self.database.write() as transaction:
            stack = _look(transaction, parameters["StackName"])
            if stack is None or stack["StackStatus"] in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
                return {}
            status, retain = stack["StackStatus"], parameters.get("RetainResources", [])
            if status.endswith("IN_PROGRESS"):
                raise TemplateError(f"Stack [{stack['StackId']}] cannot be deleted while in status {status}")
            if retain and status != "DELETE_FAILED":
                raise TemplateError("RetainResources can only be given for a stack in status DELETE_FAILED.")
            self._request(
                transaction, stack, "DeleteRequested", {"Retain": retain, **_token(parameters)}, "DELETE_IN_PROGRESS"
            )
        return {}

    @operation("DescribeStacks", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            if "StackName" in parameters:
                return {"Stacks": [_public(find_stack(transaction, parameters["StackName"]))]}
            query = Query(KIND, limit=100, token=parameters.get("NextToken"))
            page = list_resources(transaction, query)
        found = [_public(one) for one in page.documents if one["StackStatus"] != "DELETE_COMPLETE"]
        return {"Stacks": found} | ({"NextToken": page.next_token} if page.next_token else {})

    @operation("DescribeStackResources", quick=True)
    def resources(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            stack = find_stack(transaction, parameters.get("StackName", ""))
        names = {"StackName": stack["StackName"], "StackId": stack["StackId"]}
        wanted = parameters.get("LogicalResourceId")
        found = [one for one in stack.get("_Resources", []) if wanted in (None, one["LogicalResourceId"])]
        return {"StackResources": [{**names, **{key: value for key, value in one.items() if value}} for one in found]}

    def _plan(
        self,
        transaction: Transaction,
        context: Context,
        template: Template,
        parameters: Mapping[str, Any],
        before: Mapping[str, str],
        arn: str,
        name: str,
    ) -> plans.Plan:
        given = {}
        for one in parameters.get("Parameters", []):
            key = one["ParameterKey"]
            if one.get("UsePreviousValue"):
                if key not in before:
                    raise TemplateError(f"Invalid input for parameter key {key}. There is no previous value.")
                given[key] = before[key]
            elif "ParameterValue" in one:
                given[key] = one["ParameterValue"]

        def imported(export: str) -> str:
            for stack in list_resources(transaction, Query(KIND, limit=10_000)).documents:
                for output in stack.get("Outputs", []):
                    if output.get("ExportName") == export:
                        return str(output["OutputValue"])
            raise TemplateError(f"No export named {export} found.")

        return plans.make(
            template,
            given,
            account=context.account,
            region=context.region,
            stack_id=arn,
            stack_name=name,
            imports=imported,
        )

    def _request(
        self, transaction: Transaction, document: Document, kind: str, data: Mapping[str, Any], status: str
    ) -> None:
        now = self.now()
        document = {**document, "StackStatus": status}
        replace_resource(transaction, KIND, document["StackName"], document, modified=now, status=status)
        lease = now + LEASE_SECONDS
        self.history.reopen(transaction, document["_Stream"], [Event(kind, data, now)], lease_until=lease)


def find_stack(transaction: Transaction, name: str) -> Document:
    """By name or id. Raises ValidationError where there is none."""
    stack = _look(transaction, name)
    if stack is None:
        raise TemplateError(f"Stack with id {name} does not exist")
    return stack


def _look(transaction: Transaction, name: str) -> Document | None:
    stack = find_resource(transaction, KIND, name, lock=True)
    if stack is None and name.startswith("arn:"):
        stack = find_resource(transaction, KIND, name.split("/")[1], lock=True)
        stack = stack if stack is not None and stack["StackId"] == name else None
    return stack


def _token(parameters: Mapping[str, Any]) -> Document:
    """What DescribeStackEvents tells of each event of this request."""
    return {"Token": parameters["ClientRequestToken"]} if "ClientRequestToken" in parameters else {}


def _template(parameters: Mapping[str, Any]) -> tuple[str, Template]:
    body = parameters.get("TemplateBody")
    if not body:
        raise TemplateError("Either Template URL or Template Body must be specified.")
    if len(body.encode()) > MOST_BYTES:
        raise TemplateError(f"1 validation error detected: the templateBody is longer than {MOST_BYTES} bytes.")
    return body, parse(body)


def _check_capabilities(template: Template, parameters: Mapping[str, Any]) -> None:
    needed, given = plans.capabilities(template), parameters.get("Capabilities", [])
    if needed and needed not in given and "CAPABILITY_NAMED_IAM" not in given:
        raise AwsError(f"Requires capabilities : [{needed}]", code="InsufficientCapabilitiesException")


def _on_failure(parameters: Mapping[str, Any]) -> str:
    return "DO_NOTHING" if parameters.get("DisableRollback") else str(parameters.get("OnFailure", "ROLLBACK"))


def _about(parameters: Mapping[str, Any], template: Template, plan: plans.Plan, body: str) -> Document:
    hidden = plan["Hidden"]
    shown = [
        {"ParameterKey": key, "ParameterValue": "****" if key in hidden else value}
        for key, value in plan["Parameters"].items()
    ]
    about: Document = {"Parameters": shown, "_Body": body, "_Values": plan["Parameters"], "_Plan": plan}
    if template.description:
        about["Description"] = template.description
    about |= {key: parameters[key] for key in ("Capabilities", "RoleARN", "Tags") if key in parameters}
    about["DisableRollback"] = _on_failure(parameters) == "DO_NOTHING"
    return about


def _public(stack: Document) -> Document:
    return {key: value for key, value in stack.items() if value != []}
