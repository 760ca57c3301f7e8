"""Executions side by side: parameters, metrics, steps with their durations, definitions; what differs is marked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from modelwright.services.dispatch import Document
from modelwright.studio import differences, reports
from modelwright.studio.differences import Change
from modelwright.studio.executions import job_of, live_address, steps_of
from modelwright.studio.outline import Definition, Parse
from modelwright.studio.runs import ENDED, parameters, who
from modelwright.studio.view import Route, View

MOST = 8
"""Executions on one page."""


def routes(parse: Parse) -> list[Route]:
    async def compare(view: View) -> Response:
        return await _compare(view, parse)

    return [("/pipelines/{name}/compare", ("GET",), compare)]


@dataclass(frozen=True)
class Row:
    """One property of all executions; None where an execution has none."""

    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)


def side_by_side(columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The properties of several things, in the order in which they first come."""
    names = dict.fromkeys(name for column in columns for name in column)
    return [Row(name, tuple(column.get(name) for column in columns)) for name in names]


@dataclass(frozen=True)
class _Compared:
    """All of one execution that is compared."""

    identity: str
    document: Document
    definition: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    steps: Mapping[str, Document]


async def _compare(view: View, parse: Parse) -> Response:
    pipeline = await view.call("DescribePipeline", PipelineName=view.argument("name"))
    chosen = list(dict.fromkeys(view.arguments("execution")))
    compared = [await _read(view, parse, pipeline, identity) for identity in chosen[:MOST]]
    steps = side_by_side([one.steps for one in compared])
    longest = max((_length(step) for row in steps for step in row.values), default=0.0)
    return view.page(
        "compare.html",
        pipeline=pipeline,
        compared=compared,
        left_out=len(chosen) - len(compared),
        only=view.argument("only") == "differences",
        parameters=side_by_side([one.parameters for one in compared]),
        metrics=side_by_side([one.metrics for one in compared]),
        steps=steps,
        share=lambda step: round(1000 * _length(step) / longest, 1) if longest else 0,
        definitions=_definitions(compared),
        ended=ENDED,
        who=who,
        live=live_address([f"execution/{one.identity}" for one in compared]) if compared else "",
    )


async def _read(view: View, parse: Parse, pipeline: Document, identity: str) -> _Compared:
    arn = f"{pipeline['PipelineArn']}/execution/{identity}"
    document = await view.call("DescribePipelineExecution", PipelineExecutionArn=arn)
    found = await view.call("DescribePipelineDefinitionForExecution", PipelineExecutionArn=arn)
    definition = parse(found["PipelineDefinition"])
    steps = {step["StepName"]: step for step in await steps_of(view, arn)}
    return _Compared(
        identity,
        document,
        found["PipelineDefinition"],
        await parameters(view, arn),
        await _metrics(view, definition, steps),
        {name: steps[name] for name in definition.order if name in steps},
    )


async def _metrics(view: View, definition: Definition, steps: Mapping[str, Document]) -> dict[str, Any]:
    """What the steps' jobs measured, and what their property files say."""
    found: dict[str, Any] = {}
    for name in definition.order:
        job = await job_of(view, steps.get(name))
        if job is None:
            continue
        for metric in job["document"].get("FinalMetricDataList", []):
            found[f"{name}: {metric['MetricName']}"] = metric["Value"]
        places = {
            output["OutputName"]: output["S3Output"]["S3Uri"]
            for output in job["document"].get("ProcessingOutputConfig", {}).get("Outputs", [])
            if "S3Output" in output
        }
        for file in definition.steps[name].property_files.values():
            if file.output in places:
                report, _ = await reports.read(view, f"{places[file.output].rstrip('/')}/{file.path}")
                found |= {f"{name}: {metric}": value for metric, value in reports.rows(report)}
    return found


def _length(step: Document | None) -> float:
    return float(step["EndTime"] - step["StartTime"]) if step is not None and "EndTime" in step else 0.0


def _definitions(compared: Sequence[_Compared]) -> list[tuple[_Compared, list[Change]]]:
    """What differs in the definition of each from the first one's."""
    if not compared:
        return []
    first = compared[0]
    return [
        (one, differences.changes(json.loads(first.definition), json.loads(one.definition)))
        for one in compared[1:]
        if one.definition != first.definition
    ]
