"""Pipelines: the list, a pipeline's tabs (its executions: `runs`), and the form that starts an execution."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio import differences, outline, runs
from modelwright.studio.outline import Definition, Parse
from modelwright.studio.runs import identity, recent, who
from modelwright.studio.texts import STEP_TYPES
from modelwright.studio.view import Route, View

PER_PAGE = 25
MARKS = 8
TABS = ("executions", "graph", "parameters", "versions", "settings")
_FIELD = "parameter."
"""Before a parameter's name in the form."""


def routes(parse: Parse) -> list[Route]:
    pages = _Pipelines(parse)
    return [
        ("/pipelines", ("GET",), pages.all),
        ("/pipelines/{name}", ("GET",), pages.one),
        ("/pipelines/{name}/start", ("GET", "POST"), pages.start),
    ]


def step_labels(view: View) -> dict[str, str]:
    """Step type -> its name in the reader's language."""
    return {kind: view.texts(name) for kind, name in STEP_TYPES.items()}


@dataclass(frozen=True)
class _Typed:
    """What the form has beside the parameters. `token` makes that a form sent twice starts one execution."""

    title: str = ""
    description: str = ""
    token: str = ""


class _Pipelines:
    def __init__(self, parse: Parse) -> None:
        self._parse = parse

    async def all(self, view: View) -> Response:
        search = view.argument("search").strip()
        found = await view.call(
            "ListPipelines",
            PipelineNamePrefix=search or None,
            SortBy="Name" if view.argument("sort") == "name" else "CreationTime",
            SortOrder="Ascending" if view.argument("order") == "up" else "Descending",
            NextToken=view.argument("page") or None,
            MaxResults=PER_PAGE,
        )
        pipelines = [
            {**pipeline, "recent": await recent(view, pipeline["PipelineName"], MARKS)}
            for pipeline in found["PipelineSummaries"]
        ]
        return view.page(
            "pipelines.html", pipelines=pipelines, next=found.get("NextToken"), search=search, identity=identity
        )

    async def one(self, view: View) -> Response:
        pipeline = await view.call("DescribePipeline", PipelineName=view.argument("name"))
        definition = self._parse(pipeline["PipelineDefinition"])
        tab = view.argument("tab", "executions")
        tab = tab if tab in TABS else "executions"
        context: dict[str, Any] = {"pipeline": pipeline, "tab": tab, "definition": definition, "shown": outline.shown}
        if tab == "executions":
            context |= await runs.page(view, pipeline, list(definition.parameters))
        elif tab == "graph":
            context |= {"graph": outline.graph(definition, {}, step_labels(view))}
        elif tab == "versions":
            context |= await self._versions(view, pipeline)
        elif tab == "settings":
            context |= {"created_by": who(pipeline), "modified_by": who(pipeline, "LastModifiedBy")}
        return view.page("pipeline.html", identity=identity, **context)

    async def _versions(self, view: View, pipeline: Document) -> Document:
        """All versions, and what differs between two of them: the last two where the address names none."""
        name = pipeline["PipelineName"]
        found = await view.call(
            "ListPipelineVersions", PipelineName=name, MaxResults=PER_PAGE, NextToken=view.argument("page") or None,
            SortOrder="Descending",
        )  # fmt: skip
        versions = found["PipelineVersionSummaries"]
        numbers = [version["PipelineVersionId"] for version in versions]
        chosen = [view.argument("before"), view.argument("after")]
        if all(text.isdigit() and len(text) < 10 for text in chosen):
            before, after = (int(text) for text in chosen)
        elif len(numbers) > 1:
            before, after = numbers[1], numbers[0]
        else:
            return {"versions": versions, "next": found.get("NextToken"), "before": 0, "after": 0, "changes": None}
        texts = [
            (await view.call("DescribePipeline", PipelineName=name, PipelineVersionId=number))["PipelineDefinition"]
            for number in (before, after)
        ]
        return {
            "versions": versions,
            "next": found.get("NextToken"),
            "before": before,
            "after": after,
            "changes": differences.changes(*(json.loads(text) for text in texts)),
        }

    async def start(self, view: View) -> Response:
        """The form; sent, it starts an execution or comes back with what is wrong at its field."""
        pipeline = await view.call("DescribePipeline", PipelineName=view.argument("name"))
        definition = self._parse(pipeline["PipelineDefinition"])
        if view.request.method == "GET":
            values = {
                p.name: "" if p.default is None else outline.shown(p.default) for p in definition.parameters.values()
            }
            like = view.argument("like")
            if like:
                values |= await self._values_of(view, pipeline, like, values)
            return self._form(view, pipeline, definition, values, _Typed(token=secrets.token_hex(16)))
        values = {name: view.field(_FIELD + name) for name in definition.parameters}
        form = _Typed(view.field("title").strip(), view.field("description").strip(), view.field("token"))
        problems = {
            name: view.texts(text, choices=choices)
            for name, (text, choices) in outline.problems(definition, values).items()
        }
        if problems:
            return self._form(view, pipeline, definition, values, form, problems=problems)
        try:
            started = await view.call(
                "StartPipelineExecution",
                PipelineName=pipeline["PipelineName"],
                PipelineExecutionDisplayName=form.title or None,
                PipelineExecutionDescription=form.description or None,
                PipelineParameters=[{"Name": name, "Value": value} for name, value in values.items()] or None,
                ClientRequestToken=form.token,
            )
        except AwsError as error:
            return self._form(view, pipeline, definition, values, form, problem=error.message)
        return view.go("pipelines", pipeline["PipelineName"], "executions", identity(started["PipelineExecutionArn"]))

    async def _values_of(self, view: View, pipeline: Document, execution: str, known: dict[str, str]) -> dict[str, str]:
        """What an earlier execution was started with."""
        arn = f"{pipeline['PipelineArn']}/execution/{execution}"
        if await view.find("DescribePipelineExecution", PipelineExecutionArn=arn) is None:
            return {}
        given = await runs.parameters(view, arn)
        return {name: value for name, value in given.items() if name in known}

    def _form(
        self,
        view: View,
        pipeline: Document,
        definition: Definition,
        values: dict[str, str],
        form: _Typed,
        *,
        problems: dict[str, str] | None = None,
        problem: str = "",
    ) -> Response:
        return view.page(
            "start.html",
            http_status=400 if problems or problem else 200,
            pipeline=pipeline,
            parameters=definition.parameters.values(),
            values=values,
            problems=problems or {},
            problem=problem,
            form=form,
            field=_FIELD,
            shown=outline.shown,
        )
