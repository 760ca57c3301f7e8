"""Stacks as AWS's calls see them. What they make is the engine's (`engine.stacks`)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from modelwright.errors import AwsError, ValidationException
from modelwright.services.cloudformation.base import (
    CHANGE_SET,
    KIND,
    LEASE_SECONDS,
    POLICY,
    REQUEST_MEMBERS,
    ROLE,
    UPDATABLE,
    CloudFormation,
    about,
    find_stack,
    importers,
    look,
    public,
    request_of,
)
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store.database import Transaction
from modelwright.store.history import Event
from modelwright.store.resources import (
    Condition,
    Query,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)
from modelwright.templates import changes
from modelwright.templates.problems import TemplateError

_POLICIES: Table = {"StackPolicyBody": POLICY, "StackPolicyURL": POLICY}
CREATE_MEMBERS: Table = {
    **REQUEST_MEMBERS,
    **_POLICIES,
    "DisableRollback": HONOURED,
    "OnFailure": HONOURED,
    "EnableTerminationProtection": HONOURED,
    "ClientRequestToken": HONOURED,
    "TimeoutInMinutes": refused("Leave it out: a creation takes as long as it takes. DeleteStack ends it."),
    "RetainExceptOnCreate": refused("Give the resources the DeletionPolicy RetainExceptOnCreate.", False),
}
UPDATE_MEMBERS: Table = {
    **REQUEST_MEMBERS,
    **_POLICIES,
    "StackPolicyDuringUpdateBody": POLICY,
    "StackPolicyDuringUpdateURL": POLICY,
    "DisableRollback": HONOURED,
    "UsePreviousTemplate": HONOURED,
    "ClientRequestToken": HONOURED,
    "RetainExceptOnCreate": refused("Give the resources the DeletionPolicy RetainExceptOnCreate.", False),
}
DELETE_MEMBERS: Table = {
    "StackName": HONOURED,
    "RetainResources": HONOURED,
    "RoleARN": ROLE,
    "ClientRequestToken": HONOURED,
    "DeletionMode": refused("Give RetainResources for what can't be deleted.", "STANDARD"),
}
CONTINUE_MEMBERS: Table = {
    "StackName": HONOURED,
    "RoleARN": ROLE,
    "ResourcesToSkip": HONOURED,
    "ClientRequestToken": HONOURED,
}
ROLLBACK_MEMBERS: Table = {
    "StackName": HONOURED,
    "RoleARN": ROLE,
    "ClientRequestToken": HONOURED,
    "RetainExceptOnCreate": refused("Give the resources the DeletionPolicy RetainExceptOnCreate.", False),
}
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_DELETABLE = ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "REVIEW_IN_PROGRESS")
"""Of what is under way."""


class Stacks(CloudFormation):
    """CreateStack and what belongs to it."""

    @operation("CreateStack", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationError for a template that can't be, AlreadyExistsException for a name that is taken."""
        name, now = parameters["StackName"], self.now()
        if "OnFailure" in parameters and "DisableRollback" in parameters:
            raise TemplateError("Either DisableRollback or OnFailure can be specified, not both.")
        body, template = self.template(parameters)
        with self.database.write() as transaction:
            present = find_resource(transaction, KIND, name)
            if present is not None:
                token = parameters.get("ClientRequestToken")
                if token is not None and present.get("_Token") == token:
                    return {"StackId": present["StackId"]}
                raise AwsError(f"Stack [{name}] already exists", code="AlreadyExistsException")
            stack = new_stack(context, name, now)
            made = self.plan(transaction, context, template, parameters, stack)
            document = {
                **stack,
                "StackStatus": "CREATE_IN_PROGRESS",
                "_Token": parameters.get("ClientRequestToken"),
                "EnableTerminationProtection": parameters.get("EnableTerminationProtection", False),
                **about(parameters, template, made, body),
            }
            failing = on_failure(parameters)
            document["DisableRollback"] = failing == "DO_NOTHING"
            arn = document["StackId"]
            insert_resource(transaction, KIND, name, document, created=now, arn=arn, status="CREATE_IN_PROGRESS")
            data = {**place(stack, context), "Plan": made, "OnFailure": failing, **request_of(context, parameters)}
            event = Event("CreateRequested", data, now)
            self.history.open(transaction, document["_Stream"], KIND, [event], lease_until=now + LEASE_SECONDS)
        return {"StackId": arn}

    @operation("UpdateStack", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationError when nothing would change, or the stack's status forbids it."""
        with self.database.write() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            check_updatable(stack)
            body, template = self.template(parameters, stack.get("_Body"))
            made = self.plan(transaction, context, template, parameters, stack)
            changes.check_types_kept(stack["_Plan"], made)
            if not changes.is_changed(stack["_Plan"], made):
                raise TemplateError("No updates are to be performed.")
            obsolete(transaction, stack, self.now())
            told = about(parameters, template, made, body)
            document = {**changed(stack, told), "LastUpdatedTime": self.now()}
            failing = on_failure(parameters)
            document["DisableRollback"] = failing == "DO_NOTHING"
            data = {"Plan": made, "OnFailure": failing, **request_of(context, parameters)}
            self.request(transaction, document, "UpdateRequested", data, "UPDATE_IN_PROGRESS")
        return {"StackId": stack["StackId"]}

    @operation("DeleteStack", members=DELETE_MEMBERS)
    def delete(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Deleting one that there is not is no error; one that is being created is deleted when that has stopped."""
        with self.database.write() as transaction:
            stack = look(transaction, parameters["StackName"])
            if stack is None or stack["StackStatus"] in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
                return {}
            status, retain = stack["StackStatus"], parameters.get("RetainResources", [])
            if stack.get("EnableTerminationProtection"):
                raise TemplateError(
                    f"Stack [{stack['StackName']}] cannot be deleted while TerminationProtection is enabled"
                )
            if status.endswith("IN_PROGRESS") and status not in _DELETABLE:
                raise TemplateError(f"Stack [{stack['StackId']}] cannot be deleted while in status {status}")
            if retain and status != "DELETE_FAILED":
                raise TemplateError(
                    "Invalid operation on stack. RetainResources can only be given for a stack in status DELETE_FAILED."
                )
            unknown = sorted(set(retain) - {one["LogicalResourceId"] for one in stack.get("_Resources", [])})
            if unknown:
                raise TemplateError(f"Stack [{stack['StackName']}] has no resources [{', '.join(unknown)}] to retain.")
            check_exports_unused(transaction, stack)
            data = {"Retain": retain, **request_of(context, parameters)}
            self.request(transaction, stack, "DeleteRequested", data, "DELETE_IN_PROGRESS")
        return {}

    @operation("CancelUpdateStack")
    def cancel(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The update stops where it is, and is taken back."""
        with self.database.write() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            if stack["StackStatus"] != "UPDATE_IN_PROGRESS":
                raise TemplateError(
                    "CancelUpdateStack cannot be called from current stack status: "
                    f"{stack['StackName']} is in {stack['StackStatus']}."
                )
            self.request(transaction, stack, "CancelRequested", request_of(context, parameters), "UPDATE_IN_PROGRESS")
        return {}

    @operation("ContinueUpdateRollback", members=CONTINUE_MEMBERS)
    def continue_rollback(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Try the rest of a failed rollback again, or leave some of it as it is (`ResourcesToSkip`)."""
        with self.database.write() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            skip = parameters.get("ResourcesToSkip", [])
            if stack["StackStatus"] != "UPDATE_ROLLBACK_FAILED":
                raise TemplateError(
                    f"Stack:{stack['StackId']} is in {stack['StackStatus']} state and can not continue its rollback: "
                    "it must be in UPDATE_ROLLBACK_FAILED."
                )
            failed = [
                one["LogicalResourceId"]
                for one in stack.get("_Resources", [])
                if one["ResourceStatus"] == "UPDATE_FAILED"
            ]
            wrong = sorted(set(skip) - set(failed))
            if wrong:
                raise TemplateError(
                    f"ResourcesToSkip [{', '.join(wrong)}] are not in the state UPDATE_FAILED; "
                    f"[{', '.join(sorted(failed))}] are."
                )
            data = {"Skip": skip, **request_of(context, parameters)}
            self.request(transaction, stack, "ContinueRequested", data, "UPDATE_ROLLBACK_IN_PROGRESS")
        return {}

    @operation("RollbackStack", members=ROLLBACK_MEMBERS)
    def rollback(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Take back what has failed with DisableRollback."""
        with self.database.write() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            to = {"CREATE_FAILED": "ROLLBACK_IN_PROGRESS", "UPDATE_FAILED": "UPDATE_ROLLBACK_IN_PROGRESS"}
            status = to.get(stack["StackStatus"])
            if status is None:
                raise TemplateError(
                    f"Stack:{stack['StackId']} is in {stack['StackStatus']} state and can not be rolled back: it must "
                    "be in CREATE_FAILED or UPDATE_FAILED."
                )
            data = {"Status": status, **request_of(context, parameters)}
            self.request(transaction, stack, "RollbackRequested", data, status)
        return {"StackId": stack["StackId"]}

    @operation("UpdateTerminationProtection")
    def protect(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            if stack["StackStatus"] in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
                raise TemplateError(f"Stack [{stack['StackName']}] is in {stack['StackStatus']} state.")
            changed = {**stack, "EnableTerminationProtection": parameters["EnableTerminationProtection"]}
            replace_resource(transaction, KIND, stack["StackName"], changed, modified=self.now())
        return {"StackId": stack["StackId"]}

    @operation("DescribeStacks", quick=lambda parameters: "StackName" in parameters)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            if "StackName" in parameters:
                return {"Stacks": [public(find_stack(transaction, parameters["StackName"]))]}
            there = Condition("StackStatus", "not-equals", "DELETE_COMPLETE")
            return _page(transaction, "Stacks", public, parameters, (there,))

    @operation("ListStacks")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Deleted ones too, unless the filter says otherwise."""
        wanted = parameters.get("StackStatusFilter")
        conditions = (Condition("StackStatus", "in", wanted),) if wanted else ()
        with self.database.read() as transaction:
            return _page(transaction, "StackSummaries", _summary, parameters, conditions)


def new_stack(context: Context, name: str, now: float) -> Document:
    """What a stack is before anything is known of it. Raises ValidationError for what can't be a name."""
    if not _NAME.fullmatch(name):
        raise TemplateError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*, of at most 128 characters"
        )
    identity = str(uuid.uuid4())
    return {
        "StackId": f"arn:aws:cloudformation:{context.region}:{context.account}:stack/{name}/{identity}",
        "StackName": name,
        "CreationTime": now,
        "_Stream": f"stack/{identity}",
    }


def place(stack: Mapping[str, Any], context: Context) -> Document:
    """What the engine must know of a new stack."""
    return {"StackId": stack["StackId"], "Name": stack["StackName"], "Region": context.region}


def check_updatable(stack: Mapping[str, Any]) -> None:
    """Raises ValidationError where the status forbids an update."""
    if stack["StackStatus"] not in UPDATABLE:
        raise TemplateError(f"Stack:{stack['StackId']} is in {stack['StackStatus']} state and can not be updated.")


def changed(stack: Mapping[str, Any], told: Mapping[str, Any]) -> Document:
    """The stack with what is told of it from now on; `_Before` is what a rollback brings back."""
    members = ("Parameters", "Tags", "Capabilities", "RoleARN", "Description", "_Body", "_Values", "ChangeSetId")
    kept = {key: value for key, value in stack.items() if key not in members}
    old = {key: stack.get(key) for key in members}
    new = {key: told[key] for key in (*members, "_Plan") if key in told}
    return {**kept, **new, "_Before": old}


def obsolete(transaction: Transaction, stack: Mapping[str, Any], now: float) -> None:
    """What change sets say of the stack is not true any more."""
    query = Query(CHANGE_SET, parent=stack["StackId"], limit=10_000)
    for one in list_resources(transaction, query).documents:
        if one["ExecutionStatus"] == "AVAILABLE":
            changed = {**one, "ExecutionStatus": "OBSOLETE"}
            replace_resource(transaction, CHANGE_SET, one["_Name"], changed, modified=now)


def check_exports_unused(transaction: Transaction, stack: Mapping[str, Any]) -> None:
    """Raises ValidationError naming the stacks that need this one's exports."""
    for output in stack.get("Outputs", []):
        if "ExportName" in output:
            users = importers(transaction, output["ExportName"], but=stack["StackId"])
            if users:
                raise TemplateError(
                    f"Delete canceled. Cannot delete export {output['ExportName']} as it is in use by "
                    f"{', '.join(users)}."
                )


def on_failure(parameters: Mapping[str, Any]) -> str:
    """DO_NOTHING, ROLLBACK or DELETE."""
    return "DO_NOTHING" if parameters.get("DisableRollback") else str(parameters.get("OnFailure", "ROLLBACK"))


def _page(
    transaction: Transaction, member: str, shape: Any, parameters: Mapping[str, Any], conditions: tuple[Condition, ...]
) -> Document:
    query = Query(KIND, limit=100, token=parameters.get("NextToken"), conditions=conditions)
    try:
        page = list_resources(transaction, query)
    except ValidationException as error:
        raise TemplateError(error.message) from None
    answer: Document = {member: [shape(one) for one in page.documents]}
    return answer | ({"NextToken": page.next_token} if page.next_token else {})


def _summary(stack: Mapping[str, Any]) -> Document:
    members = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus")
    summary: Document = {key: stack[key] for key in (*members, "StackStatusReason") if key in stack}
    summary["DriftInformation"] = {"StackDriftStatus": "NOT_CHECKED"}
    return summary | ({"TemplateDescription": stack["Description"]} if "Description" in stack else {})
