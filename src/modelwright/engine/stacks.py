"""Stacks, driven: resources made, changed, deleted by AWS's own calls (`stack_types`), in `lifecycles.stack`'s order.

Name and properties are fixed in the fact `Prepared` before a resource is made, and a name of the user's that is taken
is refused there; so what an act finds to exist was made by itself, before a crash. Endpoints are awaited by their
event streams.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from modelwright.engine import stack_types
from modelwright.engine.behalf import on_behalf_of
from modelwright.engine.stack_kinds import ROWS
from modelwright.engine.stack_shapes import check_shape
from modelwright.engine.stack_types import Read, Row, Unchangeable
from modelwright.engine.values import Call
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, ValidationException
from modelwright.lifecycles import stack as lifecycle
from modelwright.lifecycles.job import Effect, Fact
from modelwright.lifecycles.stack import Item, Stack, Task
from modelwright.store.database import Database, Transaction
from modelwright.store.history import Event
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)
from modelwright.templates.changes import with_stack_tags
from modelwright.templates.functions import Scope, is_open, reduce
from modelwright.templates.parameters import as_text
from modelwright.templates.types import TYPES

KIND, CHANGE_SET = "Stack", "ChangeSet"


class Stacks:
    """The driver of streams of kind `Stack`."""

    kind = KIND

    def __init__(self, *, database: Database, call: Call, now: Callable[[], float], read: Read) -> None:
        """`read` gets an object: the code that a repository begins with."""
        self._read = read
        self._database = database
        self._call = call
        self._now = now
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._asked: set[tuple[str, str]] = set()
        """Deletions that this process has asked for: one that has failed isn't asked for again."""

    def begin(self, stream: str) -> Stack:
        return Stack()

    def apply(self, state: Stack, event: Event) -> Stack:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Stack, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Stack) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Stack) -> bool:
        return bool(state.status) and not state.status.endswith("IN_PROGRESS")

    def recover(self, stream: str, state: Stack) -> None:
        """Nothing is held in memory."""

    def closed(self, stream: str, state: Stack) -> None:
        with self._lock:
            for key in [key for key in self._locks if key[0] == stream]:
                del self._locks[key]

    def record(self, transaction: Transaction, stream: str, state: Stack, events: Sequence[Event]) -> None:
        document = find_resource(transaction, KIND, state.name, lock=True)
        if document is None or document["_Stream"] != stream:
            return
        now = self._now()
        document = {**document, "StackStatus": state.status, "_Resources": list(state.told.values())}
        document.pop("StackStatusReason", None)
        if state.reason:
            document["StackStatusReason"] = state.reason
        if not state.status.endswith("IN_PROGRESS"):
            document["_Plan"] = dict(state.plan)
            document["Outputs"] = [dict(output) for output in state.outputs]
            if state.status.endswith("_COMPLETE"):  # else the rollback may still come
                before = document.pop("_Before", {})
                if state.status == "UPDATE_ROLLBACK_COMPLETE":
                    document = {key: value for key, value in {**document, **before}.items() if value is not None}
            self._tell_change_set(transaction, document, state)
        if state.status == "DELETE_COMPLETE":
            document["DeletionTime"] = now
            for one in list_resources(transaction, Query(CHANGE_SET, parent=state.stack_id, limit=10_000)).documents:
                delete_resource(transaction, CHANGE_SET, one["_Name"])
            delete_resource(transaction, KIND, state.name)
            insert_resource(
                transaction, KIND, state.stack_id, document, created=document["CreationTime"], status=state.status
            )
            return
        replace_resource(transaction, KIND, state.name, document, modified=now, status=state.status)

    def _tell_change_set(self, transaction: Transaction, document: Mapping[str, Any], state: Stack) -> None:
        """Of the change set that was executed, where there was one: how that went."""
        name = document.get("ChangeSetId")
        found = find_resource(transaction, CHANGE_SET, name, lock=True) if name else None
        if name and found is not None and found["ExecutionStatus"] == "EXECUTE_IN_PROGRESS":
            fine = state.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
            changed = {**found, "ExecutionStatus": "EXECUTE_COMPLETE" if fine else "EXECUTE_FAILED"}
            replace_resource(transaction, CHANGE_SET, name, changed, modified=self._now())

    def perform(self, work: Work) -> Sequence[Fact] | None:
        with on_behalf_of(work.state.by):
            return self._perform(work)

    def _perform(self, work: Work) -> Sequence[Fact] | None:
        if work.effect.kind == "outputs":
            return self._outputs(work.state)
        task = work.state.tasks[work.effect.key]
        effects = {
            "prepare": self._prepare,
            "act": self._act,
            "cancel": self._cancel,
            "delete": self._delete,
            "restore": self._restore,
        }
        try:
            return effects[work.effect.kind](work, task)
        except AwsError as error:
            return [self._failed(work, task, error.message)]

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        reason = f"InternalFailure: {type(error).__name__}: {error}"
        if work.effect.kind == "outputs":
            return [("OutputsFailed", {"Reason": reason})]
        return [self._failed(work, work.state.tasks[work.effect.key], reason)]

    # Effects

    def _outputs(self, state: Stack) -> Sequence[Fact]:
        """The outputs' values. No two stacks export the same name, and what another imports stays as it is."""
        try:
            found = _outputs(state)
            with self._database.read() as transaction:
                self._check_exports(transaction, state, found)
        except AwsError as error:
            return [("OutputsFailed", {"Reason": error.message})]
        return [("Outputs", {"Outputs": found})]

    def _check_exports(self, transaction: Transaction, state: Stack, found: Sequence[Mapping[str, Any]]) -> None:
        new = {each["ExportName"]: each["OutputValue"] for each in found if "ExportName" in each}
        old = {each["ExportName"]: each["OutputValue"] for each in state.before_outputs if "ExportName" in each}
        lost = {name for name, value in old.items() if new.get(name) != value}
        for stack in list_resources(transaction, Query(KIND, limit=100_000)).documents:
            if stack["StackId"] == state.stack_id:
                continue
            for name in (each.get("ExportName") for each in stack.get("Outputs", [])):
                if name in new:
                    raise ValidationException(
                        f"Export with name {name} is already exported by stack {stack['StackName']}."
                    )
            used = sorted(lost & set(stack.get("_Plan", {}).get("Imports", [])))
            if used and stack["StackStatus"] != "DELETE_COMPLETE":
                raise ValidationException(f"Cannot update export {used[0]} as it is in use by {stack['StackName']}.")

    def _prepare(self, work: Work, task: Task) -> Sequence[Fact]:
        state: Stack = work.state
        planned = state.plan["Resources"][task.logical]
        kind, row, rules = planned["Type"], ROWS[planned["Type"]], TYPES[planned["Type"]]
        properties = reduce(planned["Properties"], _scope(state))
        properties = dict(with_stack_tags(kind, properties, state.plan.get("Tags", [])))
        if is_open(properties):
            raise ValidationException(f"The properties of {task.logical} name an attribute that its resource has not.")
        old = state.items.get(task.logical)
        if old is not None and old.type != kind:
            raise ValidationException("Update of resource type is not permitted.")
        given = properties.get(rules.name)
        if isinstance(given, list | dict) or given == "":
            raise ValidationException(f"Value of property {rules.name} must be of type String")
        check_shape(kind, properties, tags=rules.tags)
        changed = {
            key
            for key in {*properties, *(old.properties if old else {})}
            if not old or properties.get(key) != old.properties.get(key)
        }
        action = "Create" if old is None or changed & rules.fixed else "Update" if changed else "Keep"
        name = (
            as_text(given)
            if given is not None
            else (_name(state, task) if action == "Create" or old is None else old.name)
        )
        if rules.lower:
            name = name.lower()
        if action == "Create" and old is not None and name == old.name:
            raise ValidationException(
                f"CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {name} "
                "and update the stack again."
            )
        if action == "Create" and given and stack_types.exists(row, self._caller(state), name):
            raise ValidationException(f"{name} already exists")
        data = {"Task": task.key, "Action": action, "Name": name, "Properties": properties, "Type": kind}
        if action != "Keep":
            data["Status"] = "CREATE_IN_PROGRESS" if old is None else "UPDATE_IN_PROGRESS"
            data["Physical"] = old.physical if old is not None else ""
        return [("Prepared", data)]

    def _act(self, work: Work, task: Task) -> Sequence[Fact] | None:
        state: Stack = work.state
        item = task.item
        assert item is not None
        row, act = ROWS[item.type], self._caller(state)
        with self._of(work):
            if not work.owed():
                return []
            if task.action == "Create":
                stack_types.create(row, act, item.name, item.properties, state.region, self._read)
            else:
                asking = self._change(work, row, task)
                if asking is None or asking:
                    return asking
        return self._finish(work, task, row, item, "CREATE" if task.old is None else "UPDATE")

    def _restore(self, work: Work, task: Task) -> Sequence[Fact] | None:
        assert task.item is not None
        row = ROWS[task.item.type]
        with suppress(Unchangeable):  # then it was refused on the way here too
            asking = self._change(work, row, task)
            if asking is None or asking:
                return asking
        return self._finish(work, task, row, task.item, "UPDATE")

    def _change(self, work: Work, row: Row, task: Task) -> Sequence[Fact] | None:
        """Ask for the change, once: what is changed some time later may be rolled back by itself meanwhile.

        So it is written down first how many requests the resource has heard; more of them mean that ours was heard.
        None: it is busy, with our change or another. What it is when that is over is asked then, not read into what a
        second look finds now.
        """
        item, old = task.item, task.old
        assert item is not None
        assert old is not None
        act, before = self._caller(work.state), old.properties
        if row.waits:
            found = self._watched(work, row, item.name)
            if found[row.waits.status] not in row.waits.good:
                return [] if found[row.waits.status] in row.waits.bad else None
            compared = row.waits.compared
            if compared and all(found.get(name) == item.properties.get(name) for name in compared):
                before = {**item.properties, "Tags": before.get("Tags", [])}
            elif compared:
                heard = found.get("_Requests", 0)
                if task.since is None:
                    return [("Asking", {"Task": task.key, "Since": heard})]
                if heard != task.since:
                    return []
        stack_types.update(row, act, item.name, before, item.properties)
        return []

    def _finish(self, work: Work, task: Task, row: Row, item: Item, verb: str) -> Sequence[Fact] | None:
        state: Stack = work.state
        found = (
            self._watched(work, row, item.name)
            if row.waits
            else stack_types.describe(row, self._caller(state), item.name)
        )
        if row.waits:
            status = found[row.waits.status]
            if status in row.waits.bad:
                raise ValidationException(row.waits.reason(found) or f"{item.name} has failed.")
            if status not in row.waits.good:
                return None
            if any(key in item.properties and found.get(key) != item.properties[key] for key in row.waits.compared):
                raise ValidationException(row.waits.reason(found) or f"The update of {item.name} was rolled back.")
        account = state.stack_id.split(":")[4]
        values = stack_types.values(row, found, item.name, state.region, account)
        data = {"Task": task.key, "Physical": values["Ref"], "Values": values, "Type": item.type}
        return [("Made", {**data, "Status": f"{verb}_COMPLETE"})]

    def _cancel(self, work: Work, task: Task) -> Sequence[Fact]:
        with self._of(work):
            verb = "creation" if task.old is None else "update"
            return [self._failed(work, task, f"Resource {verb} cancelled")]

    def _delete(self, work: Work, task: Task) -> Sequence[Fact] | None:
        item = task.item
        assert item is not None
        row, act = ROWS[item.type], self._caller(work.state)
        if row.waits is None:
            stack_types.delete(row, act, item.name, item.properties)
        elif stack_types.exists(row, act, item.name) and not self._deleted(work, row, item):
            return None
        physical = item.physical or item.name
        return [("Gone", {"Task": task.key, "Status": "DELETE_COMPLETE", "Type": item.type, "Physical": physical})]

    def _deleted(self, work: Work, row: Row, item: Item) -> bool:
        """Ask for its deletion, once it can be asked for. Whether it is gone."""
        assert row.waits is not None
        act, key = self._caller(work.state), (work.stream, work.effect.key)
        try:
            found = self._watched(work, row, item.name)
        except AwsError as error:
            if stack_types.matches(error, stack_types.GONE):
                return True
            raise
        status = found[row.waits.status]
        if status in row.waits.bad and key in self._asked:
            raise ValidationException(row.waits.reason(found) or f"{item.name} could not be deleted.")
        if status not in (*row.waits.deleting, *row.waits.undeletable):
            stack_types.delete(row, act, item.name, item.properties)
            self._asked.add(key)
        return not stack_types.exists(row, act, item.name)

    def _watched(self, work: Work, row: Row, name: str) -> dict[str, Any]:
        """What Describe says; the effect is performed again when that changes."""
        act = self._caller(work.state)
        work.resume_on(stack_types.describe(row, act, name)["_Stream"])
        return stack_types.describe(row, act, name)

    def _failed(self, work: Work, task: Task, reason: str) -> Fact:
        state: Stack = work.state
        kind = task.item.type if task.item else state.plan["Resources"][task.logical]["Type"]
        old = task.old or state.items.get(task.logical)
        verb = "DELETE" if task.verb == "Delete" else "UPDATE" if task.verb == "Restore" or old else "CREATE"
        known = task.item or old
        physical = (known.physical or known.name) if known else ""
        data = {"Task": task.key, "Status": f"{verb}_FAILED", "Reason": reason, "Type": kind, "Physical": physical}
        return ("Failed", data)

    def _caller(self, state: Stack) -> stack_types.Act:
        return lambda service, operation, parameters: self._call(state.region, service, operation, parameters)

    def _of(self, work: Work) -> threading.Lock:
        """An act and its cancellation exclude each other."""
        with self._lock:
            return self._locks.setdefault((work.stream, work.effect.key), threading.Lock())


def _name(state: Stack, task: Task) -> str:
    """`stack-logical id-suffix`, the same whenever it is asked for."""
    planned = state.plan["Resources"][task.logical]
    tail = hashlib.sha256(f"{state.stack_id}/{task.key}".encode()).hexdigest()[:12].upper()
    room = TYPES[planned["Type"]].limit - len(tail) - 1
    return f"{f'{state.name}-{task.logical}'[:room].rstrip('-')}-{tail}"


def _scope(state: Stack) -> Scope:
    done = {name: item.values for name, item in state.items.items()}
    return Scope(
        names={name: values["Ref"] for name, values in done.items() if values},
        attributes={(name, key): value for name, values in done.items() for key, value in values.items()},
    )


def _outputs(state: Stack) -> list[dict[str, Any]]:
    found = []
    for key, output in state.plan["Outputs"].items():
        made: Mapping[str, Any] = reduce(output, _scope(state))
        if is_open(made):
            raise ValidationException(f"The output {key} names an attribute that its resource has not.")
        if isinstance(made["Value"], list | dict):
            raise ValidationException(
                f"Template format error: The Value field of every Outputs member must evaluate to a String: see {key}."
            )
        one = {"OutputKey": key, "OutputValue": as_text(made["Value"])}
        if made.get("Description"):
            one["Description"] = made["Description"]
        if made.get("Export"):
            name = made["Export"]["Name"]
            if isinstance(name, list | dict) or name in ("", None):
                raise ValidationException(f"Template format error: the export's name of the output {key} is no string.")
            one["ExportName"] = as_text(name)
        found.append(one)
    return found
