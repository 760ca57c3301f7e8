"""A stack as a state machine: facts -> state -> what follows, and what is still owed. Pure.

A stage is a status ending in IN_PROGRESS with tasks, one a resource, each after others:

    Apply:   Waiting ──Prepared──▶ Ready ──Made──▶ Done          (or Failed; Kept where nothing changes)
    Delete, Restore: Waiting ──Begun──▶ Ready ──Gone | Made──▶ Done

`Prepared` fixes name and properties before anything is made, so that an act can be repeated. When one task of an
Apply stage fails, no other begins, those under way are cancelled, and the stack rolls back: what was made is deleted,
what was changed is changed back. Facts from outside: `CreateRequested`, `UpdateRequested`, `DeleteRequested`,
`ContinueRequested`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelwright.lifecycles.job import Effect, Fact

Verb = Literal["Apply", "Delete", "Restore"]
Phase = Literal["Waiting", "Ready", "Done", "Failed"]


@dataclass(frozen=True)
class Item:
    """A resource that there is, or may be."""

    logical: str
    type: str
    name: str
    properties: Mapping[str, Any]
    after: tuple[str, ...] = ()
    physical: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Ref and attributes."""
    retain: bool = False
    retain_replaced: bool = False
    metadata: Any = None


@dataclass(frozen=True)
class Task:
    key: str
    logical: str
    verb: Verb
    after: tuple[str, ...] = ()
    phase: Phase = "Waiting"
    item: Item | None = None
    old: Item | None = None
    action: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Stack:
    """What is known of a stack."""

    status: str = ""
    reason: str = ""
    region: str = ""
    stack_id: str = ""
    name: str = ""
    on_failure: str = "ROLLBACK"
    plan: Mapping[str, Any] = field(default_factory=dict)
    before_plan: Mapping[str, Any] = field(default_factory=dict)
    items: Mapping[str, Item] = field(default_factory=dict)
    before: Mapping[str, Item] = field(default_factory=dict)
    made: tuple[Item, ...] = ()
    """By this operation."""
    changed: tuple[str, ...] = ()
    """In place, by this operation."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What DescribeStackResources says, by logical id."""
    serial: int = 0
    keep: frozenset[str] = frozenset()
    modified: float = 0.0


def apply(stack: Stack, kind: str, data: Mapping[str, Any], time: float) -> Stack:
    """The state after one more fact."""
    stack = replace(stack, modified=time)
    match kind:
        case "CreateRequested":
            about = {key.lower(): data[key] for key in ("Region", "Name")}
            stack = replace(
                stack, **about, stack_id=data["StackId"], on_failure=data["OnFailure"], plan=data["Plan"], made=()
            )
            return _stage(stack, "CREATE_IN_PROGRESS", "User Initiated")
        case "UpdateRequested":
            stack = replace(
                stack, before=stack.items, before_plan=stack.plan, plan=data["Plan"], made=(), changed=(),
                on_failure=data["OnFailure"],
            )  # fmt: skip
            return _stage(stack, "UPDATE_IN_PROGRESS", "User Initiated")
        case "DeleteRequested":
            return _stage(replace(stack, keep=frozenset(data["Retain"])), "DELETE_IN_PROGRESS", "User Initiated")
        case "ContinueRequested":
            changed = tuple(name for name in stack.changed if name not in data["Skip"])
            return _stage(replace(stack, changed=changed), "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        case "Status":
            return _stage(stack, data["Status"], data["Reason"])
        case _ if data.get("Task") in stack.tasks:
            return _task(stack, stack.tasks[data["Task"]], kind, data, time)
        case _:
            return stack


def _stage(stack: Stack, status: str, reason: str) -> Stack:
    stack = replace(stack, status=status, reason=reason)
    match status:
        case "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS":
            return _tasks(stack, [Task("", name, "Apply", tuple(one["After"])) for name, one in _planned(stack)])
        case "ROLLBACK_IN_PROGRESS":
            return _deletes(replace(stack, items={}), stack.made)
        case "DELETE_IN_PROGRESS":
            there = [one for one in (*stack.items.values(), *stack.made) if one.logical not in stack.keep]
            unique = {(one.type, one.name): one for one in there if not one.retain}
            return _deletes(stack, tuple(unique.values()))
        case "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
            now = {(one.type, one.name) for one in stack.items.values()}
            gone = [one for one in stack.before.values() if (one.type, one.name) not in now]
            items = stack.items
            return _deletes(
                replace(stack, made=()),
                tuple(one for one in gone if not (one.retain_replaced if one.logical in items else one.retain)),
            )
        case "UPDATE_ROLLBACK_IN_PROGRESS":
            restores = [
                Task("", name, "Restore", stack.before[name].after, item=stack.before[name], old=stack.items.get(name))
                for name in stack.changed
            ]
            stack = replace(stack, items=stack.before, plan=stack.before_plan)
            return _tasks(stack, restores)
        case "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS":
            return _deletes(stack, stack.made)
        case "DELETE_COMPLETE" | "ROLLBACK_COMPLETE":
            return replace(stack, items={}, made=(), tasks={})
        case "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE":
            return replace(stack, made=(), changed=(), tasks={})
        case _:
            return replace(stack, tasks={})


def _planned(stack: Stack) -> list[tuple[str, Mapping[str, Any]]]:
    return list(stack.plan["Resources"].items())


def _tasks(stack: Stack, tasks: list[Task]) -> Stack:
    serial = stack.serial + 1
    keyed = [replace(task, key=f"{serial}.{place}/{task.logical}") for place, task in enumerate(tasks)]
    return replace(stack, serial=serial, tasks={task.key: task for task in keyed})


def _deletes(stack: Stack, items: tuple[Item, ...]) -> Stack:
    """Each after those that need it."""
    return _tasks(
        stack,
        [
            Task("", one.logical, "Delete", tuple(o.logical for o in items if one.logical in o.after), item=one)
            for one in items
        ],
    )


def _task(stack: Stack, task: Task, kind: str, data: Mapping[str, Any], time: float) -> Stack:
    item = task.item
    match kind:
        case "Prepared":
            planned = stack.plan["Resources"][task.logical]
            item = Item(
                logical=task.logical,
                type=planned["Type"],
                name=data["Name"],
                properties=data["Properties"],
                after=tuple(planned["After"]),
                retain=planned["DeletionPolicy"] == "Retain",
                retain_replaced=planned["UpdateReplacePolicy"] == "Retain",
                metadata=planned.get("Metadata"),
            )
            task = replace(task, phase="Ready", item=item, old=stack.items.get(task.logical), action=data["Action"])
            if data["Action"] == "Create":
                stack = replace(stack, made=(*stack.made, item))
            elif data["Action"] == "Update":
                stack = replace(stack, changed=(*stack.changed, task.logical))
            else:  # Keep: nothing of it changes but what the template says about it
                old = stack.items[task.logical]
                item = replace(item, physical=old.physical, values=old.values)
                stack = replace(stack, items={**stack.items, task.logical: item})
                task = replace(task, phase="Done")
        case "Begun":
            task = replace(task, phase="Ready")
        case "Made":
            assert item is not None
            item = replace(item, physical=data["Physical"], values=data["Values"])
            task = replace(task, phase="Done", item=item)
            made = tuple(item if (o.type, o.name) == (item.type, item.name) else o for o in stack.made)
            stack = replace(stack, items={**stack.items, task.logical: item}, made=made)
        case "Gone":
            task = replace(task, phase="Done")
            items = {
                name: o for name, o in stack.items.items() if item is None or (o.type, o.name) != (item.type, item.name)
            }
            stack = replace(stack, items=items)
        case "Failed":
            task = replace(task, phase="Failed", reason=data["Reason"])
    if "Status" in data:
        told = {
            "LogicalResourceId": task.logical,
            "PhysicalResourceId": data.get("Physical", ""),
            "ResourceType": data["Type"],
            "ResourceStatus": data["Status"],
            "ResourceStatusReason": data.get("Reason", ""),
            "Timestamp": time,
        }
        stack = replace(stack, told={**stack.told, task.logical: told})
    return replace(stack, tasks={**stack.tasks, task.key: task})


# What follows


def decide(stack: Stack) -> list[Fact]:
    """Facts that follow from the state alone."""
    if not stack.status.endswith("IN_PROGRESS") or stack.status == "REVIEW_IN_PROGRESS":
        return []
    tasks = list(stack.tasks.values())
    failed = [task for task in tasks if task.phase == "Failed"]
    if stack.status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
        if failed:
            return [] if any(task.phase == "Ready" for task in tasks) else [_after_failure(stack, failed)]
        if all(task.phase == "Done" for task in tasks):
            done = {"CREATE_IN_PROGRESS": "CREATE_COMPLETE"}.get(stack.status, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            return [_status(done)]
        return []
    begun: list[Fact] = []
    for task in tasks:
        if task.phase == "Waiting" and _free(stack, task):
            item = task.item
            assert item is not None
            status = "DELETE_IN_PROGRESS" if task.verb == "Delete" else "UPDATE_IN_PROGRESS"
            about = {"Type": item.type, "Physical": item.physical or item.name}
            begun.append(("Begun", {"Task": task.key, "Status": status, **about}))
    if begun or any(task.phase == "Ready" for task in tasks):
        return begun
    names = ", ".join(sorted(task.logical for task in failed))
    ok, bad = {
        "ROLLBACK_IN_PROGRESS": ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"),
        "DELETE_IN_PROGRESS": ("DELETE_COMPLETE", "DELETE_FAILED"),
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": ("UPDATE_COMPLETE", "UPDATE_COMPLETE"),
        "UPDATE_ROLLBACK_IN_PROGRESS": ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"),
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"),
    }[stack.status]
    verb = "update" if bad == "UPDATE_ROLLBACK_FAILED" else "delete"
    return [_status(bad, f"The following resource(s) failed to {verb}: [{names}]. ") if failed else _status(ok)]


def _after_failure(stack: Stack, failed: list[Task]) -> Fact:
    creating = stack.status == "CREATE_IN_PROGRESS"
    text = ""
    for verb, chosen in (
        ("create", [task for task in failed if task.action != "Update"]),
        ("update", [task for task in failed if task.action == "Update"]),
    ):
        if chosen:
            text += f"The following resource(s) failed to {verb}: [{', '.join(sorted(t.logical for t in chosen))}]. "
    if stack.on_failure == "DO_NOTHING":
        return _status("CREATE_FAILED" if creating else "UPDATE_FAILED", text)
    if not creating:
        return _status("UPDATE_ROLLBACK_IN_PROGRESS", text)
    if stack.on_failure == "DELETE":
        return _status("DELETE_IN_PROGRESS", f"{text}Delete requested by user.")
    return _status("ROLLBACK_IN_PROGRESS", f"{text}Rollback requested by user.")


def _status(status: str, reason: str = "") -> Fact:
    return ("Status", {"Status": status, "Reason": reason})


def _free(stack: Stack, task: Task) -> bool:
    """Whether all that comes before it is done."""
    first = {other.logical: other.phase for other in stack.tasks.values()}
    return all(first.get(name, "Done") == "Done" for name in task.after)


def outstanding(stack: Stack) -> list[Effect]:
    """Effects still owed; an effect's key is its task's."""
    tasks = list(stack.tasks.values())
    failed = any(task.verb == "Apply" and task.phase == "Failed" for task in tasks)
    effects = []
    for task in tasks:
        if task.verb == "Apply" and failed:
            if task.phase == "Ready":
                effects.append(Effect("cancel", task.key))
        elif task.phase == "Ready":
            effects.append(Effect({"Apply": "act", "Delete": "delete", "Restore": "restore"}[task.verb], task.key))
        elif task.phase == "Waiting" and task.verb == "Apply" and _free(stack, task):
            effects.append(Effect("prepare", task.key))
    return effects
