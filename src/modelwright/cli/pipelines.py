"""`modelwright pipelines` and `modelwright executions`."""

from __future__ import annotations

import json
import threading
from typing import Any

import click
from rich.console import Group as Stack
from rich.live import Live
from rich.table import Table
from rich.text import Text

from modelwright.cli.console import (
    COLOURS,
    Console,
    Group,
    cell,
    elapsed,
    pages,
    pass_console,
    stop_with,
    without_metadata,
)
from modelwright.errors import ConfigurationError

ENDED = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
MARKS = {"Succeeded": "✔", "Failed": "✘", "Stopped": "■", "Executing": "●", "Starting": "●", "Stopping": "●"}


@click.group("pipelines", cls=Group)
def pipelines() -> None:
    """List, show, start and delete pipelines."""


@pipelines.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@pass_console
def list_pipelines(console: Console, limit: int) -> None:
    """The newest first."""
    found = pages(console.client("sagemaker"), "list_pipelines", "PipelineSummaries", limit)
    columns = [("NAME", "PipelineName"), ("CREATED", "CreationTime"), ("MODIFIED", "LastModifiedTime")]
    console.rows(found, [*columns, ("LAST RUN", "LastExecutionTime")], "No pipelines yet.")


@pipelines.command("show")
@click.argument("name")
@click.option("--definition", is_flag=True, help="Print just the definition, as JSON.")
@pass_console
def show_pipeline(console: Console, name: str, definition: bool) -> None:
    """A pipeline's settings and definition."""
    answer = without_metadata(console.client("sagemaker").describe_pipeline(PipelineName=name))
    document = json.loads(answer["PipelineDefinition"])
    if definition:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if not console.as_json:
        answer["PipelineDefinition"] = f"{len(document['Steps'])} steps (--definition prints it)"
        answer["Parameters"] = document.get("Parameters", [])
    console.fields(answer)


@pipelines.command("start")
@click.argument("name")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a parameter.")
@click.option("--wait", is_flag=True, help="Show the steps until it has ended.")
@pass_console
def start_pipeline(console: Console, name: str, parameters: tuple[str, ...], wait: bool) -> None:
    """Start an execution."""
    given = []
    for parameter in parameters:
        key, separator, value = parameter.partition("=")
        if not separator:
            raise click.BadParameter(f"'{parameter}' is not NAME=VALUE")
        given.append({"Name": key, "Value": value})
    client = console.client("sagemaker")
    arn = client.start_pipeline_execution(PipelineName=name, PipelineParameters=given)["PipelineExecutionArn"]
    if wait:
        watch(console, client, arn)
    else:
        console.show({"PipelineExecutionArn": arn}, lambda: arn)


@pipelines.command("delete")
@click.argument("name")
@pass_console
def delete_pipeline(console: Console, name: str) -> None:
    """Delete a pipeline and its executions' records."""
    console.client("sagemaker").delete_pipeline(PipelineName=name)
    console.show({"Deleted": name}, lambda: f"{name} is deleted")


@click.group("executions", cls=Group)
def executions() -> None:
    """List, show, watch, stop and retry executions of pipelines."""


@executions.command("list")
@click.argument("pipeline", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@pass_console
def list_executions(console: Console, pipeline: str | None, limit: int) -> None:
    """The newest first; of one pipeline, or of all."""
    client = console.client("sagemaker")
    names = (
        [pipeline] if pipeline else [p["PipelineName"] for p in pages(client, "list_pipelines", "PipelineSummaries")]
    )
    found = []
    for name in names:
        for summary in pages(
            client, "list_pipeline_executions", "PipelineExecutionSummaries", limit, PipelineName=name
        ):
            found.append({"PipelineName": name, "Id": summary["PipelineExecutionArn"].rsplit("/", 1)[1], **summary})
    found.sort(key=lambda summary: summary["StartTime"], reverse=True)
    columns = [("PIPELINE", "PipelineName"), ("ID", "Id"), ("STATUS", "PipelineExecutionStatus")]
    console.rows(
        found[:limit],
        [*columns, ("STARTED", "StartTime"), ("NAME", "PipelineExecutionDisplayName")],
        "No executions yet.",
    )


@executions.command("show")
@click.argument("execution")
@pass_console
def show_execution(console: Console, execution: str) -> None:
    """An execution and its steps. EXECUTION is an id or an ARN."""
    client = console.client("sagemaker")
    arn = execution_arn(client, execution)
    document = without_metadata(client.describe_pipeline_execution(PipelineExecutionArn=arn))
    document["Steps"] = steps_of(client, arn)
    console.show(document, lambda: Stack(*drawing(document, document["Steps"])))


@executions.command("watch")
@click.argument("execution")
@pass_console
def watch_execution(console: Console, execution: str) -> None:
    """Show the steps until the execution has ended; the exit status tells how."""
    client = console.client("sagemaker")
    watch(console, client, execution_arn(client, execution))


@executions.command("stop")
@click.argument("execution")
@pass_console
def stop_execution(console: Console, execution: str) -> None:
    """Stop an execution and its running jobs."""
    client = console.client("sagemaker")
    arn = execution_arn(client, execution)
    client.stop_pipeline_execution(PipelineExecutionArn=arn)
    console.show({"Stopping": arn}, lambda: f"{arn} is stopping")


@executions.command("retry")
@click.argument("execution")
@pass_console
def retry_execution(console: Console, execution: str) -> None:
    """Run a failed execution again, from its failed steps."""
    client = console.client("sagemaker")
    arn = execution_arn(client, execution)
    client.retry_pipeline_execution(PipelineExecutionArn=arn)
    console.show({"Retrying": arn}, lambda: f"{arn} goes on from its failed steps")


def execution_arn(client: Any, execution: str) -> str:
    """An ARN as it is; an id is looked up. Raises ConfigurationError when there is none."""
    if execution.startswith("arn:"):
        return execution
    for pipeline in pages(client, "list_pipelines", "PipelineSummaries"):
        for summary in pages(
            client, "list_pipeline_executions", "PipelineExecutionSummaries", PipelineName=pipeline["PipelineName"]
        ):
            arn: str = summary["PipelineExecutionArn"]
            if arn.endswith(f"/{execution}"):
                return arn
    raise ConfigurationError(f"There is no execution '{execution}'. See: modelwright executions list")


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
    with Live(console=console.terminal, refresh_per_second=4, transient=False) as live:
        while True:
            document = client.describe_pipeline_execution(PipelineExecutionArn=arn)
            if not console.as_json:
                live.update(Stack(*drawing(document, steps_of(client, arn))))
            if document["PipelineExecutionStatus"] in ENDED:
                break
            pause.wait(0.5)
    if console.as_json:
        console.show({**without_metadata(document), "Steps": steps_of(client, arn)})
    if document["PipelineExecutionStatus"] != "Succeeded":
        stop_with(f"{arn.rsplit('/', 1)[1]} {document['PipelineExecutionStatus']}")


def drawing(document: dict[str, Any], steps: list[dict[str, Any]]) -> list[Any]:
    """An execution on a terminal: a headline, a line a step, the reason of each failure."""
    status = document["PipelineExecutionStatus"]
    end = document["LastModifiedTime"] if status in ENDED else None
    headline = Text(f"{document['PipelineExecutionArn'].rsplit('/', 1)[1]}  ", style="bold")
    headline.append(status, style=COLOURS.get(status, ""))
    headline.append(f"  {elapsed(document['CreationTime'], end)}", style="dim")
    table = Table(box=None, show_header=False, pad_edge=False)
    reasons = [document["FailureReason"]] if document.get("FailureReason") else []
    for step in steps:
        colour = COLOURS.get(step["StepStatus"], "")
        table.add_row(
            Text(MARKS.get(step["StepStatus"], " "), style=colour),
            Text(step["StepName"]),
            cell(step["StepStatus"]),
            Text(elapsed(step.get("StartTime"), step.get("EndTime")), style="dim"),
        )
        if step.get("FailureReason"):
            reasons.append(f"{step['StepName']}: {step['FailureReason']}")
    return [headline, table, *(Text(reason, style="red") for reason in reasons)]


COMMANDS = (pipelines, executions)
