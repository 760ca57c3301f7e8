"""An execution on a terminal, and where there is none."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console as RichConsole

from modelwright.cli.console import Console
from modelwright.cli.live import _fitting, display, drawing

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def execution(status="Executing", **more):
    arn = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/abcdefghijkl"
    times = {"CreationTime": BEGIN, "LastModifiedTime": BEGIN + timedelta(seconds=9)}
    return {"PipelineExecutionArn": arn, "PipelineExecutionStatus": status, **times, **more}


def step(name, status="Succeeded", seconds=2, **more):
    ended = {"EndTime": BEGIN + timedelta(seconds=seconds)} if status in ("Succeeded", "Failed", "Stopped") else {}
    return {"StepName": name, "StepStatus": status, "StartTime": BEGIN, **ended, **more}


def test_a_drawing_tells_the_reasons_of_failures():
    drawn = drawing(
        execution("Failed", FailureReason="a step failed"), [step("A"), step("Bc", "Failed", FailureReason="exit 7")]
    )
    assert [line for each in drawn for line in each.plain.split("\n")] == [
        "abcdefghijkl  Failed  9.0 s",
        "✔  A   Succeeded  2.0 s",
        "✘  Bc  Failed     2.0 s",
        "a step failed",
        "Bc: exit 7",
    ]


def test_an_execution_without_steps_has_a_headline():
    (headline,) = drawing(execution("Executing"), [])
    assert headline.plain.startswith("abcdefghijkl  Executing  ")


def test_steps_that_ended_well_make_room():
    steps = [*(step(f"S{i}") for i in range(10)), step("F", "Failed"), step("R", "Executing")]
    assert [each["StepName"] for each in _fitting(steps, 4)] == ["S8", "S9", "F", "R"]
    assert _fitting(steps, 12) == steps


def test_of_too_many_running_steps_the_last_are_shown():
    steps = [step(f"R{i}", "Executing") for i in range(5)]
    assert [each["StepName"] for each in _fitting(steps, 2)] == ["R3", "R4"]


def test_without_a_terminal_every_change_is_a_line_on_stderr(capsys):
    with display(Console()) as show:
        show(execution(), [step("A", "Executing")])
        show(execution(), [step("A", "Executing")])
        show(execution(), [step("A"), step("B", "Starting")])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.split("\n") == ["    A: Executing", "    A: Succeeded (2.0 s)", "    B: Starting", ""]


@pytest.mark.parametrize("count", [3, 60])
def test_a_live_picture_is_never_taller_than_the_terminal(count):
    console = Console()
    console.terminal = RichConsole(
        file=io.StringIO(), force_terminal=True, width=60, height=20, record=True, highlight=False
    )
    with display(console) as show:
        show(execution(), [step(f"S{i}", "Executing") for i in range(count)])
    shown = console.terminal.export_text()
    assert sum(f"  S{i} " in shown for i in range(count)) == min(count, 16)
