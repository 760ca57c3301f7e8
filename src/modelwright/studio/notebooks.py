"""Notebooks: JupyterLab in a sandbox of its own with a folder that stays; started, opened, stopped, deleted."""

from __future__ import annotations

from typing import Any

from starlette.responses import RedirectResponse, Response

from modelwright.arns import EXECUTION_ROLE, role_arn
from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio.view import Route, View, link

PER_PAGE = 25
INSTANCE_TYPES = ("ml.t3.medium", "ml.t3.large", "ml.t3.xlarge", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge")
DEFAULT_TYPE = "ml.t3.xlarge"
LOG_GROUP = "/aws/sagemaker/NotebookInstances"
_LINES = 300
_VERBS = {"start": "StartNotebookInstance", "stop": "StopNotebookInstance", "delete": "DeleteNotebookInstance"}


def routes() -> list[Route]:
    return [
        ("/notebooks", ("GET", "POST"), all_of_them),
        ("/notebooks/{name}", ("GET", "POST"), one),
        ("/notebooks/{name}/open", ("GET",), open_it),
    ]


async def all_of_them(view: View) -> Response:
    """The list; the form starts a new one."""
    problem = ""
    name, kind = view.field("name").strip(), view.field("type")
    if view.request.method == "POST":
        try:
            await view.call(
                "CreateNotebookInstance",
                NotebookInstanceName=name,
                InstanceType=kind if kind in INSTANCE_TYPES else DEFAULT_TYPE,
                RoleArn=role_arn(view.place.account, EXECUTION_ROLE),
            )
        except AwsError as error:
            problem = error.message
        else:
            return view.go("notebooks", name)
    found = await view.call(
        "ListNotebookInstances", MaxResults=PER_PAGE, SortBy="CreationTime", SortOrder="Descending",
        NextToken=view.argument("page") or None,
    )  # fmt: skip
    named = [each["NotebookInstanceName"] for each in found["NotebookInstances"]]
    described = [await view.find("DescribeNotebookInstance", NotebookInstanceName=each) for each in named]
    notebooks = [each for each in described if each is not None]
    own = view.session.user if view.session is not None else ""
    has_own = any(each["NotebookInstanceName"] == own for each in notebooks)
    return view.page(
        "notebooks.html",
        http_status=400 if problem else 200,
        notebooks=notebooks,
        next=found.get("NextToken"),
        name=name or ("" if has_own else own),
        kind=kind or DEFAULT_TYPE,
        kinds=INSTANCE_TYPES,
        may_create=view.may("CreateNotebookInstance"),
        owner=owner,
        is_mine=lambda notebook: _is_mine(view, notebook),
        problem=problem,
        live=link("live", watch="resource/NotebookInstance/"),
    )


async def one(view: View) -> Response:
    """A notebook and its log; the form starts, stops or deletes it."""
    name, problem = view.argument("name"), ""
    if view.request.method == "POST":
        operation = _VERBS.get(view.field("do"), "")
        try:
            if operation:
                await view.call(operation, NotebookInstanceName=name)
        except AwsError as error:
            problem = error.message
        else:
            return view.go("notebooks") if view.field("do") == "delete" else view.go("notebooks", name)
    notebook = await view.call("DescribeNotebookInstance", NotebookInstanceName=name)
    may = {verb: view.may(operation, NotebookInstanceName=name) for verb, operation in _VERBS.items()}
    return view.page(
        "notebook.html",
        http_status=400 if problem else 200,
        notebook=notebook,
        name=name,
        lines=await _log(view, name),
        may=may,
        owner=owner(notebook),
        may_open=_is_mine(view, notebook),
        problem=problem,
        live=link("live", watch=f"resource/NotebookInstance/{name} log:notebook-instance/{name}/"),
    )


def owner(notebook: Document) -> str:
    """Who has created it, and alone opens it."""
    return str(notebook["_Owner"]).rpartition("/")[2]


def _is_mine(view: View, notebook: Document) -> bool:
    mine = view.session is not None and notebook["_Owner"] == view.session.principal.arn
    return mine and view.may(
        "CreatePresignedNotebookInstanceUrl", NotebookInstanceName=notebook["NotebookInstanceName"]
    )


async def _log(view: View, name: str) -> list[dict[str, Any]]:
    found: Document | None = await view.find(
        "GetLogEvents", "logs", logGroupName=LOG_GROUP, logStreamName=f"{name}/jupyter.log", limit=_LINES,
        startFromHead=False,
    )  # fmt: skip
    lines: list[dict[str, Any]] = (found or {}).get("events", [])
    return lines


async def open_it(view: View) -> Response:
    """To JupyterLab itself, with what opens it: an address that stands in no page."""
    found = await view.call("CreatePresignedNotebookInstanceUrl", NotebookInstanceName=view.argument("name"))
    return RedirectResponse(found["AuthorizedUrl"], 303)
