"""`modelwright deployments`: pipelines of CodePipeline, what they are doing, and the answers that they wait for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from rich.text import Text

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.completion import deployment_names
from modelwright.cli.console import Console, stop_with, without_metadata
from modelwright.cli.tables import COLOURS, GAP, Column, cell, elapsed, grid
from modelwright.errors import ConfigurationError

COLUMNS = (
    Column("PIPELINE", "name"),
    Column("STATUS", "status"),
    Column("WAITS FOR", "waitsFor"),
    Column("STARTED", "startTime", spare=True),
    Column("EXECUTION", "pipelineExecutionId", spare=True),
)
MARKS = {"Succeeded": "✔", "Failed": "✘", "Stopped": "■", "InProgress": "●", "Stopping": "●", "Abandoned": "■"}
OVER = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
WATCH_SECONDS = 0.5
LOG_LINES, LAST_WORDS = 60, 3
"""How much of a failed build's log is looked at, and how many of its own lines are shown."""
SHORT = 8
"""How much of an id is shown to a reader."""


@dataclass(frozen=True)
class Asked:
    """An approval that waits."""

    stage: str
    action: str
    token: str
    data: str = ""

    @property
    def name(self) -> str:
        return f"{self.stage}/{self.action}"


@click.group("deployments", cls=ActingGroup)
def deployments() -> None:
    """List and show deployment pipelines; start and stop them, approve, reject, retry, roll back."""


@deployments.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_deployments(console: Console, limit: int) -> None:
    """List pipelines with their newest execution, and what they wait for."""
    client = console.client("codepipeline")
    console.rows([_summary(client, found) for found in _pipelines(client, limit)], COLUMNS, "No pipelines yet.")


@deployments.command("show")
@click.argument("name", shell_complete=deployment_names)
@pass_console
def show_deployment(console: Console, name: str) -> None:
    """Show a pipeline's stages and actions, with the reason of each failure."""
    client = console.client("codepipeline")
    pipeline, state = _find(console, client, name)
    console.show(state, lambda: Text("\n").join(drawing(console, pipeline, state)))


@deployments.command("start")
@click.argument("name", shell_complete=deployment_names)
@click.option("--variable", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the pipeline.")
@click.option("--wait", is_flag=True, help="Say what happens until it is over, or waits for an approval.")
@pass_console
def start_deployment(console: Console, name: str, variables: tuple[str, ...], wait: bool) -> None:
    """Release a change: start an execution with what its sources have now."""
    client = console.client("codepipeline")
    _find(console, client, name)
    given = [{"name": key, "value": value} for key, value in map(_variable, variables)]
    answer = client.start_pipeline_execution(name=name, **({"variables": given} if given else {}))
    identity = answer["pipelineExecutionId"]
    if wait:
        _watch(console, client, name, identity)
    else:
        console.show(without_metadata(answer), lambda: f"{name} has started: {identity}")


@deployments.command("stop")
@click.argument("name", shell_complete=deployment_names)
@click.option("--execution", metavar="ID", help="Which; the newest that is not over where it is not given.")
@click.option("--abandon", is_flag=True, help="Don't wait for the actions that run.")
@click.option("-m", "--comment", metavar="TEXT", help="Why; kept with the execution.")
@pass_console
def stop_deployment(console: Console, name: str, execution: str | None, abandon: bool, comment: str | None) -> None:
    """Stop an execution."""
    client = console.client("codepipeline")
    _find(console, client, name)
    if execution is None:
        running = [found for found in _executions(client, name) if found["status"] not in OVER]
        if not running:
            raise ConfigurationError(f"Nothing of '{name}' runs. See: {console.command(f'deployments show {name}')}")
        execution = str(running[0]["pipelineExecutionId"])
    answer = client.stop_pipeline_execution(
        pipelineName=name,
        pipelineExecutionId=execution,
        abandon=abandon,
        **({"reason": comment} if comment else {}),
    )
    console.show(without_metadata(answer), lambda: f"{name} is stopping: {execution}")


@deployments.command("retry")
@click.argument("name", shell_complete=deployment_names)
@click.option("--stage", metavar="NAME", help="Which; the last that has failed where it is not given.")
@click.option("--all", "everything", is_flag=True, help="All of its actions, not only those that have failed.")
@click.option("--wait", is_flag=True, help="Say what happens until it is over, or waits for an approval.")
@pass_console
def retry_deployment(console: Console, name: str, stage: str | None, everything: bool, wait: bool) -> None:
    """Run a failed stage again."""
    client = console.client("codepipeline")
    _, state = _find(console, client, name)
    failed = [
        found
        for found in state["stageStates"]
        if found.get("latestExecution", {}).get("status") in ("Failed", "Stopped")
        and stage in (None, found["stageName"])
    ]
    if not failed:
        where = f"The stage '{stage}' of '{name}'" if stage else f"No stage of '{name}'"
        raise ConfigurationError(
            f"{where} has {'not ' if stage else ''}failed. See: {console.command(f'deployments show {name}')}"
        )
    chosen = failed[-1]
    identity = chosen["latestExecution"]["pipelineExecutionId"]
    answer = client.retry_stage_execution(
        pipelineName=name,
        stageName=chosen["stageName"],
        pipelineExecutionId=identity,
        retryMode="ALL_ACTIONS" if everything else "FAILED_ACTIONS",
    )
    if wait:
        _watch(console, client, name, identity)
    else:
        console.show(without_metadata(answer), lambda: f"{name} goes on from {chosen['stageName']}: {identity}")


@deployments.command("rollback")
@click.argument("name", shell_complete=deployment_names)
@click.argument("stage")
@click.option("--to", "target", metavar="ID", help="The execution; the last good one before this where not given.")
@click.option("--wait", is_flag=True, help="Say what happens until it is over, or waits for an approval.")
@pass_console
def rollback_deployment(console: Console, name: str, stage: str, target: str | None, wait: bool) -> None:
    """Bring a stage back to what an earlier execution brought there."""
    client = console.client("codepipeline")
    _, state = _find(console, client, name)
    latest = [found.get("latestExecution", {}) for found in state["stageStates"] if found["stageName"] == stage]
    if not latest:
        raise ConfigurationError(f"'{name}' has no stage '{stage}'. See: {console.command(f'deployments show {name}')}")
    if target is None:
        good = _executions(client, name, filter={"succeededInStage": {"stageName": stage}})
        now = latest[0].get("pipelineExecutionId")
        earlier = [found for found in good if found["pipelineExecutionId"] != now and _standard(found)]
        if not earlier:
            raise ConfigurationError(f"No earlier execution of '{name}' has succeeded in {stage}.")
        target = str(earlier[0]["pipelineExecutionId"])
    answer = client.rollback_stage(pipelineName=name, stageName=stage, targetPipelineExecutionId=target)
    identity = answer["pipelineExecutionId"]
    if wait:
        _watch(console, client, name, identity)
    else:
        console.show(without_metadata(answer), lambda: f"{name}: {stage} goes back to {target}: {identity}")


def _standard(execution: dict[str, Any]) -> bool:
    return bool(execution.get("executionType", "STANDARD") == "STANDARD")


@deployments.command("approve")
@click.argument("name", shell_complete=deployment_names)
@click.option("--action", metavar="STAGE/ACTION", help="Which approval, where several wait.")
@click.option("-m", "--comment", metavar="TEXT", default="", help="Why; kept with the approval.")
@pass_console
def approve_deployment(console: Console, name: str, action: str | None, comment: str) -> None:
    """Approve what waits for it."""
    _answer(console, name, action, "Approved", comment)


@deployments.command("reject")
@click.argument("name", shell_complete=deployment_names)
@click.option("--action", metavar="STAGE/ACTION", help="Which approval, where several wait.")
@click.option("-m", "--comment", metavar="TEXT", default="", help="Why; kept with the approval.")
@pass_console
def reject_deployment(console: Console, name: str, action: str | None, comment: str) -> None:
    """Reject what waits for approval: its stage fails."""
    _answer(console, name, action, "Rejected", comment)


def _answer(console: Console, name: str, action: str | None, status: str, comment: str) -> None:
    client = console.client("codepipeline")
    pipeline, state = _find(console, client, name)
    waiting = [found for found in _asked(client, pipeline, state) if action in (None, found.name, found.action)]
    show = console.command(f"deployments show {name}")
    if not waiting:
        what = f"The action '{action}' of '{name}' does not wait" if action else f"Nothing of '{name}' waits"
        raise ConfigurationError(f"{what} for approval. See: {show}")
    if len(waiting) > 1:
        names = ", ".join(dict.fromkeys(found.name for found in waiting))
        raise ConfigurationError(f"Several approvals of '{name}' wait: name one with --action ({names}). See: {show}")
    (asked,) = waiting
    answer = client.put_approval_result(
        pipelineName=name,
        stageName=asked.stage,
        actionName=asked.action,
        token=asked.token,
        result={"summary": comment, "status": status},
    )
    document = {"stageName": asked.stage, "actionName": asked.action, "status": status, **without_metadata(answer)}
    console.show(document, lambda: f"{name}: {asked.name} is {status}")


# Asking


def _pipelines(client: Any, limit: int) -> Iterator[dict[str, Any]]:
    pages = client.get_paginator("list_pipelines").paginate(PaginationConfig={"MaxItems": limit})
    return (found for page in pages for found in page["pipelines"])


def _executions(client: Any, name: str, limit: int = 50, **more: Any) -> list[dict[str, Any]]:
    """The newest first."""
    answer = client.list_pipeline_executions(pipelineName=name, maxResults=limit, **more)
    found: list[dict[str, Any]] = answer["pipelineExecutionSummaries"]
    return found


def _summary(client: Any, pipeline: dict[str, Any]) -> dict[str, Any]:
    name = pipeline["name"]
    declaration = client.get_pipeline(name=name)["pipeline"]
    asked = _asked(client, declaration, client.get_pipeline_state(name=name))
    newest = next(iter(_executions(client, name, 1)), {})
    members = ("status", "startTime", "pipelineExecutionId")
    return {
        **pipeline,
        **{member: newest[member] for member in members if member in newest},
        **({"waitsFor": ", ".join(found.name for found in asked)} if asked else {}),
    }


def _find(console: Console, client: Any, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(declaration, state). Raises ConfigurationError when there is no such pipeline."""
    try:
        declaration = client.get_pipeline(name=name)["pipeline"]
        return declaration, without_metadata(client.get_pipeline_state(name=name))
    except client.exceptions.PipelineNotFoundException:
        raise ConfigurationError(f"There is no pipeline '{name}'. See: {console.command('deployments list')}") from None


def _asked(client: Any, pipeline: dict[str, Any], state: dict[str, Any]) -> list[Asked]:
    """The approvals that wait for an answer."""
    if pipeline.get("executionMode") == "PARALLEL":  # then the state tells no tokens
        actions = client.list_action_executions(pipelineName=pipeline["name"])["actionExecutionDetails"]
        return [
            Asked(found["stageName"], found["actionName"], found["output"]["executionResult"]["externalExecutionId"])
            for found in actions
            if found["status"] == "InProgress" and found["input"]["actionTypeId"]["category"] == "Approval"
        ]
    return [
        Asked(stage["stageName"], action["actionName"], action["latestExecution"]["token"])
        for stage in state["stageStates"]
        for action in stage["actionStates"]
        if "token" in action.get("latestExecution", {})
    ]


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigurationError(f"--variable {text}: must be NAME=VALUE.")
    return name, value


def _watch(console: Console, client: Any, name: str, identity: str) -> None:
    """Tell each change until the execution is over. Ends the program with 1 unless it succeeded, or waits."""
    pause, known = threading.Event(), dict[str, str]()
    try:
        while True:
            document = client.get_pipeline_execution(pipelineName=name, pipelineExecutionId=identity)
            status = document["pipelineExecution"]["status"]
            actions = client.list_action_executions(pipelineName=name, filter={"pipelineExecutionId": identity})[
                "actionExecutionDetails"
            ]
            waits = False
            for action in reversed(actions):
                where = f"{action['stageName']}/{action['actionName']}"
                approval = action["input"]["actionTypeId"]["category"] == "Approval"
                waits = waits or (approval and action["status"] == "InProgress")
                if known.get(action["actionExecutionId"]) != action["status"]:
                    known[action["actionExecutionId"]] = action["status"]
                    console.tell(f"    {where}: {action['status']}")
            if status in OVER or waits:
                break
            pause.wait(WATCH_SECONDS)
    except KeyboardInterrupt:
        stop_with(f"interrupted; the execution goes on. {console.command(f'deployments show {name}')}", 130)
    pipeline, state = _find(console, client, name)
    console.show(document["pipelineExecution"], lambda: Text("\n").join(drawing(console, pipeline, state)))
    if status in OVER and status != "Succeeded":
        stop_with(f"{identity} {status}")


# Drawing


def drawing(console: Console, pipeline: dict[str, Any], state: dict[str, Any]) -> list[Text]:
    """A headline; a line a stage; below it a line an action, with what went wrong and what it waits for."""
    headline = Text(state["pipelineName"], style="bold")
    headline.append(f"{GAP}version {state['pipelineVersion']}{GAP}{pipeline.get('executionMode', 'SUPERSEDED')}", "dim")
    lines = [headline]
    declared = {stage["name"]: stage for stage in pipeline["stages"]}
    for stage in state["stageStates"]:
        lines += _stage(stage)
        lines += _actions(console, state["pipelineName"], declared[stage["stageName"]], stage)
    return lines


def _stage(stage: dict[str, Any]) -> Iterator[Text]:
    transition = stage.get("inboundTransitionState", {})
    if not transition.get("enabled", True):
        yield Text(f"    transition disabled: {transition.get('disabledReason', '')}", style="yellow")
    for waiting in stage.get("inboundExecutions", []):
        yield Text(f"    {waiting['pipelineExecutionId'][:SHORT]} waits to enter", style="dim")
    line = Text(stage["stageName"], style="bold")
    latest = stage.get("latestExecution")
    if latest is not None:
        line.append(GAP).append_text(cell(latest["status"]))
        line.append(f"{GAP}{latest['pipelineExecutionId'][:SHORT]}", style="dim")
    yield line


def _actions(console: Console, name: str, declared: dict[str, Any], stage: dict[str, Any]) -> Iterator[Text]:
    providers = {action["name"]: action["actionTypeId"]["provider"] for action in declared["actions"]}
    orders = {action["name"]: action.get("runOrder", 1) for action in declared["actions"]}
    rows, notes = [], dict[int, list[Text]]()
    for i, action in enumerate(sorted(stage["actionStates"], key=lambda found: orders[found["actionName"]])):
        latest = action.get("latestExecution", {})
        status = latest.get("status", "")
        mark = Text(MARKS.get(status, "·"), style=COLOURS.get(status, "dim"))
        rows.append(
            [
                Text("  ").append_text(mark),
                Text(action["actionName"]),
                Text(providers.get(action["actionName"], ""), style="dim"),
                cell("waits for approval" if "token" in latest else status),
                Text(_ago(latest), style="dim"),
            ]
        )
        notes[i] = list(_notes(console, name, stage["stageName"], action))
        if status == "Failed" and providers.get(action["actionName"]) == "CodeBuild":
            notes[i] += _last_words(console, latest.get("externalExecutionId", ""))
    for i, line in enumerate(grid(rows).split("\n")):
        yield line
        yield from notes[i]


def _notes(console: Console, name: str, stage: str, action: dict[str, Any]) -> Iterator[Text]:
    latest = action.get("latestExecution", {})
    if "token" in latest:
        if action.get("entityUrl"):
            yield Text(f"      {action['entityUrl']}")
        for verb in ("approve", "reject"):
            command = console.command(f"deployments {verb} {name} --action {stage}/{action['actionName']}")
            yield Text(f"      {command}", style="yellow")
    elif latest.get("lastUpdatedBy"):
        said = f": {latest['summary']}" if latest.get("summary") else ""
        yield Text(f"      by {latest['lastUpdatedBy'].rpartition('/')[2]}{said}", style="dim")
    if "errorDetails" in latest:
        yield Text(f"      {latest['errorDetails']['message']}", style="red")


def _last_words(console: Console, build: str) -> Iterator[Text]:
    """What a failed build said last: CodePipeline tells of it only the command that failed."""
    if not build:
        return
    for found in console.client("codebuild").batch_get_builds(ids=[build])["builds"]:
        logs = found.get("logs", {})
        if "streamName" not in logs:
            continue
        place = {"logGroupName": logs["groupName"], "logStreamName": logs["streamName"]}
        client = console.client("logs")
        try:
            events = client.get_log_events(**place, limit=LOG_LINES, startFromHead=False)["events"]
        except client.exceptions.ResourceNotFoundException:
            continue  # somebody deleted the log
        lines = [event["message"].rstrip() for event in events]
        said = [line for line in lines if line.strip() and not line.startswith("[Container]")]
        for line in said[-LAST_WORDS:]:
            yield Text(f"      | {line}", style="dim")
    yield Text(f"      {console.command(f'builds logs {build}')}", style="yellow")


def _ago(latest: dict[str, Any]) -> str:
    return f"{elapsed(latest['lastStatusChange'], None)} ago" if "lastStatusChange" in latest else ""


COMMANDS = (deployments,)
