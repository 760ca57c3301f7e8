"""An execution drawn for a reader: once, live on a terminal, or a line a change where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Group as Stack
from rich.live import Live
from rich.text import Text

from modelwright.cli.console import Console
from modelwright.cli.tables import COLOURS, cell, elapsed, grid

ENDED = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
MARKS = {"Succeeded": "✔", "Failed": "✘", "Stopped": "■", "Executing": "●", "Starting": "●", "Stopping": "●"}

Show = Callable[[dict[str, Any], list[dict[str, Any]]], None]
"""Takes an execution and its steps."""


def _nothing(_: list[dict[str, Any]]) -> Text:
    return Text()


@contextmanager
def display(
    console: Console, below: Callable[[list[dict[str, Any]]], Text] = _nothing, *, aside: bool = True
) -> Iterator[Show]:
    """A live picture on a terminal, gone at the end; elsewhere a line whenever a step's status changes.

    `below` is what else the picture shows of the steps; `aside` says whether the lines go to stderr.
    """
    if console.terminal.is_terminal and not console.as_json:
        with Live(console=console.terminal, auto_refresh=False, transient=True) as live:

            def draw(document: dict[str, Any], steps: list[dict[str, Any]]) -> None:
                more = below(steps)
                room = max(5, console.terminal.height - 4 - more.plain.count("\n"))
                live.update(Stack(*drawing(document, _fitting(steps, room)), more), refresh=True)

            yield draw
        return
    known: dict[str, str] = {}

    def tell(_: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        for step in steps:
            if known.get(step["StepName"]) != step["StepStatus"]:
                known[step["StepName"]] = step["StepStatus"]
                took = f" ({elapsed(step['StartTime'], step['EndTime'])})" if step.get("EndTime") else ""
                click.echo(f"    {step['StepName']}: {step['StepStatus']}{took}", err=aside)

    yield tell


def _fitting(steps: list[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """As many steps as the terminal has lines for: those that have ended well make room first."""
    surplus = len(steps) - room
    if surplus <= 0:
        return steps
    done = [step["StepName"] for step in steps if step["StepStatus"] == "Succeeded"][:surplus]
    return [step for step in steps if step["StepName"] not in done][-room:]


def drawing(document: dict[str, Any], steps: list[dict[str, Any]]) -> list[Text]:
    """A headline, a line a step, the reason of each failure."""
    status = document["PipelineExecutionStatus"]
    end = document["LastModifiedTime"] if status in ENDED else None
    headline = Text(f"{document['PipelineExecutionArn'].rsplit('/', 1)[1]}  ", style="bold")
    headline.append(status, style=COLOURS.get(status, ""))
    headline.append(f"  {elapsed(document['CreationTime'], end)}", style="dim")
    rows = []
    reasons = [document["FailureReason"]] if document.get("FailureReason") else []
    for step in steps:
        now = step["StepStatus"]
        took = Text(elapsed(step.get("StartTime"), step.get("EndTime")), style="dim")
        rows.append([Text(MARKS.get(now, " "), style=COLOURS.get(now, "")), Text(step["StepName"]), cell(now), took])
        if step.get("FailureReason"):
            reasons.append(f"{step['StepName']}: {step['FailureReason']}")
    return [headline, *([grid(rows)] if rows else []), *(Text(reason, style="red") for reason in reasons)]
