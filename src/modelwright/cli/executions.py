"""`modelwright executions`: what runs and what ran of the pipelines."""

from __future__ import annotations

import threading
from typing import Any

import click
from rich.console import Group as Stack

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.completion import execution_names, pipeline_names
from modelwright.cli.console import Console, expected, pages, stop_with, without_metadata
from modelwright.cli.live import ENDED, display, drawing
from modelwright.cli.tables import Column
from modelwright.errors import ConfigurationError

COLUMNS = (
    Column("PIPELINE", "PipelineName"),
    Column("ID", "Id"),
    Column("STATUS", "PipelineExecutionStatus"),
    Column("STARTED", "StartTime", spare=True),
    Column("NAME", "PipelineExecutionDisplayName", spare=True),
)
WATCH_SECONDS = 0.5
ID_LENGTH = 12


@click.group("executions", cls=ActingGroup)
def executions() -> None:
    """List, show, watch, stop and retry executions of pipelines."""


@executions.command("list")
@click.argument("pipeline", required=False, shell_complete=pipeline_names)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_executions(console: Console, pipeline: str | None, limit: int) -> None:
    """List executions of one pipeline, or of all; the newest first."""
    client = console.client("sagemaker")
    found = _newest(client, limit) if pipeline is None else _of_one(console, client, pipeline, limit)
    console.rows(found, COLUMNS, f"No executions of {pipeline} yet." if pipeline else "No executions yet.")


def _of_one(console: Console, client: Any, pipeline: str, limit: int) -> list[dict[str, Any]]:
    with expected(f"There is no pipeline '{pipeline}'. See: {console.command('pipelines list')}"):
        found = pages(client, "list_pipeline_executions", "PipelineExecutionSummaries", limit, PipelineName=pipeline)
    return [{"PipelineName": pipeline, "Id": _id(summary["PipelineExecutionArn"]), **summary} for summary in found]


def _newest(client: Any, limit: int) -> list[dict[str, Any]]:
    """Of all pipelines, in the shape of ListPipelineExecutions, which knows only one pipeline at a time."""
    found = pages(
        client,
        "search",
        "Results",
        limit,
        Resource="PipelineExecution",
        SortBy="CreationTime",
        MaxResults=min(limit, 100),
    )
    names: dict[str, str] = {}
    if found:  # an ARN has the name in small letters only
        summaries = pages(client, "list_pipelines", "PipelineSummaries")
        names = {summary["PipelineArn"]: summary["PipelineName"] for summary in summaries}
    return [_summary(result["PipelineExecution"], names) for result in found]


def _summary(execution: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    arn = execution["PipelineExecutionArn"]
    pipeline = arn.rsplit("/execution/", 1)[0]
    shown = ("PipelineExecutionArn", "PipelineExecutionStatus", "PipelineExecutionDisplayName")
    return {
        "PipelineName": names.get(pipeline, pipeline.rsplit("/", 1)[-1]),
        "Id": _id(arn),
        **{member: execution[member] for member in shown if member in execution},
        "StartTime": execution["CreationTime"],
        **({"PipelineExecutionFailureReason": execution["FailureReason"]} if "FailureReason" in execution else {}),
    }


@executions.command("show")
@click.argument("execution", shell_complete=execution_names)
@pass_console
def show_execution(console: Console, execution: str) -> None:
    """Show an execution and its steps, with the reason of each failure.

    EXECUTION is an id, an ARN, or the name of a pipeline: then it is the newest execution of that.
    """
    client = console.client("sagemaker")
    arn = execution_arn(console, client, execution)
    document = without_metadata(client.describe_pipeline_execution(PipelineExecutionArn=arn))
    document["Steps"] = steps_of(client, arn)
    console.show(document, lambda: Stack(*drawing(document, document["Steps"])))
    if not console.as_json:
        _point_at_logs(console, document["Steps"])


@executions.command("watch")
@click.argument("execution", shell_complete=execution_names)
@pass_console
def watch_execution(console: Console, execution: str) -> None:
    """Show the steps until the execution has ended.

    EXECUTION is an id, an ARN, or the name of a pipeline: then it is the newest execution of that. The exit status is
    0 when it succeeded, else 1. Ctrl-C ends the watching, not the execution.
    """
    client = console.client("sagemaker")
    watch(console, client, execution_arn(console, client, execution))


@executions.command("stop")
@click.argument("execution", shell_complete=execution_names)
@pass_console
def stop_execution(console: Console, execution: str) -> None:
    """Stop an execution and its running jobs.

    EXECUTION is an id, an ARN, or the name of a pipeline: then it is the newest execution of that.
    """
    client = console.client("sagemaker")
    arn = execution_arn(console, client, execution)
    client.stop_pipeline_execution(PipelineExecutionArn=arn)
    console.show({"Stopping": arn}, lambda: f"{_id(arn)} is stopping")


@executions.command("retry")
@click.argument("execution", shell_complete=execution_names)
@click.option("--wait", is_flag=True, help="Show the steps until it has ended; its end is the exit status.")
@pass_console
def retry_execution(console: Console, execution: str, wait: bool) -> None:
    """Run a failed execution again, from its failed steps.

    EXECUTION is an id, an ARN, or the name of a pipeline: then it is the newest execution of that.
    """
    client = console.client("sagemaker")
    arn = execution_arn(console, client, execution)
    client.retry_pipeline_execution(PipelineExecutionArn=arn)
    if wait:
        watch(console, client, arn)
    else:
        console.show({"Retrying": arn}, lambda: f"{_id(arn)} goes on from its failed steps")


def execution_arn(console: Console, client: Any, execution: str) -> str:
    """Of an ARN, of an id (by one Search), or of the pipeline whose newest execution is meant.

    Raises ConfigurationError when there is none.
    """
    if execution.startswith("arn:"):
        with expected(f"There is no execution '{execution}'. See: {console.command('executions list')}"):
            client.describe_pipeline_execution(PipelineExecutionArn=execution)
        return execution
    if len(execution) == ID_LENGTH and execution.isalnum():
        wanted = {"Name": "PipelineExecutionArn", "Operator": "Contains", "Value": f"/execution/{execution}"}
        found = client.search(Resource="PipelineExecution", SearchExpression={"Filters": [wanted]})["Results"]
        if found:
            return str(found[0]["PipelineExecution"]["PipelineExecutionArn"])
    with expected(f"There is no execution '{execution}'. See: {console.command('executions list')}"):
        newest = client.list_pipeline_executions(PipelineName=execution, MaxResults=1)["PipelineExecutionSummaries"]
    if not newest:
        start = console.command(f"pipelines start {execution}")
        raise ConfigurationError(f"The pipeline '{execution}' has no executions yet. Start one: {start}")
    return str(newest[0]["PipelineExecutionArn"])


def steps_of(client: Any, arn: str) -> list[dict[str, Any]]:
    """In the order in which they started."""
    return pages(
        client,
        "list_pipeline_execution_steps",
        "PipelineExecutionSteps",
        PipelineExecutionArn=arn,
        SortOrder="Ascending",
    )


def watch(console: Console, client: Any, arn: str) -> None:
    """Show the steps until the execution has ended. Ends the program with 1 unless it succeeded."""
    pause = threading.Event()
    try:
        with display(console) as show:
            while True:
                document = without_metadata(client.describe_pipeline_execution(PipelineExecutionArn=arn))
                steps = steps_of(client, arn)
                show(document, steps)
                if document["PipelineExecutionStatus"] in ENDED:
                    break
                pause.wait(WATCH_SECONDS)
    except KeyboardInterrupt:
        stop_with(f"interrupted; the execution goes on. {console.command(f'executions watch {_id(arn)}')}", 130)
    console.show({**document, "Steps": steps}, lambda: Stack(*drawing(document, steps)))
    if document["PipelineExecutionStatus"] != "Succeeded":
        _point_at_logs(console, steps)
        stop_with(f"{_id(arn)} {document['PipelineExecutionStatus']}")


def _point_at_logs(console: Console, steps: list[dict[str, Any]]) -> None:
    """Where the reason of each failure can be read in full."""
    for step in steps:
        for detail in step.get("Metadata", {}).values():
            job = detail.get("Arn", "") if isinstance(detail, dict) else ""
            if step["StepStatus"] == "Failed" and ("training-job/" in job or "processing-job/" in job):
                console.tell(f"What {step['StepName']} printed: {console.command('logs ' + _id(job))}")


def _id(arn: str) -> str:
    return arn.rsplit("/", 1)[1]


COMMANDS = (executions,)
