"""Change sets: what an update would do, before it does it.

All that is needed is known when one is made, so it is complete at once; executing it asks the engine for what was
planned then. A stack that a change set creates is in REVIEW_IN_PROGRESS until that is executed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from modelwright.errors import AwsError
from modelwright.services.cloudformation.base import (
    CHANGE_SET,
    KIND,
    LEASE_SECONDS,
    REQUEST_MEMBERS,
    CloudFormation,
    Read,
    about,
    find_stack,
    look,
    page_of,
    public,
    request_of,
)
from modelwright.services.cloudformation.settling import Settling
from modelwright.services.cloudformation.stacks import changed, check_updatable, new_stack, place
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store.database import Database, Transaction
from modelwright.store.history import Event, History
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_by_arn,
    find_resource,
    insert_resource,
    list_resources,
)
from modelwright.templates import changes
from modelwright.templates.problems import TemplateError

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_IMPORT = "There is no importing here: give the ChangeSetType CREATE or UPDATE."
CREATE_MEMBERS: Table = {
    **REQUEST_MEMBERS,
    "ChangeSetName": HONOURED,
    "ChangeSetType": refused(_IMPORT, "CREATE", "UPDATE"),
    "UsePreviousTemplate": HONOURED,
    "ClientToken": HONOURED,
    "Description": HONOURED,
    "OnStackFailure": HONOURED,
    "IncludeNestedStacks": refused("There are no nested stacks here.", False),
    "ResourcesToImport": refused(_IMPORT, []),
    "ImportExistingResources": refused(_IMPORT, False),
}
EXECUTE_MEMBERS: Table = {
    "ChangeSetName": HONOURED,
    "StackName": HONOURED,
    "ClientRequestToken": HONOURED,
    "DisableRollback": HONOURED,
    "RetainExceptOnCreate": refused("Give the resources the DeletionPolicy RetainExceptOnCreate.", False),
}
DESCRIBE_MEMBERS: Table = {
    "ChangeSetName": HONOURED,
    "StackName": HONOURED,
    "NextToken": HONOURED,
    "IncludePropertyValues": refused("Compare the templates: GetTemplate.", False),
}
_EMPTY: Mapping[str, Any] = {"Resources": {}, "Outputs": {}, "Tags": []}


class ChangeSets(CloudFormation):
    """CreateChangeSet and what belongs to it."""

    def __init__(self, *, database: Database, history: History, now: Callable[[], float], read: Read) -> None:
        super().__init__(database=database, history=history, now=now, read=read)
        self._settling = Settling(history)

    @operation("CreateChangeSet", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationError for a template that can't be, AlreadyExistsException for a name that is taken."""
        now, name = self.now(), parameters["ChangeSetName"]
        creating = parameters.get("ChangeSetType", "UPDATE") == "CREATE"
        with self.database.write() as transaction:
            stack = look(transaction, parameters["StackName"])
            stack = None if stack is not None and stack["StackStatus"] == "DELETE_COMPLETE" else stack
            if stack is not None:
                present = find_resource(transaction, CHANGE_SET, _key(stack, name))
                if present is not None:
                    if "ClientToken" in parameters and present["_Token"] == parameters["ClientToken"]:
                        return {"Id": present["ChangeSetId"], "StackId": stack["StackId"]}
                    raise AwsError(f"ChangeSet {name} already exists", code="AlreadyExistsException")
            stack = self._stack(transaction, context, stack, parameters, now, creating=creating)
            body, template = self.template(parameters, stack.get("_Body"))
            made = self.plan(transaction, context, template, parameters, stack)
            before = stack.get("_Plan", _EMPTY)
            found = changes.changes(before, made, _physical(stack))
            fine = changes.is_changed(before, made)
            arn = f"arn:aws:cloudformation:{context.region}:{context.account}:changeSet/{name}/{uuid.uuid4()}"
            told = about(parameters, template, made, body)
            document: Document = {
                "ChangeSetName": name,
                "ChangeSetId": arn,
                "StackId": stack["StackId"],
                "StackName": stack["StackName"],
                "CreationTime": now,
                "Status": "CREATE_COMPLETE" if fine else "FAILED",
                "ExecutionStatus": "AVAILABLE" if fine else "UNAVAILABLE",
                "_Name": _key(stack, name),
                "_Token": parameters.get("ClientToken"),
                "_Type": "CREATE" if creating else "UPDATE",
                "_By": list(context.actors),
                "_Changes": found,
                **{key: value for key, value in told.items() if key != "Description"},
            }
            document |= {key: parameters[key] for key in ("Description", "OnStackFailure") if key in parameters}
            if template.description:
                document["_Description"] = template.description
            if not fine:
                document["StatusReason"] = NO_CHANGES
            insert_resource(
                transaction, CHANGE_SET, document["_Name"], document, created=now, arn=arn, parent=stack["StackId"]
            )
        return {"Id": arn, "StackId": stack["StackId"]}

    def _stack(
        self,
        transaction: Transaction,
        context: Context,
        stack: Document | None,
        parameters: Mapping[str, Any],
        now: float,
        *,
        creating: bool,
    ) -> Document:
        """The stack that the change set is for, begun where it is the first thing of it."""
        wanted = parameters["StackName"]
        if not creating:
            if stack is None:
                raise TemplateError(f"Stack [{wanted}] does not exist")
            check_updatable(stack)
            return stack
        if parameters.get("UsePreviousTemplate"):
            raise TemplateError("A change set that creates a stack has no previous template to use.")
        if stack is not None:
            if stack["StackStatus"] != "REVIEW_IN_PROGRESS":
                raise TemplateError(
                    f"Stack [{stack['StackName']}] already exists and cannot be created again with the changeSet "
                    f"[{parameters['ChangeSetName']}]."
                )
            return stack
        stack = {**new_stack(context, wanted, now), "StackStatus": "REVIEW_IN_PROGRESS"}
        stack |= {"StackStatusReason": "User Initiated", "EnableTerminationProtection": False}
        insert_resource(
            transaction, KIND, wanted, stack, created=now, arn=stack["StackId"], status="REVIEW_IN_PROGRESS"
        )
        event = Event("ReviewRequested", place(stack, context), now)
        self.history.open(transaction, stack["_Stream"], KIND, [event], lease_until=now + LEASE_SECONDS)
        return stack

    @operation("DescribeChangeSet", members=DESCRIBE_MEMBERS)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            found = find_change_set(transaction, parameters)
        return {**public(found), **page_of("Changes", found["_Changes"], parameters.get("NextToken"))}

    @operation("ListChangeSets")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            stack = find_stack(transaction, parameters["StackName"])
            query = Query(CHANGE_SET, parent=stack["StackId"], limit=10_000)
            found = list_resources(transaction, query).documents
        members = ("StackId", "StackName", "ChangeSetId", "ChangeSetName", "ExecutionStatus", "Status")
        more = ("StatusReason", "CreationTime", "Description")
        summaries = [{key: one[key] for key in (*members, *more) if key in one} for one in found]
        return page_of("Summaries", summaries, parameters.get("NextToken"))

    @operation("DeleteChangeSet")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """One that there is not is no error. Raises InvalidChangeSetStatus for one that is being executed."""
        with self.database.write() as transaction:
            try:
                found = find_change_set(transaction, parameters)
            except AwsError as error:
                if error.code != "ChangeSetNotFound":
                    raise
                return {}
            if found["ExecutionStatus"] == "EXECUTE_IN_PROGRESS":
                raise _wrong_status(found, "deleted", "EXECUTE_IN_PROGRESS")
            delete_resource(transaction, CHANGE_SET, found["_Name"])
        return {}

    @operation("ExecuteChangeSet", members=EXECUTE_MEMBERS)
    def execute(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises InvalidChangeSetStatus for one that failed, was executed, or that the stack has left behind."""
        now = self.now()
        with self.database.write() as transaction:
            found = find_change_set(transaction, parameters)
            if found["ExecutionStatus"] != "AVAILABLE":
                status = found["Status"] if found["Status"] == "FAILED" else found["ExecutionStatus"]
                raise _wrong_status(found, "executed", status)
            if "DisableRollback" in parameters and "OnStackFailure" in found:
                raise TemplateError("The change set has an OnStackFailure: leave DisableRollback out.")
            stack = find_stack(transaction, found["StackId"])
            creating = found["_Type"] == "CREATE"
            if not creating:
                check_updatable(stack)
            elif stack["StackStatus"] != "REVIEW_IN_PROGRESS":
                raise TemplateError(f"Stack:{stack['StackId']} is in {stack['StackStatus']} state.")
            failing = "DO_NOTHING" if parameters.get("DisableRollback") else found.get("OnStackFailure", "ROLLBACK")
            told = {key: value for key, value in found.items() if key != "Description"}
            if "_Description" in found:
                told["Description"] = found["_Description"]
            document = {**changed(stack, told), "DisableRollback": failing == "DO_NOTHING"}
            data = {"Plan": found["_Plan"], "OnFailure": failing, **request_of(context, parameters)}
            data["By"] = [*found.get("_By", []), *data["By"]]
            self._take(transaction, found, now)
            if creating:
                data |= place(stack, context) | {"Region": stack["StackId"].split(":")[3]}
                self.request(transaction, document, "CreateRequested", data, "CREATE_IN_PROGRESS")
            else:
                document["LastUpdatedTime"] = now
                self.request(transaction, document, "UpdateRequested", data, "UPDATE_IN_PROGRESS")
        if context.source == "http":
            self._settling.wait(stack["_Stream"], lambda: self._is_settled(stack["StackId"]))
        return {}

    def _is_settled(self, identity: str) -> bool:
        with self.database.read() as transaction:
            return not str(find_stack(transaction, identity)["StackStatus"]).endswith("IN_PROGRESS")

    def _take(self, transaction: Transaction, found: Document, now: float) -> None:
        """It is the stack's last now, under its id alone; the others are of a stack that was."""
        for one in list_resources(transaction, Query(CHANGE_SET, parent=found["StackId"], limit=10_000)).documents:
            delete_resource(transaction, CHANGE_SET, one["_Name"])
        executed = {**found, "ExecutionStatus": "EXECUTE_IN_PROGRESS", "_Name": found["ChangeSetId"]}
        insert_resource(
            transaction,
            CHANGE_SET,
            executed["_Name"],
            executed,
            created=found["CreationTime"],
            arn=found["ChangeSetId"],
        )


def find_change_set(transaction: Transaction, parameters: Mapping[str, Any]) -> Document:
    """By its id, or by its name and its stack's. Raises ChangeSetNotFound; ValidationError where there is no stack."""
    name = parameters["ChangeSetName"]
    if name.startswith("arn:"):
        by_arn = find_by_arn(transaction, name)
        found = by_arn[2] if by_arn is not None and by_arn[0] == CHANGE_SET else None
    elif "StackName" not in parameters:
        raise TemplateError("StackName must be specified if ChangeSetName is not specified as an ARN.")
    else:
        stack = look(transaction, parameters["StackName"])
        if stack is None:
            raise TemplateError(f"Stack [{parameters['StackName']}] does not exist")
        found = find_resource(transaction, CHANGE_SET, _key(stack, name), lock=True)
    if found is None:
        raise AwsError(f"ChangeSet [{name}] does not exist", code="ChangeSetNotFound", status=404)
    return found


def _key(stack: Mapping[str, Any], name: str) -> str:
    return f"{stack['StackId']}/{name}"


def _physical(stack: Mapping[str, Any]) -> dict[str, str]:
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in stack.get("_Resources", [])}


def _wrong_status(found: Mapping[str, Any], what: str, status: str) -> AwsError:
    return AwsError(
        f"ChangeSet [{found['ChangeSetId']}] cannot be {what} in its current status of [{status}]",
        code="InvalidChangeSetStatus",
    )
