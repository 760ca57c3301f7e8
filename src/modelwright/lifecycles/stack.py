"""A stack as a state machine: facts -> state -> what follows, and what is still owed. Pure.

A stage is a status ending in IN_PROGRESS with tasks, one a resource, each after others:

    Apply:   Waiting ──Prepared──▶ Ready ──Made──▶ Done          (or Failed; Kept where nothing changes)
    Delete, Restore: Waiting ──Begun──▶ Ready ──Gone | Made──▶ Done         (or Skipped: what is to be retained)

`Prepared` fixes name and properties before anything is made, so that an act can be repeated. When all of an Apply
stage is done the outputs are told (`Outputs`), and the stack is complete. When one task fails, or the outputs can't be
told, no other begins, those under way are cancelled, and the stack rolls back: what was made is deleted, what was
changed is changed back. So it is when an update is cancelled; a deletion during a creation cancels what is under way,
and goes on when that has come to rest. Facts from outside: `ReviewRequested`, `CreateRequested`, `UpdateRequested`,
`DeleteRequested`, `CancelRequested`, `ContinueRequested`, `RollbackRequested`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelwright.lifecycles.job import Effect, Fact

Verb = Literal["Apply", "Delete", "Restore"]
Phase = Literal["Waiting", "Ready", "Done", "Failed"]
CANCELLED = "User Initiated"


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
    retain_made: bool = False
    """Also when the creation that has made it is rolled back."""
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
    skip: bool = False
    """Of a Delete: it is to be retained."""
    since: int | None = None
    """Of what changes some time after it was asked for: how many requests its resource had heard before ours."""


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
    changed: Mapping[str, Item] = field(default_factory=dict)
    """What this operation has brought, or tried to bring, to a state that a rollback must take back."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What DescribeStackResources says, by logical id."""
    serial: int = 0
    keep: frozenset[str] = frozenset()
    outputs: tuple[Mapping[str, Any], ...] = ()
    before_outputs: tuple[Mapping[str, Any], ...] = ()
    resolved: bool = False
    """Whether the outputs are this operation's."""
    problem: str = ""
    """Why the outputs can't be told, or the update that runs was cancelled."""
    modified: float = 0.0
    by: tuple[str, ...] = ()
    """The ARNs of all who have asked for something of this stack: what is in it may be anybody's of them."""


def apply(stack: Stack, kind: str, data: Mapping[str, Any], time: float) -> Stack:
    """The state after one more fact."""
    stack = replace(stack, modified=time, by=tuple(dict.fromkeys((*stack.by, *data.get("By", ())))))
    match kind:
        case "ReviewRequested":
            return replace(_about(stack, data), status="REVIEW_IN_PROGRESS", reason="User Initiated")
        case "CreateRequested":
            stack = replace(_about(stack, data), on_failure=data["OnFailure"], plan=data["Plan"], made=())
            return _stage(stack, "CREATE_IN_PROGRESS", "User Initiated")
        case "UpdateRequested":
            stack = replace(
                stack, before=stack.items, before_plan=stack.plan, before_outputs=stack.outputs, plan=data["Plan"],
                made=(), changed={}, on_failure=data["OnFailure"],
            )  # fmt: skip
            return _stage(stack, "UPDATE_IN_PROGRESS", "User Initiated")
        case "DeleteRequested":
            stack = replace(stack, keep=frozenset(data["Retain"]), reason="User Initiated")
            if any(task.phase == "Ready" and task.verb == "Apply" for task in stack.tasks.values()):
                return replace(stack, status="DELETE_IN_PROGRESS")
            return _stage(stack, "DELETE_IN_PROGRESS", "User Initiated")
        case "Drained":
            return _stage(stack, "DELETE_IN_PROGRESS", "User Initiated")
        case "CancelRequested":
            return replace(stack, problem=CANCELLED)
        case "ContinueRequested":
            changed = {name: item for name, item in stack.changed.items() if name not in data["Skip"]}
            stack = replace(stack, changed=changed, told=_skipped(stack, data["Skip"]))
            return _stage(stack, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        case "RollbackRequested":
            creating = stack.status == "CREATE_FAILED"
            return _stage(
                stack, "ROLLBACK_IN_PROGRESS" if creating else "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated"
            )
        case "Outputs":
            return replace(stack, outputs=tuple(data["Outputs"]), resolved=True)
        case "OutputsFailed":
            return replace(stack, problem=data["Reason"])
        case "Status":
            return _stage(stack, data["Status"], data["Reason"])
        case _ if data.get("Task") in stack.tasks:
            return _task(stack, stack.tasks[data["Task"]], kind, data, time)
        case _:
            return stack


def _about(stack: Stack, data: Mapping[str, Any]) -> Stack:
    return replace(stack, region=data["Region"], name=data["Name"], stack_id=data["StackId"])


def _skipped(stack: Stack, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """What is told of resources that a rollback is to leave as they are."""
    about = {"ResourceStatus": "UPDATE_COMPLETE", "ResourceStatusReason": "", "Timestamp": stack.modified}
    return {**stack.told, **{name: {**stack.told[name], **about} for name in names if name in stack.told}}


def _stage(stack: Stack, status: str, reason: str) -> Stack:
    stack = replace(stack, status=status, reason=reason)
    match status:
        case "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS":
            stack = replace(stack, resolved=False, problem="")
            return _tasks(stack, [Task("", name, "Apply", tuple(one["After"])) for name, one in _planned(stack)])
        case "ROLLBACK_IN_PROGRESS":
            made = stack.made
            return _deletes(replace(stack, items={}, outputs=()), made, [one for one in made if one.retain_made])
        case "DELETE_IN_PROGRESS":
            there = (*stack.items.values(), *stack.made, *stack.before.values())
            unique = tuple({(one.type, one.name): one for one in there}.values())
            return _deletes(stack, unique, [one for one in unique if one.retain or one.logical in stack.keep])
        case "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
            stack = replace(stack, items={name: stack.items[name] for name, _ in _planned(stack)})
            now = {(one.type, one.name) for one in stack.items.values()}
            gone = tuple(one for one in stack.before.values() if (one.type, one.name) not in now)
            items = stack.items
            kept = [one for one in gone if (one.retain_replaced if one.logical in items else one.retain)]
            return _deletes(replace(stack, made=()), gone, kept)
        case "UPDATE_ROLLBACK_IN_PROGRESS":
            restores = [
                Task("", name, "Restore", stack.before[name].after, item=stack.before[name], old=tried)
                for name, tried in stack.changed.items()
            ]
            stack = replace(stack, items=stack.before, plan=stack.before_plan, outputs=stack.before_outputs)
            return _tasks(stack, restores)
        case "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS":
            return _deletes(stack, stack.made)
        case "DELETE_COMPLETE" | "ROLLBACK_COMPLETE":
            return replace(stack, items={}, before={}, made=(), tasks={}, outputs=())
        case "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE":
            return replace(stack, before={}, made=(), changed={}, tasks={}, told=_of_items(stack))
        case _:
            return replace(stack, tasks={})


def _of_items(stack: Stack) -> Mapping[str, Mapping[str, Any]]:
    """What is told of the resources that there are: not of one that was replaced, or of an attempt."""
    told = {}
    for name, item in stack.items.items():
        about = stack.told.get(name, {})
        if about.get("PhysicalResourceId") != item.physical or not about["ResourceStatus"].endswith("_COMPLETE"):
            about = _told(name, item.physical, item.type, "UPDATE_COMPLETE", "", stack.modified)
        told[name] = about
    return told


def _told(logical: str, physical: str, kind: str, status: str, reason: str, time: float) -> Mapping[str, Any]:
    return {
        "LogicalResourceId": logical,
        "PhysicalResourceId": physical,
        "ResourceType": kind,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
        "Timestamp": time,
    }


def _planned(stack: Stack) -> list[tuple[str, Mapping[str, Any]]]:
    return list(stack.plan["Resources"].items())


def _tasks(stack: Stack, tasks: list[Task]) -> Stack:
    serial = stack.serial + 1
    keyed = [replace(task, key=f"{serial}.{place}/{task.logical}") for place, task in enumerate(tasks)]
    return replace(stack, serial=serial, tasks={task.key: task for task in keyed})


def _deletes(stack: Stack, items: tuple[Item, ...], keep: Sequence[Item] = ()) -> Stack:
    """Each after those that need it."""
    return _tasks(
        stack,
        [
            Task(
                "",
                one.logical,
                "Delete",
                tuple(o.logical for o in items if one.logical in o.after),
                item=one,
                skip=one in keep,
            )
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
                retain=planned["DeletionPolicy"] in ("Retain", "RetainExceptOnCreate"),
                retain_made=planned["DeletionPolicy"] == "Retain",
                retain_replaced=planned["UpdateReplacePolicy"] == "Retain",
                metadata=planned.get("Metadata"),
            )
            task = replace(task, phase="Ready", item=item, old=stack.items.get(task.logical), action=data["Action"])
            if data["Action"] == "Create":
                stack = replace(stack, made=(*stack.made, item))
            elif data["Action"] == "Update":
                stack = replace(stack, changed={**stack.changed, task.logical: item})
            else:  # Keep: nothing of it changes but what the template says about it
                old = stack.items[task.logical]
                item = replace(item, physical=old.physical, values=old.values)
                stack = replace(stack, items={**stack.items, task.logical: item})
                task = replace(task, phase="Done")
        case "Begun":
            task = replace(task, phase="Ready")
        case "Asking":
            task = replace(task, since=data["Since"])
        case "Made":
            assert item is not None
            item = replace(item, physical=data["Physical"], values=data["Values"])
            task = replace(task, phase="Done", item=item)
            made = tuple(item if (o.type, o.name) == (item.type, item.name) else o for o in stack.made)
            stack = replace(stack, items={**stack.items, task.logical: item}, made=made)
            if task.verb == "Restore":
                left = {name: tried for name, tried in stack.changed.items() if name != task.logical}
                stack = replace(stack, changed=left)
        case "Gone" | "Skipped":
            assert item is not None
            task = replace(task, phase="Done")
            stack = replace(
                stack,
                items={name: o for name, o in stack.items.items() if not _same(o, item)},
                before={name: o for name, o in stack.before.items() if not _same(o, item)},
                made=tuple(o for o in stack.made if not _same(o, item)),
            )
        case "Failed":
            task = replace(task, phase="Failed", reason=data["Reason"])
    replaced = task.verb == "Delete" and item is not None and not _same(stack.items.get(task.logical, item), item)
    if "Status" in data and not replaced:
        physical, reason = data.get("Physical", ""), data.get("Reason", "")
        about = _told(task.logical, physical, data["Type"], data["Status"], reason, time)
        stack = replace(stack, told={**stack.told, task.logical: about})
    return replace(stack, tasks={**stack.tasks, task.key: task})


def _same(one: Item, other: Item) -> bool:
    """Whether they are the same thing."""
    return (one.type, one.name) == (other.type, other.name)


# What follows


def decide(stack: Stack) -> list[Fact]:
    """Facts that follow from the state alone."""
    if not stack.status.endswith("IN_PROGRESS") or stack.status == "REVIEW_IN_PROGRESS":
        return []
    tasks = list(stack.tasks.values())
    failed = [task for task in tasks if task.phase == "Failed"]
    if _is_draining(stack):
        if any(task.phase == "Ready" for task in tasks):
            return []
        if stack.status == "DELETE_IN_PROGRESS":
            return [("Drained", {})]
        return [_after_failure(stack, failed)]
    if stack.status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
        if stack.resolved and all(task.phase == "Done" for task in tasks):
            done = {"CREATE_IN_PROGRESS": "CREATE_COMPLETE"}.get(stack.status, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            return [_status(done)]
        return []
    begun: list[Fact] = []
    for task in tasks:
        if task.phase == "Waiting" and _free(stack, task):
            item = task.item
            assert item is not None
            about = {"Type": item.type, "Physical": item.physical or item.name}
            if task.skip:
                return [("Skipped", {"Task": task.key, "Status": "DELETE_SKIPPED", **about})]
            status = "DELETE_IN_PROGRESS" if task.verb == "Delete" else "UPDATE_IN_PROGRESS"
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
    if stack.problem and not failed:
        text = stack.problem
    elif stack.problem and not creating:
        text = f"{stack.problem}. {text}"
    if stack.on_failure == "DO_NOTHING" and stack.problem != CANCELLED:
        return _status("CREATE_FAILED" if creating else "UPDATE_FAILED", text)
    if not creating:
        return _status("UPDATE_ROLLBACK_IN_PROGRESS", text)
    if stack.on_failure == "DELETE":
        return _status("DELETE_IN_PROGRESS", f"{text.rstrip()} Delete requested by user.")
    return _status("ROLLBACK_IN_PROGRESS", f"{text.rstrip()} Rollback requested by user.")


def _status(status: str, reason: str = "") -> Fact:
    return ("Status", {"Status": status, "Reason": reason})


def _is_draining(stack: Stack) -> bool:
    """Whether what is being made must come to rest, and nothing more of it begins."""
    applies = [task for task in stack.tasks.values() if task.verb == "Apply"]
    if stack.status not in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
        return bool(applies)
    return bool(stack.problem) or any(task.phase == "Failed" for task in applies)


def _free(stack: Stack, task: Task) -> bool:
    """Whether all that comes before it is done."""
    first = {other.logical: other.phase for other in stack.tasks.values()}
    return all(first.get(name, "Done") == "Done" for name in task.after)


def outstanding(stack: Stack) -> list[Effect]:
    """Effects still owed; an effect's key is its task's."""
    tasks = list(stack.tasks.values())
    draining = _is_draining(stack)
    effects = []
    for task in tasks:
        if task.verb == "Apply" and draining:
            if task.phase == "Ready":
                effects.append(Effect("cancel", task.key))
        elif task.phase == "Ready":
            effects.append(Effect({"Apply": "act", "Delete": "delete", "Restore": "restore"}[task.verb], task.key))
        elif task.phase == "Waiting" and task.verb == "Apply" and _free(stack, task):
            effects.append(Effect("prepare", task.key))
    if is_applied(stack):
        effects.append(Effect("outputs", ""))
    return effects


def is_applied(stack: Stack) -> bool:
    """Whether all is made, and the outputs are still to be told."""
    return (
        stack.status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
        and not stack.resolved
        and not stack.problem
        and all(task.phase == "Done" for task in stack.tasks.values())
    )
