"""Pipelines: the list, a pipeline's tabs, and the form that starts an execution."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio import outline
from modelwright.studio.outline import Definition, Parse
from modelwright.studio.texts import STATUSES, STEP_TYPES
from modelwright.studio.view import View

Page = Callable[[View], Awaitable[Response]]
Route = tuple[str, tuple[str, ...], Page]
"""Path, methods, page."""

PER_PAGE = 25
MARKS = 8
EXECUTION_STATUSES = ("Executing", "Stopping", "Stopped", "Failed", "Succeeded")
ENDED = ("Stopped", "Failed", "Succeeded", "CompletedWithFailures")
TABS = ("executions", "graph", "parameters", "settings")
_FIELD = "parameter."
"""Before a parameter's name in the form."""


def routes(parse: Parse) -> list[Route]:
    pages = _Pipelines(parse)
    return [
        ("/pipelines", ("GET",), pages.all),
        ("/pipelines/{name}", ("GET",), pages.one),
        ("/pipelines/{name}/start", ("GET", "POST"), pages.start),
    ]


def identity(arn: str) -> str:
    """An execution's id."""
    return arn.rpartition("/")[2]


async def recent(view: View, pipeline: str, limit: int) -> list[Document]:
    """A pipeline's newest executions, each with its pipeline's name."""
    found = await view.call("ListPipelineExecutions", PipelineName=pipeline, MaxResults=limit)
    return [{**execution, "PipelineName": pipeline} for execution in found["PipelineExecutionSummaries"]]


def who(document: Document, member: str = "CreatedBy") -> str:
    """Who did it: a user profile's name, or what an identity's ARN ends with."""
    by = document.get(member, {})
    return str(by.get("UserProfileName") or by.get("IamIdentity", {}).get("Arn", "").rpartition("/")[2])


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
            context |= await self._executions(view, pipeline)
        elif tab == "graph":
            context |= {"graph": outline.graph(definition, {}, step_labels(view))}
        elif tab == "settings":
            versions = await view.call("ListPipelineVersions", PipelineName=pipeline["PipelineName"], MaxResults=100)
            context |= {"versions": versions["PipelineVersionSummaries"], "created_by": who(pipeline)}
        return view.page("pipeline.html", identity=identity, **context)

    async def _executions(self, view: View, pipeline: Document) -> Document:
        """One page of the executions. The plain list comes from an index; words and states are searched for."""
        search, status = view.argument("search").strip(), view.argument("status")
        sort, order = view.argument("sort", "created"), view.argument("order", "down")
        status = status if status in STATUSES else ""
        ordered = "Ascending" if order == "up" else "Descending"
        token = view.argument("page") or None
        if not search and not status and sort == "created":
            found = await view.call(
                "ListPipelineExecutions", PipelineName=pipeline["PipelineName"], SortOrder=ordered, NextToken=token,
                MaxResults=PER_PAGE,
            )  # fmt: skip
            executions = [
                await view.call("DescribePipelineExecution", PipelineExecutionArn=each["PipelineExecutionArn"])
                for each in found["PipelineExecutionSummaries"]
            ]
        else:
            filters = [{"Name": "PipelineArn", "Operator": "Equals", "Value": pipeline["PipelineArn"]}]
            if search:
                filters.append({"Name": "PipelineExecutionDisplayName", "Operator": "Contains", "Value": search})
            if status:
                filters.append({"Name": "PipelineExecutionStatus", "Operator": "Equals", "Value": status})
            by = {
                "name": "PipelineExecutionDisplayName", "status": "PipelineExecutionStatus",
                "modified": "LastModifiedTime",
            }.get(sort, "CreationTime")  # fmt: skip
            found = await view.call(
                "Search", Resource="PipelineExecution", SearchExpression={"Filters": filters}, SortBy=by,
                SortOrder=ordered, NextToken=token, MaxResults=PER_PAGE,
            )  # fmt: skip
            executions = [each["PipelineExecution"] for each in found["Results"]]
        return {
            "executions": executions,
            "next": found.get("NextToken"),
            "search": search,
            "status": status,
            "statuses": EXECUTION_STATUSES,
            "sort": sort,
            "order": order,
            "ended": ENDED,
            "who": who,
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
        found = await view.find("ListPipelineParametersForExecution", PipelineExecutionArn=arn, MaxResults=50)
        given = found["PipelineParameters"] if found else []
        return {pair["Name"]: pair["Value"] for pair in given if pair["Name"] in known}

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
