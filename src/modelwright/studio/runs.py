"""Executions of one pipeline as a list: columns, order, search and filter are all in the address."""

from __future__ import annotations

from typing import Any

from modelwright.services.dispatch import Document
from modelwright.studio.texts import STATUSES
from modelwright.studio.view import View

PER_PAGE = 25
STATUSES_OF_EXECUTIONS = ("Executing", "Stopping", "Stopped", "Failed", "Succeeded")
ENDED = ("Stopped", "Failed", "Succeeded", "CompletedWithFailures")
_SORTS = {
    "name": "PipelineExecutionDisplayName",
    "status": "PipelineExecutionStatus",
    "modified": "LastModifiedTime",
}


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


async def page(view: View, pipeline: Document, known: list[str]) -> Document:
    """One page of the list. The plain list comes from an index; words and states are searched for.

    `known` are the names of the pipeline's parameters: those that the address names are columns.
    """
    search, status = view.argument("search").strip(), view.argument("status")
    sort, order = view.argument("sort", "created"), view.argument("order", "down")
    status = status if status in STATUSES else ""
    found, executions = await _found(view, pipeline, search, status, sort, order)
    columns = [name for name in view.arguments("column") if name in known]
    values = {}
    if columns:
        values = {
            each["PipelineExecutionArn"]: await parameters(view, each["PipelineExecutionArn"]) for each in executions
        }
    return {
        "executions": executions,
        "columns": columns,
        "values": values,
        "next": found.get("NextToken"),
        "search": search,
        "status": status,
        "statuses": STATUSES_OF_EXECUTIONS,
        "ended": ENDED,
        "who": who,
    }


async def _found(
    view: View, pipeline: Document, search: str, status: str, sort: str, order: str
) -> tuple[Document, list[Document]]:
    """The answer with the next page's token, and the executions' documents."""
    ordered = "Ascending" if order == "up" else "Descending"
    token = view.argument("page") or None
    if not search and not status and sort not in _SORTS:
        found = await view.call(
            "ListPipelineExecutions", PipelineName=pipeline["PipelineName"], SortOrder=ordered, NextToken=token,
            MaxResults=PER_PAGE,
        )  # fmt: skip
        return found, [
            await view.call("DescribePipelineExecution", PipelineExecutionArn=each["PipelineExecutionArn"])
            for each in found["PipelineExecutionSummaries"]
        ]
    filters = [{"Name": "PipelineArn", "Operator": "Equals", "Value": pipeline["PipelineArn"]}]
    if search:
        filters.append({"Name": "PipelineExecutionDisplayName", "Operator": "Contains", "Value": search})
    if status:
        filters.append({"Name": "PipelineExecutionStatus", "Operator": "Equals", "Value": status})
    found = await view.call(
        "Search", Resource="PipelineExecution", SearchExpression={"Filters": filters},
        SortBy=_SORTS.get(sort, "CreationTime"), SortOrder=ordered, NextToken=token, MaxResults=PER_PAGE,
    )  # fmt: skip
    return found, [each["PipelineExecution"] for each in found["Results"]]


async def parameters(view: View, execution: str) -> dict[str, Any]:
    """The values that an execution was started with, defaults included; by name."""
    values: dict[str, Any] = {}
    token = None
    while True:
        found = await view.call(
            "ListPipelineParametersForExecution", PipelineExecutionArn=execution, MaxResults=50, NextToken=token
        )
        values |= {pair["Name"]: pair["Value"] for pair in found["PipelineParameters"]}
        token = found.get("NextToken")
        if token is None:
            return values
