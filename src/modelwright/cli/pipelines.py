"""`modelwright pipelines`: what can be run, and running it. What runs and ran is executions.py's."""

from __future__ import annotations

import json
from typing import Any

import click

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.completion import pipeline_names
from modelwright.cli.console import Console, as_json, expected, pages, without_metadata
from modelwright.cli.executions import watch
from modelwright.cli.tables import Column

COLUMNS = (
    Column("NAME", "PipelineName"),
    Column("LAST RUN", "LastExecutionTime", spare=True),
    Column("MODIFIED", "LastModifiedTime", spare=True),
    Column("CREATED", "CreationTime", spare=True),
)


@click.group("pipelines", cls=ActingGroup)
def pipelines() -> None:
    """List, show, start and delete pipelines."""


@pipelines.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_pipelines(console: Console, limit: int) -> None:
    """List pipelines, the newest first."""
    found = pages(console.client("sagemaker"), "list_pipelines", "PipelineSummaries", limit)
    console.rows(found, COLUMNS, "No pipelines yet.")


@pipelines.command("show")
@click.argument("name", shell_complete=pipeline_names)
@click.option("--definition", is_flag=True, help="Print just the definition, as JSON.")
@pass_console
def show_pipeline(console: Console, name: str, definition: bool) -> None:
    """Show a pipeline's settings, parameters and steps."""
    answer = _describe(console, console.client("sagemaker"), name)
    document = json.loads(answer["PipelineDefinition"])
    if definition:
        click.echo(as_json(document))
        return
    if not console.as_json:
        del answer["PipelineDefinition"]
        answer["Parameters"] = [_parameter(each) for each in document.get("Parameters", [])]
        answer["Steps"] = list(_steps(document["Steps"]))
    console.fields(answer)


def _describe(console: Console, client: Any, name: str) -> dict[str, Any]:
    """Raises ConfigurationError when there is no such pipeline."""
    with expected(f"There is no pipeline '{name}'. See: {console.command('pipelines list')}"):
        document: dict[str, Any] = without_metadata(client.describe_pipeline(PipelineName=name))
    return document


def _parameter(given: dict[str, Any]) -> dict[str, Any]:
    shown = {"Name": given["Name"], "Type": given["Type"], "Default": given.get("DefaultValue")}
    return shown | ({"OneOf": ", ".join(map(str, given["EnumValues"]))} if given.get("EnumValues") else {})


def _steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"Name": step["Name"], "Type": step["Type"], "DependsOn": ", ".join(map(str, step.get("DependsOn", [])))}
        for step in steps
    ]


@pipelines.command("start")
@click.argument("name", shell_complete=pipeline_names)
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated."
)
@click.option("--name", "display_name", metavar="TEXT", help="A name for the execution.")
@click.option("--wait", is_flag=True, help="Show the steps until it has ended; its end is the exit status.")
@pass_console
def start_pipeline(
    console: Console, name: str, parameters: tuple[str, ...], display_name: str | None, wait: bool
) -> None:
    """Start an execution, and print its ARN."""
    given = []
    for parameter in parameters:
        key, separator, value = parameter.partition("=")
        if not separator or not key:
            raise click.UsageError(f"--parameter {parameter}: must be NAME=VALUE.")
        given.append({"Name": key, "Value": value})
    client = console.client("sagemaker")
    _describe(console, client, name)
    named = {"PipelineExecutionDisplayName": display_name} if display_name else {}
    arn = client.start_pipeline_execution(PipelineName=name, PipelineParameters=given, **named)["PipelineExecutionArn"]
    if wait:
        watch(console, client, arn)
    else:
        console.show({"PipelineExecutionArn": arn}, lambda: arn)


@pipelines.command("delete")
@click.argument("name", shell_complete=pipeline_names)
@pass_console
def delete_pipeline(console: Console, name: str) -> None:
    """Delete a pipeline and its executions' records."""
    client = console.client("sagemaker")
    _describe(console, client, name)
    client.delete_pipeline(PipelineName=name)
    console.show({"Deleted": name}, lambda: f"{name} is deleted")


COMMANDS = (pipelines,)
