"""`modelwright stacks`: stacks of CloudFormation, what they consist of, and what happened to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.text import Text

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.completion import stack_names
from modelwright.cli.console import Console, pages, stop_with, without_metadata
from modelwright.cli.tables import GAP, Column, cell, grid
from modelwright.errors import ConfigurationError

COLUMNS = (
    Column("STACK", "StackName"),
    Column("STATUS", "StackStatus"),
    Column("CREATED", "CreationTime", spare=True),
    Column("UPDATED", "LastUpdatedTime", spare=True),
    Column("DESCRIPTION", "TemplateDescription", spare=True),
)
EVENT_COLUMNS = (
    Column("TIME", "Timestamp"),
    Column("RESOURCE", "LogicalResourceId"),
    Column("STATUS", "ResourceStatus"),
    Column("REASON", "ResourceStatusReason"),
    Column("TYPE", "ResourceType", spare=True),
)
WATCH_SECONDS = 0.3


@click.group("stacks", cls=ActingGroup)
def stacks() -> None:
    """List and show stacks of CloudFormation, their events; delete them."""


@stacks.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@click.option("--deleted", is_flag=True, help="Those that are deleted too.")
@pass_console
def list_stacks(console: Console, limit: int, deleted: bool) -> None:
    """List stacks; the newest first."""
    found = pages(console.client("cloudformation"), "list_stacks", "StackSummaries")
    there = [stack for stack in found if deleted or stack["StackStatus"] != "DELETE_COMPLETE"]
    console.rows(there[:limit], COLUMNS, "No stacks yet.")


@stacks.command("show")
@click.argument("name", shell_complete=stack_names)
@pass_console
def show_stack(console: Console, name: str) -> None:
    """Show a stack: its status, outputs, parameters, and each resource with the reason of its failure."""
    client = console.client("cloudformation")
    with _known(console, name):
        stack = without_metadata(client.describe_stacks(StackName=name)["Stacks"][0])
        resources = pages(client, "list_stack_resources", "StackResourceSummaries", StackName=name)
    console.show({**stack, "StackResources": resources}, lambda: Text("\n").join(_drawing(stack, resources)))


@stacks.command("events")
@click.argument("name", shell_complete=stack_names)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="The last so many.")
@pass_console
def stack_events(console: Console, name: str, limit: int) -> None:
    """Show what happened to a stack, the newest last. One that is deleted goes by its id (stacks list --deleted)."""
    with _known(console, name):
        found = pages(console.client("cloudformation"), "describe_stack_events", "StackEvents", limit, StackName=name)
    console.rows(found[::-1], EVENT_COLUMNS, "Nothing has happened yet.")


@stacks.command("delete")
@click.argument("name", shell_complete=stack_names)
@click.option("--retain", multiple=True, metavar="RESOURCE", help="After DELETE_FAILED: leave this resource there.")
@click.confirmation_option(prompt="Delete the stack and all that it made?")
@pass_console
def delete_stack(console: Console, name: str, retain: tuple[str, ...]) -> None:
    """Delete a stack and what it made, and wait until it is gone."""
    client = console.client("cloudformation")
    with _known(console, name):
        identity = client.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    client.delete_stack(StackName=identity, **({"RetainResources": list(retain)} if retain else {}))
    pause = threading.Event()
    while True:
        stack = client.describe_stacks(StackName=identity)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        pause.wait(WATCH_SECONDS)
    if stack["StackStatus"] != "DELETE_COMPLETE":
        show = console.command(f"stacks show {name}")
        stop_with(f"{name} is {stack['StackStatus']}: {stack.get('StackStatusReason', '')} See: {show}")
    console.show({"StackId": identity, "StackStatus": "DELETE_COMPLETE"}, lambda: f"{name} is deleted")


@contextmanager
def _known(console: Console, name: str) -> Iterator[None]:
    """Raises ConfigurationError where there is no such stack."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise ConfigurationError(f"There is no stack '{name}'. See: {console.command('stacks list')}") from None


def _drawing(stack: dict[str, Any], resources: list[dict[str, Any]]) -> Iterator[Text]:
    """A headline; outputs and parameters, a line each; a line a resource, with what went wrong below it."""
    headline = Text(stack["StackName"], style="bold")
    headline.append(GAP).append_text(cell(stack["StackStatus"]))
    yield headline
    if stack.get("Description"):
        yield Text(stack["Description"], style="dim")
    if stack.get("StackStatusReason"):
        yield Text(stack["StackStatusReason"], style="dim")
    for heading, member, key in (("Outputs", "Outputs", "Output"), ("Parameters", "Parameters", "Parameter")):
        if stack.get(member):
            yield Text(heading, style="bold")
            rows = [[Text(f"  {each[f'{key}Key']}"), Text(each[f"{key}Value"])] for each in stack[member]]
            yield from grid(rows).split("\n")
    if resources:
        yield Text("Resources", style="bold")
        rows = [
            [
                Text(f"  {each['LogicalResourceId']}"),
                cell(each["ResourceStatus"]),
                Text(each["ResourceType"], style="dim"),
                Text(each.get("PhysicalResourceId", "")),
            ]
            for each in resources
        ]
        for line, each in zip(grid(rows).split("\n"), resources, strict=True):
            yield line
            if each["ResourceStatus"].endswith("_FAILED") and each.get("ResourceStatusReason"):
                yield Text(f"      {each['ResourceStatusReason']}", style="red")


COMMANDS = (stacks,)
