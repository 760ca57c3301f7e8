"""What AWS's calls and events tell of a pipeline's state. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelwright.lifecycles.codepipeline_state import OPEN, ActionRun, Pipeline, Run, Stage

Document = dict[str, Any]

CODES = {"Cancelled": "CANCELED"}
"""Statuses whose name in events is not just their name in capitals."""
ERROR_LIMIT = 5000
SUMMARY_LIMIT = 2048


# GetPipelineState


def pipeline_state(state: Pipeline) -> Document:
    return {
        "pipelineName": state.name,
        "pipelineVersion": state.version,
        "stageStates": [_stage_state(state, i) for i in range(len(state.declaration["stages"]))],
        "created": state.created,
        "updated": state.updated,
    }


def _stage_state(state: Pipeline, index: int) -> Document:
    declaration = state.declaration["stages"][index]
    stage = state.stages[declaration["name"]]
    found: Document = {"stageName": declaration["name"]}
    waiting = [_stage_execution(state, run.id, run.status) for run in state.waiting(index)]
    if waiting:
        found["inboundExecution"] = waiting[-1 if state.mode == "SUPERSEDED" else 0]
        found["inboundExecutions"] = waiting
    found["inboundTransitionState"] = _transition(stage)
    found["actionStates"] = [_action_state(state, action, stage) for action in declaration["actions"]]
    if stage.latest:
        found["latestExecution"] = _stage_execution(state, stage.latest, stage.status)
    if stage.retries:
        found["retryStageMetadata"] = {
            "manualStageRetryAttempt": stage.retries,
            "latestRetryTrigger": "ManualStageRetry",
        }
    return found


def _stage_execution(state: Pipeline, identity: str, status: str) -> Document:
    run = state.runs.get(identity)
    return {"pipelineExecutionId": identity, "status": status, "type": _type(run)}


def _type(run: Run | None) -> str:
    return "ROLLBACK" if run is not None and run.rollback else "STANDARD"


def _transition(stage: Stage) -> Document:
    found: Document = {"enabled": stage.enabled}
    if stage.at is not None:
        found |= {"lastChangedBy": stage.by, "lastChangedAt": stage.at}
    if not stage.enabled:
        found["disabledReason"] = stage.reason
    return found


def _action_state(state: Pipeline, declaration: Mapping[str, Any], stage: Stage) -> Document:
    found: Document = {"actionName": declaration["name"]}
    action = stage.actions.get(declaration["name"])
    if action is None:
        return found
    revision = action.detail.get("revision")
    if revision is not None:
        found["currentRevision"] = {
            "revisionId": revision["id"],
            "revisionChangeId": revision["change"][:100],
            "created": revision["created"],
        }
        if revision.get("url"):
            found["revisionUrl"] = revision["url"]
    found["latestExecution"] = _latest(state, action)
    if action.detail.get("entity_url"):
        found["entityUrl"] = action.detail["entity_url"]
    return found


def _latest(state: Pipeline, action: ActionRun) -> Document:
    detail = action.detail
    found: Document = {
        "actionExecutionId": action.id,
        "status": _status(action),
        "lastStatusChange": action.changed,
    }
    if detail.get("summary"):
        found["summary"] = detail["summary"][:SUMMARY_LIMIT]
    if action.status == "InProgress" and action.is_approval and state.mode != "PARALLEL":
        found["token"] = action.token
    if action.by:
        found["lastUpdatedBy"] = action.by
    for member, key in (("externalExecutionId", "external_id"), ("externalExecutionUrl", "external_url")):
        if detail.get(key):
            found[member] = detail[key]
    if detail.get("error"):
        found["errorDetails"] = _error(detail["error"])
    if detail.get("log"):
        found["logStreamARN"] = detail["log"]
    return found


def _status(action: ActionRun) -> str:
    return "InProgress" if action.status in OPEN else action.status


def _error(error: Mapping[str, str]) -> Document:
    return {"code": error["code"], "message": error["message"][:ERROR_LIMIT]}


# Executions


def execution_document(state: Pipeline, run: Run) -> Document:
    """An execution as it is stored. Members of GetPipelineExecution alone begin with `_`."""
    revisions = list(_revisions(run))
    found: Document = {
        "pipelineExecutionId": run.id,
        "status": run.status,
        "startTime": run.started,
        "lastUpdateTime": run.changed,
        "sourceRevisions": [revision["source"] for revision in revisions],
        "trigger": dict(run.trigger),
        "executionMode": run.mode,
        "executionType": _type(run),
        "_pipelineName": state.name,
        "_pipelineVersion": run.version,
        "_artifactRevisions": [revision["artifact"] for revision in revisions],
        "_variables": [{"name": name, "resolvedValue": value} for name, value in run.variables.items()],
        "_succeeded": {stage.replace(".", "/"): True for stage in run.succeeded},
    }
    if run.rollback:
        found["rollbackMetadata"] = {"rollbackTargetPipelineExecutionId": run.rollback}
    if run.reason:
        found |= {"stopTrigger": {"reason": run.reason}, "statusSummary": run.reason}
    return found


def told_execution(document: Mapping[str, Any]) -> Document:
    """What GetPipelineExecution answers, of what is stored."""
    members = (
        "pipelineExecutionId",
        "status",
        "statusSummary",
        "trigger",
        "executionMode",
        "executionType",
        "rollbackMetadata",
    )
    return {
        "pipelineName": document["_pipelineName"],
        "pipelineVersion": document["_pipelineVersion"],
        **{member: document[member] for member in members if member in document},
        "artifactRevisions": document["_artifactRevisions"],
        "variables": document["_variables"],
    }


def _revisions(run: Run) -> Iterator[Mapping[str, Document]]:
    for action in run.actions.values():
        revision = action.detail.get("revision")
        if revision is None:
            continue
        told: Document = {"revisionId": revision["id"]}
        if revision.get("summary"):
            told["revisionSummary"] = revision["summary"][:SUMMARY_LIMIT]
        if revision.get("url"):
            told["revisionUrl"] = revision["url"]
        for artifact in action.detail.get("outputs", {}):
            yield {
                "source": {"actionName": action.name, **told},
                "artifact": {
                    "name": artifact,
                    **told,
                    "revisionChangeIdentifier": revision["change"][:100],
                    "created": revision["created"],
                },
            }


def action_document(state: Pipeline, action: ActionRun, version: int) -> Document:
    """An item of ListActionExecutions."""
    declaration, detail = action.declaration, action.detail
    found: Document = {
        "pipelineExecutionId": action.execution,
        "actionExecutionId": action.id,
        "pipelineVersion": version,
        "stageName": action.stage,
        "actionName": action.name,
        "startTime": action.started,
        "lastUpdateTime": action.changed,
        "status": _status(action),
    }
    if action.by:
        found["updatedBy"] = action.by
    configuration = declaration.get("configuration", {})
    found["input"] = {
        "actionTypeId": declaration["actionTypeId"],
        **({"configuration": configuration} if configuration else {}),
        **({"resolvedConfiguration": detail["configuration"]} if detail.get("configuration") else {}),
        **({"roleArn": declaration["roleArn"]} if "roleArn" in declaration else {}),
        "region": state.region,
        "inputArtifacts": _artifacts(detail.get("inputs", {})),
        **({"namespace": declaration["namespace"]} if "namespace" in declaration else {}),
    }
    found["output"] = {"outputArtifacts": _artifacts(detail.get("outputs", {}))}
    result = _result(action)
    if result:
        found["output"]["executionResult"] = result
    if detail.get("variables"):
        found["output"]["outputVariables"] = dict(detail["variables"])
    return found


def _result(action: ActionRun) -> Document:
    detail, found = action.detail, Document()
    identity = action.token if action.is_approval else detail.get("external_id")
    if identity:
        found["externalExecutionId"] = identity
    if detail.get("summary"):
        found["externalExecutionSummary"] = detail["summary"][:SUMMARY_LIMIT]
    if detail.get("external_url"):
        found["externalExecutionUrl"] = detail["external_url"]
    if detail.get("error"):
        found["errorDetails"] = _error(detail["error"])
    if detail.get("log"):
        found["logStreamARN"] = detail["log"]
    return found


def _artifacts(places: Mapping[str, Mapping[str, str]]) -> list[Document]:
    return [
        {"name": name, "s3location": {key: place[key] for key in ("bucket", "key")}} for name, place in places.items()
    ]


# EventBridge

SOURCE = "aws.codepipeline"
_TYPE = "CodePipeline {} Execution State Change"

Told = tuple[str, Document]
"""(detail-type, detail)."""


def events_of(state: Pipeline, kind: str, data: Mapping[str, Any]) -> Sequence[Told]:
    """The events that AWS raises for one of ours; `state` is the one after it."""
    if kind in ("ExecutionStarted", "ExecutionEnded"):
        run = state.runs[data["id"]]
        return [_pipeline_event(state, run, "STARTED" if kind == "ExecutionStarted" else _code(data["status"]))]
    if kind == "StopRequested":
        return [_pipeline_event(state, state.runs[data["id"]], "STOPPING")]
    if kind == "RetryRequested":
        run = state.runs[data["id"]]
        return [_pipeline_event(state, run, "RESUMED"), _stage_event(state, run, data["stage"], "RESUMED")]
    if kind in ("StageEntered", "StageEnded"):
        run = state.runs[data["id"]]
        return [_stage_event(state, run, data["stage"], _code(data.get("status", "Started")))]
    if kind == "ActionStarting":
        action = state.runs[data["id"]].actions.get((data["stage"], data["action"]))
        return [] if action is None else [_action_event(state, action, "STARTED")]
    if kind in ("ActionAbandoned", "ActionEnded", "ApprovalGiven"):
        found = state.action(data["action"])
        return [] if found is None else [_action_event(state, found, _code(found.status))]
    return []


def _code(status: str) -> str:
    return CODES.get(status, status.upper())


def _common(state: Pipeline, run: Run) -> Document:
    return {
        "pipeline": state.name,
        "version": run.version,
        "execution-id": run.id,
        "pipeline-execution-attempt": max(run.attempts.values(), default=1),
    }


def _pipeline_event(state: Pipeline, run: Run, code: str) -> Told:
    trigger = {
        "trigger-type": run.trigger["triggerType"],
        "trigger-detail": run.trigger.get("triggerDetail", ""),
    }
    return _TYPE.format("Pipeline"), {**_common(state, run), "state": code, "execution-trigger": trigger}


def _stage_event(state: Pipeline, run: Run, stage: str, code: str) -> Told:
    return _TYPE.format("Stage"), {**_common(state, run), "stage": stage, "state": code}


def _action_event(state: Pipeline, action: ActionRun, code: str) -> Told:
    declaration, detail = action.declaration, action.detail
    found: Document = {
        **_common(state, state.runs[action.execution]),
        "stage": action.stage,
        "action": action.name,
        "action-execution-id": action.id,
        "state": code,
        "region": state.region,
        "type": dict(declaration["actionTypeId"]),
        "input-artifacts": _event_artifacts(detail.get("inputs", {})),
        "output-artifacts": _event_artifacts(detail.get("outputs", {})),
    }
    result = {
        "external-execution-id": detail.get("external_id"),
        "external-execution-url": detail.get("external_url"),
        "external-execution-summary": detail.get("summary"),
        "error-code": detail.get("error", {}).get("code"),
    }
    result = {key: value for key, value in result.items() if value}
    return _TYPE.format("Action"), {**found, **({"execution-result": result} if result else {})}


def _event_artifacts(places: Mapping[str, Mapping[str, str]]) -> list[Document]:
    return [
        {"name": name, "s3location": {key: place[key] for key in ("bucket", "key")}} for name, place in places.items()
    ]
