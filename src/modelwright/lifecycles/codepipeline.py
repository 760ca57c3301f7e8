"""A CodePipeline pipeline with all its executions as a state machine: pure, data in and data out.

One stream a pipeline, `codepipeline/NAME`, which never ends: which execution may go on is a matter of the whole
pipeline. (A pipeline that was deleted and created again goes on in the stream of its name.)

An execution is before a stage (waiting to enter) or in it (the stage is locked), or it has ended:

    before 0 ──StageEntered──▶ in 0 ──StageEnded Succeeded──▶ before 1 ──▶ ... ──▶ ExecutionEnded
                                └──StageEnded Failed, Stopped, Cancelled──▶ ExecutionEnded ──RetryRequested──▶ in

Events (a member in [] may be absent):

    who      kind                data
    service  PipelineCreated     Pipeline (the declaration), Arn, Account, Region
    service  PipelineUpdated     Pipeline
    service  PipelineDeleted     {}
    service  ExecutionStarted    id, trigger, variables {name: value}, revisions {action: {type, value}},
                                 [rollback {stage, target}]
    service  StopRequested       id, abandon, [reason]
    service  RetryRequested      id, stage, mode
    service  ApprovalGiven       action (the action execution's id), status (Approved, Rejected), summary, by
    service  TransitionChanged   stage, enabled, by, [reason]
    decide   StageEntered        id, stage
    decide   ActionStarting      id, stage, action, attempt
    decide   ActionAbandoned     action
    decide   StageEnded          id, stage, status (Succeeded, Failed, Stopped, Cancelled)
    decide   ExecutionEnded      id, status (Succeeded, Failed, Stopped, Superseded, Cancelled)
    engine   ActionStarted       action, detail   (what is known now: see `ActionRun.detail`)
    engine   ActionProgressed    action, detail
    engine   ActionEnded         action, status (Succeeded, Failed), detail

Effects, each for the action execution `key`: `start` one that is Starting, `watch` one that is InProgress, `expire` a
manual approval that nobody has answered, at its time.

Semantics, from AWS's pages "How pipeline executions work", "StopPipelineExecution", "RetryStageExecution"; where AWS
says nothing, the choice is marked (ours):
- A stage is locked while an execution is in it. Others wait before it. SUPERSEDED: of those that wait before the same
  stage only the newest stays. QUEUED: they enter in the order in which they were started. PARALLEL: nobody waits.
- A disabled transition lets nobody in; in SUPERSEDED mode the newest of those that wait stays.
- A failed action lets nothing new start in its stage; what runs beside it is left to end, but approvals that wait
  beside it are abandoned (ours): then the stage has failed and is free.
- Stop lets nothing new start and waits for what runs; with `abandon` it does not wait. What waits before a stage is
  Stopped at once.
- Retry brings the latest execution of a failed stage back into it: FAILED_ACTIONS keeps what has succeeded.
- A rollback is an execution of one stage, with the artifacts and variables that the target had before it.
- An update or deletion of the pipeline cancels what is not over: actions that run are abandoned, nothing new starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from modelwright.codepipeline.declaration import find_action, run_order
from modelwright.codepipeline.variables import DECLARED, EXECUTION_ID, PIPELINE
from modelwright.lifecycles.codepipeline_state import KEPT, OPEN, ActionRun, Pipeline, Run, Stage, action_id
from modelwright.lifecycles.job import Effect, Fact

# Fold


def apply(state: Pipeline, kind: str, data: Mapping[str, Any], time: float) -> Pipeline:
    """The state after one more event."""
    return _APPLY[kind](_prune(state), data, time)


def _created(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    declaration = data["Pipeline"]
    return Pipeline(
        name=declaration["name"],
        arn=data["Arn"],
        account=data["Account"],
        region=data["Region"],
        declaration=declaration,
        created=time,
        updated=time,
        deleted=False,
        stages={stage["name"]: Stage() for stage in declaration["stages"]},
        count=state.count,
    )


def _updated(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    """Executions that are not over keep to the declaration that they were started with: they end here."""
    state = _cancel_all(state, time)
    declaration = data["Pipeline"]
    stages = {}
    for stage in declaration["stages"]:
        old = state.stages.get(stage["name"], Stage())
        names = {action["name"] for action in stage["actions"]}
        actions = {name: action for name, action in old.actions.items() if name in names}
        stages[stage["name"]] = replace(old, actions=actions)
    return replace(state, declaration=declaration, updated=time, stages=stages)


def _deleted(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    return Pipeline(name=state.name, count=state.count, declaration=state.declaration)


def _cancel_all(state: Pipeline, time: float) -> Pipeline:
    for run in list(state.runs.values()):
        if run.over:
            continue
        for action in run.actions.values():
            if action.status in OPEN:
                state = _with_action(state, replace(action, status="Abandoned", changed=time))
        state = _with(state, replace(state.runs[run.id], status="Cancelled", inside=False, changed=time))
        if run.inside:
            state = _told_of_stage(state, run, "Cancelled")
    return state


def _started(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    run = Run(
        id=data["id"],
        number=state.count + 1,
        version=state.version,
        mode=state.mode,
        started=time,
        changed=time,
        trigger=data["trigger"],
        variables=data["variables"],
        revisions=data["revisions"],
    )
    if "rollback" in data:
        run = _rolled_back(state, run, data["rollback"])
    return _with(replace(state, count=run.number), run)


def _rolled_back(state: Pipeline, run: Run, rollback: Mapping[str, str]) -> Run:
    """It stands before the stage with what the target had there."""
    target, index = state.runs[rollback["target"]], state.stage_index(rollback["stage"])
    assert index is not None
    before = {stage["name"] for stage in state.declaration["stages"][:index]}
    had = {key: action for key, action in target.actions.items() if key[0] in before}
    return replace(run, stage=index, rollback=target.id, variables=target.variables, actions=had)


def _stop_requested(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    run = state.runs[data["id"]]
    stopping = replace(run, status="Stopping", abandon=data["abandon"], reason=data.get("reason", ""), changed=time)
    return _told_of_stage(_with(state, stopping), run, "Stopping") if run.inside else _with(state, stopping)


def _retry_requested(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    run, name = state.runs[data["id"]], data["stage"]
    again = [
        key
        for key, action in run.actions.items()
        if key[0] == name and (data["mode"] == "ALL_ACTIONS" or action.status in ("Failed", "Abandoned"))
    ]
    index = state.stage_index(name)
    assert index is not None
    back = replace(
        run,
        status="InProgress",
        stage=index,
        inside=True,
        abandon=False,
        reason="",
        changed=time,
        actions={key: action for key, action in run.actions.items() if key not in again},
    )
    retries = state.stages[name].retries + 1
    return _with_stage(_with(state, back), name, status="InProgress", retries=retries)


def _approval_given(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    action = state.action(data["action"])
    assert action is not None
    status = "Succeeded" if data["status"] == "Approved" else "Failed"
    detail = dict(action.detail)
    if data["summary"]:
        detail["summary"] = data["summary"]
    answered = replace(action, status=status, changed=time, detail=detail, answered=data["status"], by=data["by"])
    return _with_action(state, answered)


def _transition_changed(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    return _with_stage(
        state, data["stage"], enabled=data["enabled"], by=data["by"], at=time, reason=data.get("reason", "")
    )


def _stage_entered(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    run, name = state.runs[data["id"]], data["stage"]
    state = _with(state, replace(run, inside=True, changed=time))
    return _with_stage(state, name, latest=run.id, status="InProgress", retries=0)


def _action_starting(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    run, key = state.runs[data["id"]], (data["stage"], data["action"])
    declaration = find_action(state.declaration, *key)
    assert declaration is not None
    action = ActionRun(
        id=action_id(state.arn, run.id, *key, data["attempt"]),
        execution=run.id,
        stage=key[0],
        name=key[1],
        attempt=data["attempt"],
        status="Starting",
        started=time,
        changed=time,
        declaration=declaration,
    )
    run = replace(run, attempts={**run.attempts, key: data["attempt"]}, changed=time)
    return _with_action(_with(state, run), action)


def _action_abandoned(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    action = state.action(data["action"])
    assert action is not None
    return _with_action(state, replace(action, status="Abandoned", changed=time))


def _action_told(status: str | None) -> Callable[[Pipeline, Mapping[str, Any], float], Pipeline]:
    def told(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
        action = state.action(data["action"])
        assert action is not None
        detail = {**action.detail, **data.get("detail", {})}
        return _with_action(state, replace(action, status=status or data["status"], detail=detail, changed=time))

    return told


def _stage_ended(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    run, name, status = state.runs[data["id"]], data["stage"], data["status"]
    run = replace(run, inside=False, changed=time)
    if status == "Succeeded":
        done = (*(stage for stage in run.succeeded if stage != name), name)
        run = replace(run, stage=run.stage + 1, succeeded=done)
    return _told_of_stage(_with(state, run), state.runs[run.id], status, name)


def _told_of_stage(state: Pipeline, run: Run, status: str, name: str | None = None) -> Pipeline:
    """A stage tells of the last that entered it (in PARALLEL mode there may be others in it)."""
    name = state.stage_name(run.stage) if name is None else name
    return _with_stage(state, name, status=status) if state.stages[name].latest == run.id else state


def _execution_ended(state: Pipeline, data: Mapping[str, Any], time: float) -> Pipeline:
    return _with(state, replace(state.runs[data["id"]], status=data["status"], inside=False, changed=time))


def _with(state: Pipeline, run: Run) -> Pipeline:
    return replace(state, runs={**state.runs, run.id: run})


def _with_stage(state: Pipeline, name: str, **changes: Any) -> Pipeline:
    return replace(state, stages={**state.stages, name: replace(state.stages[name], **changes)})


def _with_action(state: Pipeline, action: ActionRun) -> Pipeline:
    run = state.runs[action.execution]
    key = (action.stage, action.name)
    state = _with(state, replace(run, actions={**run.actions, key: action}, changed=action.changed))
    stage = state.stages[action.stage]
    return _with_stage(state, action.stage, actions={**stage.actions, action.name: action})


def _prune(state: Pipeline) -> Pipeline:
    """Forget executions that were over long ago, but for those that a stage had last."""
    if len(state.runs) <= KEPT:
        return state
    latest = {stage.latest for stage in state.stages.values()}
    over = sorted((run for run in state.runs.values() if run.over and run.id not in latest), key=lambda run: run.number)
    gone = {run.id for run in over[: len(state.runs) - KEPT]}
    return replace(state, runs={key: run for key, run in state.runs.items() if key not in gone})


_APPLY: Mapping[str, Callable[[Pipeline, Mapping[str, Any], float], Pipeline]] = {
    "PipelineCreated": _created,
    "PipelineUpdated": _updated,
    "PipelineDeleted": _deleted,
    "ExecutionStarted": _started,
    "StopRequested": _stop_requested,
    "RetryRequested": _retry_requested,
    "ApprovalGiven": _approval_given,
    "TransitionChanged": _transition_changed,
    "StageEntered": _stage_entered,
    "ActionStarting": _action_starting,
    "ActionAbandoned": _action_abandoned,
    "ActionStarted": _action_told("InProgress"),
    "ActionProgressed": _action_told("InProgress"),
    "ActionEnded": _action_told(None),
    "StageEnded": _stage_ended,
    "ExecutionEnded": _execution_ended,
}


# What follows


def decide(state: Pipeline) -> list[Fact]:
    """What follows from the state alone. Empty: wait for the world."""
    if state.deleted:
        return []
    facts: list[Fact] = []
    for run in state.runs.values():
        if not run.over:
            facts += _inside(state, run) if run.inside else _before(state, run)
    return facts or _entering(state)


def _before(state: Pipeline, run: Run) -> list[Fact]:
    """Of one that waits: that it is over, if it is."""
    if run.stage >= len(state.declaration["stages"]) or (run.rollback and run.succeeded):
        return [("ExecutionEnded", {"id": run.id, "status": "Succeeded"})]
    if run.status == "Stopping":
        return [("ExecutionEnded", {"id": run.id, "status": "Stopped"})]
    if state.mode == "SUPERSEDED" and run.id != state.waiting(run.stage)[-1].id:
        return [("ExecutionEnded", {"id": run.id, "status": "Superseded"})]
    return []


def _entering(state: Pipeline) -> list[Fact]:
    """Who goes into which stage now."""
    facts: list[Fact] = []
    for index, stage in enumerate(state.declaration["stages"]):
        waiting = state.waiting(index)
        if not waiting or not state.stages[stage["name"]].enabled:
            continue
        if state.mode == "PARALLEL":
            entering = waiting
        elif any(run.inside and run.stage == index for run in state.runs.values()):
            continue
        else:
            entering = waiting[:1]
        facts += [("StageEntered", {"id": run.id, "stage": stage["name"]}) for run in entering]
    return facts


def _inside(state: Pipeline, run: Run) -> list[Fact]:
    stage = state.declaration["stages"][run.stage]
    name = stage["name"]
    runs = {action["name"]: run.actions.get((name, action["name"])) for action in stage["actions"]}
    there = [found for found in runs.values() if found is not None]
    running = [found for found in there if found.status in OPEN]
    failed = any(found.status in ("Failed", "Abandoned") for found in there)
    if run.status == "Stopping":
        if running and run.abandon:
            return [("ActionAbandoned", {"action": found.id}) for found in running]
        return [] if running else _leave(run, name, "Failed" if failed and not run.abandon else "Stopped")
    if failed:
        if all(found.is_approval for found in running):
            abandoned: list[Fact] = [("ActionAbandoned", {"action": found.id}) for found in running]
            return abandoned or _leave(run, name, "Failed")
        return []
    for order in sorted({run_order(action) for action in stage["actions"]}):
        group = [action["name"] for action in stage["actions"] if run_order(action) == order]
        missing = [action for action in group if runs[action] is None]
        if missing:
            return [_starting(run, name, action) for action in missing]
        if any(found is not None and found.status in OPEN for found in map(runs.get, group)):
            return []
    return [("StageEnded", {"id": run.id, "stage": name, "status": "Succeeded"})]


def _leave(run: Run, stage: str, status: str) -> list[Fact]:
    ended: Fact = ("StageEnded", {"id": run.id, "stage": stage, "status": status})
    return [ended, ("ExecutionEnded", {"id": run.id, "status": status})]


def _starting(run: Run, stage: str, action: str) -> Fact:
    attempt = run.attempts.get((stage, action), 0) + 1
    return ("ActionStarting", {"id": run.id, "stage": stage, "action": action, "attempt": attempt})


def outstanding(state: Pipeline) -> list[Effect]:
    """What is owed: all of it may be done again at any time."""
    return list(_outstanding(state))


def _outstanding(state: Pipeline) -> Iterator[Effect]:
    for run in state.runs.values():
        for action in run.actions.values():
            if action.status == "Starting":
                yield Effect("start", action.id)
            elif action.status == "InProgress" and action.is_approval:
                yield Effect("expire", action.id, at=action.deadline)
            elif action.status == "InProgress":
                yield Effect("watch", action.id)


# Values


def namespaces(run: Run) -> dict[str, Mapping[str, str]]:
    """What `#{namespace.key}` may refer to in this execution now."""
    found: dict[str, Mapping[str, str]] = {PIPELINE: {EXECUTION_ID: run.id}, DECLARED: run.variables}
    for action in run.actions.values():
        namespace = action.declaration.get("namespace")
        if namespace is not None and action.status == "Succeeded":
            found[namespace] = action.detail.get("variables", {})
    return found


def artifacts(run: Run) -> dict[str, Mapping[str, str]]:
    """Where the artifacts are that this execution has made so far: {name: {bucket, key}}."""
    found: dict[str, Mapping[str, str]] = {}
    for action in run.actions.values():
        if action.status == "Succeeded":
            found.update(action.detail.get("outputs", {}))
    return found


def rollback_problem(state: Pipeline, stage: str, target: str) -> str:
    """Why a stage can't be rolled back to an execution; empty: it can."""
    index, run = state.stage_index(stage), state.runs.get(target)
    if state.mode == "PARALLEL":
        return "the pipeline's execution mode is PARALLEL"
    if index == 0:
        return "it is the source stage"
    if run is None:
        return f"{target} was too long ago: what it had is not remembered"
    if run.version != state.version:
        return f"{target} was an execution of version {run.version}, and the pipeline has been updated since"
    if run.rollback:
        return f"{target} is itself a rollback: roll back to {run.rollback}"
    if stage not in run.succeeded:
        return f"{target} has not succeeded in this stage"
    return ""


RetryProblem = Literal["", "stage", "execution", "state"]


def retry_problem(state: Pipeline, stage: str, execution: str, mode: str) -> RetryProblem:
    """Why a stage can't be retried: `execution` is not its latest, or its state forbids it."""
    found = state.stages.get(stage)
    if found is None:
        return "stage"
    if found.latest != execution or execution not in state.runs:
        return "execution"
    run = state.runs[execution]
    if run.version != state.version or run.status not in ("Failed", "Stopped") or state.stage_index(stage) != run.stage:
        return "state"
    return ""
