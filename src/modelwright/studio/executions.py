"""An execution: its graph with the state of every step, a step's panel, where the time went, stop and retry."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from modelwright.services.dispatch import Document
from modelwright.studio import charts, joblogs, outline, rerun
from modelwright.studio.joblogs import KINDS, Kind, Timings
from modelwright.studio.outline import Definition, Parse
from modelwright.studio.pipelines import step_labels
from modelwright.studio.runs import ENDED, parameters, who
from modelwright.studio.view import Route, View, link

TABS = ("graph", "timeline", "parameters", "settings")
PANELS = ("logs", "input", "output", "information")
_LAST_LINES = 12


def routes(parse: Parse, timings: Timings) -> list[Route]:
    pages = _Executions(parse, timings)
    path = "/pipelines/{name}/executions/{execution}"
    return [
        (path, ("GET",), pages.one),
        (f"{path}/stop", ("POST",), pages.stop),
        (f"{path}/retry", ("POST",), pages.retry),
        ("/executions/{execution}", ("GET",), pages.by_arn),
    ]


class _Executions:
    def __init__(self, parse: Parse, timings: Timings) -> None:
        self._parse = parse
        self._timings = timings

    async def one(self, view: View) -> Response:
        arn = await _arn(view)
        execution = await view.call("DescribePipelineExecution", PipelineExecutionArn=arn)
        text = (await view.call("DescribePipelineDefinitionForExecution", PipelineExecutionArn=arn))[
            "PipelineDefinition"
        ]
        definition = self._parse(text)
        steps = {step["StepName"]: step for step in await steps_of(view, arn)}
        tab = view.argument("tab", "graph")
        tab = tab if tab in TABS else "graph"
        context: dict[str, Any] = {
            "execution": execution,
            "tab": tab,
            "steps": [_row(definition, name, steps.get(name)) for name in definition.order],
            "ended": execution["PipelineExecutionStatus"] in ENDED,
            "failed": [step for step in steps.values() if step["StepStatus"] == "Failed"],
            "who": who,
            "panel": None,
        }
        if tab == "graph":
            statuses = {name: step["StepStatus"] for name, step in steps.items()}
            context["graph"] = outline.graph(definition, statuses, step_labels(view))
        elif tab == "timeline":
            context["bars"] = bars(execution, steps)
        elif tab == "parameters":
            declared = definition.parameters.values()
            defaults = {each.name: outline.shown(each.default) for each in declared if each.default is not None}
            context |= {"parameters": await parameters(view, arn), "defaults": defaults}
        else:
            context["definition_text"] = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        selected = view.argument("step")
        if selected in definition.steps and tab in ("graph", "timeline"):
            context["panel"] = await self._panel(view, definition, selected, steps.get(selected))
        watched = [f"execution/{view.argument('execution')}"]
        job = context["panel"] and context["panel"]["job"]
        return view.page(
            "execution.html",
            name=view.argument("name"),
            identity=view.argument("execution"),
            live=live_address(watched, job["kind"] if job else None, job["name"] if job else ""),
            **context,
        )

    async def _panel(self, view: View, definition: Definition, name: str, run: Document | None) -> Document:
        """Everything about one step: what went in, what came out, what it said, why it failed."""
        step = definition.steps[name]
        chosen = view.argument("panel")
        job = await job_of(view, run)
        panel: Document = {"step": step, "run": run or {}, "job": job, "log": None, "lines": [], "charts": []}
        if chosen not in PANELS or (chosen == "logs" and job is None):
            chosen = "logs" if job is not None else "information"
        panel["tab"] = chosen
        panel["tabs"] = [tab for tab in PANELS if tab != "logs" or job is not None]
        panel |= {"stages": [], "again": ""}
        if job is not None:
            panel["again"] = rerun.command(job["kind"], job["document"])
            if chosen == "information":
                panel["stages"] = await joblogs.timed(self._timings, job["kind"], job["name"])
            words = view.argument("words").strip()
            panel["words"] = words
            if chosen == "logs":
                panel["log"] = await joblogs.tail(view, job["kind"], job["name"])
                if words:
                    panel["lines"] = await joblogs.search(view, job["kind"], job["name"], words)
            elif chosen == "output":
                definitions = job["document"].get("AlgorithmSpecification", {}).get("MetricDefinitions", [])
                if definitions:
                    log = await joblogs.tail(view, job["kind"], job["name"], joblogs.SAMPLE)
                    panel["charts"] = charts.of_log(definitions, log.lines)
            if chosen != "logs" and run is not None and run["StepStatus"] == "Failed":
                panel["lines"] = (await joblogs.tail(view, job["kind"], job["name"], _LAST_LINES)).lines
        panel["inputs"], panel["outputs"] = _inputs(step, job), _outputs(run, job)
        panel["links"] = await _links(view, run)
        return panel

    async def stop(self, view: View) -> Response:
        await view.call(
            "StopPipelineExecution", PipelineExecutionArn=await _arn(view), ClientRequestToken=secrets.token_hex(16)
        )
        return _back(view)

    async def retry(self, view: View) -> Response:
        await view.call(
            "RetryPipelineExecution", PipelineExecutionArn=await _arn(view), ClientRequestToken=secrets.token_hex(16)
        )
        return _back(view)

    async def by_arn(self, view: View) -> Response:
        """Where an execution's own address is not known, only its ARN."""
        arn = view.argument("arn")
        pipeline = await view.call("DescribePipeline", PipelineName=arn.partition("/execution/")[0])
        return view.go("pipelines", pipeline["PipelineName"], "executions", view.argument("execution"))


async def _arn(view: View) -> str:
    pipeline = await view.call("DescribePipeline", PipelineName=view.argument("name"))
    return f"{pipeline['PipelineArn']}/execution/{view.argument('execution')}"


async def steps_of(view: View, arn: str) -> list[Document]:
    """All steps that have begun, in the order in which they did."""
    found: list[Document] = []
    token = None
    while True:
        page = await view.call(
            "ListPipelineExecutionSteps", PipelineExecutionArn=arn, SortOrder="Ascending", MaxResults=100,
            NextToken=token,
        )  # fmt: skip
        found += page["PipelineExecutionSteps"]
        token = page.get("NextToken")
        if token is None:
            return found


def live_address(watched: list[str], kind: Kind | None = None, job: str = "") -> str:
    """What a page connects to for what happens to these streams, and to a job's log."""
    if kind is None:
        return link("live", watch=" ".join(watched))
    return link("live", watch=" ".join([*watched, f"{kind.stream}{job}"]), kind=kind.path, job=job)


def _back(view: View) -> Response:
    """To where the button was: the pipeline's list, or the execution."""
    if view.field("back") == "list":
        return view.go("pipelines", view.argument("name"))
    return view.go("pipelines", view.argument("name"), "executions", view.argument("execution"))


def _row(definition: Definition, name: str, run: Document | None) -> Document:
    step = definition.steps[name]
    run = run or {}
    return {
        "name": name,
        "title": step.display_name or name,
        "type": step.type,
        "status": run.get("StepStatus", ""),
        "start": run.get("StartTime"),
        "end": run.get("EndTime"),
        "reason": run.get("FailureReason", ""),
        "after": [dependency.step for dependency in definition.graph.get(name, ())],
        "cached": "CacheHitResult" in run,
    }


async def job_of(view: View, run: Document | None) -> Document | None:
    """The job that a step ran, with its document."""
    metadata = (run or {}).get("Metadata", {})
    for kind in KINDS.values():
        if kind.noun in metadata:
            document = await joblogs.of_arn(view, kind, metadata[kind.noun]["Arn"])
            if document is not None:
                return {"kind": kind, "name": document[f"{kind.noun}Name"], "document": document}
    return None


def _inputs(step: outline.Step, job: Document | None) -> Document:
    """What went in: as the job got it, else as it was written."""
    if job is None:
        return {"uris": [], "document": dict(step.arguments) or {"Conditions": [dict(c) for c in step.conditions]}}
    document = job["document"]
    uris = [
        (channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"])
        for channel in document.get("InputDataConfig", [])
        if "S3DataSource" in channel.get("DataSource", {})
    ] + [
        (each["InputName"], each["S3Input"]["S3Uri"])
        for each in document.get("ProcessingInputs", [])
        if "S3Input" in each
    ]
    members = (
        "HyperParameters", "Environment", "AlgorithmSpecification", "AppSpecification", "ResourceConfig",
        "ProcessingResources", "StoppingCondition", "InputDataConfig", "ProcessingInputs",
    )  # fmt: skip
    return {"uris": uris, "document": {member: document[member] for member in members if member in document}}


def _outputs(run: Document | None, job: Document | None) -> Document:
    """What came out."""
    document = job["document"] if job else {}
    uris = [
        (each["OutputName"], each["S3Output"]["S3Uri"])
        for each in document.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if "S3Output" in each
    ]
    model = document.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if model:
        uris.insert(0, ("ModelArtifacts", model))
    return {
        "uris": uris,
        "metrics": document.get("FinalMetricDataList", []),
        "exit": document.get("ExitMessage", ""),
        "document": (run or {}).get("Metadata", {}),
    }


async def _links(view: View, run: Document | None) -> list[tuple[str, str]]:
    """(what, address) of what a step made that has a page of its own."""
    metadata: Mapping[str, Any] = (run or {}).get("Metadata", {})
    found = []
    if "RegisterModel" in metadata:  # its ARN has the group's name in small letters only
        package = await view.find("DescribeModelPackage", ModelPackageName=metadata["RegisterModel"]["Arn"])
        if package is not None and "ModelPackageGroupName" in package:
            group, version = package["ModelPackageGroupName"], str(package["ModelPackageVersion"])
            found.append((f"{group}/{version}", link("models", group, version)))
    return found


def bars(execution: Document, steps: Mapping[str, Document]) -> Document:
    """The timeline: when each step ran, in shares of the whole, in thousandths."""
    start = execution["CreationTime"]
    ended = execution["PipelineExecutionStatus"] in ENDED
    end = execution["LastModifiedTime"] if ended else time.time()
    end = max([end, start + 0.001, *(step["EndTime"] for step in steps.values() if "EndTime" in step)])
    span = end - start
    found = []
    for name, step in steps.items():
        begin, finish = step["StartTime"], step.get("EndTime", end)
        left = min(round((begin - start) / span * 1000, 1), 998.0)
        width = max(round((finish - begin) / span * 1000, 1), 2.0)
        found.append({
            "name": name, "status": step["StepStatus"], "left": left, "width": min(width, 1000 - left),
            "start": begin, "end": step.get("EndTime"),
        })  # fmt: skip
    return {"rows": found, "span": span}
