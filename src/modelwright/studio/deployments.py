"""Deployments: CodePipeline's pipelines, one as stages top to bottom; people review, release and retry in it."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio.executions import live_address
from modelwright.studio.view import Route, View, is_missing

SERVICE = "codepipeline"
PER_PAGE = 50
_RECENT = 20
_ACTIONS = 100
_LOG_LINES = 400
_STACK_EVENTS = 60


def routes() -> list[Route]:
    return [
        ("/deployments", ("GET",), all_of_them),
        ("/deployments/{name}", ("GET",), one),
        ("/deployments/{name}/review", ("POST",), review),
        ("/deployments/{name}/release", ("POST",), release),
        ("/deployments/{name}/retry", ("POST",), retry),
        ("/deployments/{name}/transition", ("POST",), transition),
        ("/deployments/{name}/executions/{execution}/{action}", ("GET",), action),
    ]


async def all_of_them(view: View) -> Response:
    found = await view.call("ListPipelines", SERVICE, maxResults=PER_PAGE, nextToken=view.argument("page") or None)
    rows = []
    for pipeline in found["pipelines"]:
        state = await view.find("GetPipelineState", SERVICE, name=pipeline["name"])
        if state is not None:
            rows.append({**pipeline, "asks": asks(state), "latest": await _latest(view, pipeline["name"])})
    rows.sort(key=lambda row: (not row["asks"], -float((row["latest"] or {}).get("startTime", 0))))
    return view.page(
        "deployments.html", pipelines=rows, next=found.get("nextToken"), live=live_address(["codepipeline/"])
    )


async def _latest(view: View, name: str) -> Document | None:
    found = await view.find("ListPipelineExecutions", SERVICE, pipelineName=name, maxResults=1)
    return next(iter((found or {}).get("pipelineExecutionSummaries", [])), None)


def asks(state: Document) -> list[Document]:
    """The approvals that wait for somebody, of what GetPipelineState answered."""
    return [
        {
            "pipeline": state["pipelineName"],
            "stage": stage["stageName"],
            "action": action["actionName"],
            "since": action["latestExecution"]["lastStatusChange"],
        }
        for stage in state["stageStates"]
        for action in stage["actionStates"]
        if action.get("latestExecution", {}).get("token")
    ]


async def waiting(view: View, limit: int) -> list[Document]:
    """Approvals that wait in any pipeline, the longest first."""
    pipelines = (await view.call("ListPipelines", SERVICE, maxResults=PER_PAGE))["pipelines"]
    found: list[Document] = []
    for pipeline in pipelines:
        state = await view.find("GetPipelineState", SERVICE, name=pipeline["name"])
        found += [] if state is None else asks(state)
    return sorted(found, key=lambda ask: float(ask["since"]))[:limit]


async def one(view: View) -> Response:
    return await _page(view)


async def _page(view: View, problem: str = "") -> Response:
    name = view.argument("name")
    declared = await view.call("GetPipeline", SERVICE, name=name)
    state = await view.call("GetPipelineState", SERVICE, name=name)
    executions = await view.call("ListPipelineExecutions", SERVICE, pipelineName=name, maxResults=_RECENT)
    runs = await view.call("ListActionExecutions", SERVICE, pipelineName=name, maxResults=_ACTIONS)
    known = {run["actionExecutionId"]: run for run in runs["actionExecutionDetails"]}
    result = {"status": "Approved", "summary": ""}
    place = {"pipelineName": name, "stageName": "-", "actionName": "-", "token": "-"}
    return view.page(
        "deployment.html",
        http_status=400 if problem else 200,
        name=name,
        pipeline=declared["pipeline"],
        arn=declared["metadata"]["pipelineArn"],
        stages=stages(declared["pipeline"], state, known),
        waits=asks(state),
        executions=executions["pipelineExecutionSummaries"],
        problem=problem,
        may_review=view.may("PutApprovalResult", SERVICE, **place, result=result),
        may_release=view.may("StartPipelineExecution", SERVICE, name=name),
        may_retry=view.may("RetryStageExecution", SERVICE, pipelineName=name),
        may_open=view.may("EnableStageTransition", SERVICE, pipelineName=name),
        may_close=view.may("DisableStageTransition", SERVICE, pipelineName=name),
        who=lambda arn: arn.rpartition("/")[2],
        live=live_address([f"codepipeline/{name}"]),
    )


def stages(pipeline: Document, state: Document, runs: dict[str, Document]) -> list[Document]:
    """The stages as they are shown: the declaration's actions, each with its latest run in this stage."""
    states = {stage["stageName"]: stage for stage in state["stageStates"]}
    found = []
    for stage in pipeline["stages"]:
        now: Document = states.get(stage["name"], {})
        actions = {each["actionName"]: each for each in now.get("actionStates", [])}
        found.append(
            {
                "name": stage["name"],
                "latest": now.get("latestExecution"),
                "inbound": now.get("inboundExecutions", []),
                "transition": now.get("inboundTransitionState", {"enabled": True}),
                "actions": [_action(each, actions.get(each["name"], {}), runs) for each in stage["actions"]],
            }
        )
    return found


def _action(declared: Document, state: Document, runs: dict[str, Document]) -> Document:
    latest: Document = state.get("latestExecution", {})
    run = runs.get(latest.get("actionExecutionId", ""))
    link = str(state.get("entityUrl", ""))
    status = latest.get("status", "")
    resolved = (run or {}).get("input", {}).get("resolvedConfiguration")
    configuration: Document = resolved or declared.get("configuration", {})
    return {
        "name": declared["name"],
        "provider": declared["actionTypeId"]["provider"],
        "category": declared["actionTypeId"]["category"],
        "status": "PendingManualApproval" if latest.get("token") else status,
        "latest": latest,
        "run": run,
        "ended": None if run is None or status == "InProgress" else run["lastUpdateTime"],
        "revision": state.get("currentRevision", {}).get("revisionId", ""),
        "entity": link if link.startswith(("https://", "http://")) else "",
        "question": configuration.get("CustomData", ""),
    }


async def _do(view: View, operation: str, **parameters: Any) -> Response:
    """Act, and show the pipeline again; what was refused is told on its page."""
    try:
        await view.call(operation, SERVICE, **parameters)
    except AwsError as error:
        if is_missing(error) and error.code.startswith("PipelineNotFound"):
            raise
        return await _page(view, error.message)
    return view.go("deployments", view.argument("name"))


async def review(view: View) -> Response:
    """Approve or reject what waits, with a comment. The token says which question was seen: no other is answered."""
    return await _do(
        view,
        "PutApprovalResult",
        pipelineName=view.argument("name"),
        stageName=view.field("stage"),
        actionName=view.field("action"),
        token=view.field("token"),
        result={"status": view.field("status"), "summary": view.field("comment").strip()},
    )


async def release(view: View) -> Response:
    return await _do(view, "StartPipelineExecution", name=view.argument("name"))


async def retry(view: View) -> Response:
    return await _do(
        view,
        "RetryStageExecution",
        pipelineName=view.argument("name"),
        stageName=view.field("stage"),
        pipelineExecutionId=view.field("execution"),
        retryMode="FAILED_ACTIONS",
    )


async def transition(view: View) -> Response:
    """Open or close the way into a stage."""
    place = {
        "pipelineName": view.argument("name"),
        "stageName": view.field("stage"),
        "transitionType": "Inbound",
    }
    if view.field("enable"):
        return await _do(view, "EnableStageTransition", **place)
    reason = view.field("reason").strip()
    if not reason:
        return await _page(view, view.texts("Say why: whoever waits for this stage will read it."))
    return await _do(view, "DisableStageTransition", **place, reason=reason)


async def action(view: View) -> Response:
    """One run of an action: what it was given and made, its build's log or its stack's events."""
    name, identity = view.argument("name"), view.argument("action")
    wanted = {"pipelineExecutionId": view.argument("execution")}
    found = await view.call("ListActionExecutions", SERVICE, pipelineName=name, filter=wanted, maxResults=_ACTIONS)
    run = next((each for each in found["actionExecutionDetails"] if each["actionExecutionId"] == identity), None)
    if run is None:
        raise HTTPException(404)
    result = run.get("output", {}).get("executionResult", {})
    given = run["input"]
    configuration = given.get("resolvedConfiguration") or given.get("configuration", {})
    stack = ""
    if given["actionTypeId"]["provider"] == "CloudFormation":
        stack = result.get("externalExecutionId") or configuration.get("StackName", "")
    return view.page(
        "deployed.html",
        name=name,
        run=run,
        result=result,
        configuration=configuration,
        provider=given["actionTypeId"]["provider"],
        lines=await _log(view, result.get("logStreamARN", "")),
        stack=stack,
        events=await _events(view, stack),
        live=live_address([f"codepipeline/{name}", *_watched(given["actionTypeId"]["provider"], result, stack)]),
    )


def _watched(provider: str, result: Document, stack: str) -> list[str]:
    """What else happens to what an action runs: its build has written something, its stack has changed."""
    if provider == "CodeBuild" and result.get("externalExecutionId"):
        return [f"log:build/{result['externalExecutionId']}"]
    return ["resource/Stack/"] if stack else []


async def _log(view: View, arn: str) -> list[Document]:
    """The last lines of a log stream, by its ARN."""
    group, _, stream = arn.partition(":log-group:")[2].partition(":log-stream:")
    if not stream:
        return []
    found = await view.find(
        "GetLogEvents", "logs", logGroupName=group, logStreamName=stream, limit=_LOG_LINES, startFromHead=False
    )
    events: list[Document] = (found or {}).get("events", [])
    return events


async def _events(view: View, stack: str) -> list[Document]:
    """What happened to a stack, the newest first."""
    if not stack:
        return []
    found = await view.find("DescribeStackEvents", "cloudformation", StackName=stack)
    events: list[Document] = (found or {}).get("StackEvents", [])
    return events[:_STACK_EVENTS]
