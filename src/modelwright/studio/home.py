"""Home: what runs, what waits for somebody, what failed last; first steps where there is nothing yet."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from starlette.responses import Response

from modelwright.services.dispatch import Document
from modelwright.studio import deployments
from modelwright.studio.joblogs import KINDS
from modelwright.studio.runs import identity, recent
from modelwright.studio.texts import LANGUAGES
from modelwright.studio.view import LANGUAGE_COOKIE, ROOT, THEME_COOKIE, THEMES, Route, View, link

_YEAR = 365 * 24 * 3600
_SHOWN = 8
_PIPELINES, _BUILDS, _ENDPOINTS = 50, 20, 50
_SCARCE = 0.1
"""The part of the disk below which it is said that little is left."""
_RUNNING = ("Executing", "InProgress", "Stopping", "Creating", "Updating", "RollingBack", "Deleting", "SystemUpdating")
_FAILED = ("Failed", "CompletedWithFailures", "OutOfService", "UpdateRollbackFailed")
_BUILD = {"IN_PROGRESS": "InProgress", "SUCCEEDED": "Succeeded", "STOPPED": "Stopped",
          **dict.fromkeys(("FAILED", "FAULT", "TIMED_OUT"), "Failed")}  # fmt: skip


def routes() -> list[Route]:
    return [("/", ("GET",), show), ("/preferences", ("POST",), prefer)]


@dataclass(frozen=True)
class Item:
    """Something that runs or has failed: a line of Home."""

    status: str
    name: str
    note: str
    """What it is: a text of ours, or a name."""
    address: str
    time: float
    reason: str = ""


async def show(view: View) -> Response:
    pipelines = (await view.call("ListPipelines", SortBy="CreationTime", MaxResults=20))["PipelineSummaries"]
    executions = sorted(
        [execution for pipeline in pipelines for execution in await recent(view, pipeline["PipelineName"], 5)],
        key=lambda execution: -float(execution["StartTime"]),
    )
    waiting = await view.call(
        "ListModelPackages", ModelPackageType="Versioned", ModelApprovalStatus="PendingManualApproval",
        MaxResults=_SHOWN,
    )  # fmt: skip
    others = [
        *(await _jobs(view, "InProgress")), *(await _jobs(view, "Failed")), *(await _deployments(view)),
        *(await _builds(view)), *(await _endpoints(view)),
    ]  # fmt: skip
    items = sorted([*(_execution(each) for each in executions), *others], key=lambda item: -item.time)
    disk = shutil.disk_usage(view.place.facts["home"])
    return view.page(
        "home.html",
        empty=not items,
        running=[item for item in items if item.status in _RUNNING][:_SHOWN],
        failed=[item for item in items if item.status in _FAILED][:_SHOWN],
        latest=[_execution(each) for each in executions if each["PipelineExecutionStatus"] not in _RUNNING][:_SHOWN],
        serving=[item for item in items if item.status == "InService"][:_SHOWN],
        waiting=waiting["ModelPackageSummaryList"],
        asks=await deployments.waiting(view, _SHOWN),
        disk=disk,
        scarce=disk.free < _SCARCE * disk.total,
    )


def _execution(execution: Document) -> Item:
    pipeline = execution["PipelineName"]
    return Item(
        execution["PipelineExecutionStatus"],
        execution["PipelineExecutionDisplayName"],
        pipeline,
        link("pipelines", pipeline, "executions", identity(execution["PipelineExecutionArn"])),
        float(execution["StartTime"]),
        execution.get("PipelineExecutionFailureReason", ""),
    )


async def _jobs(view: View, status: str) -> list[Item]:
    found = []
    for kind in KINDS.values():
        page = await view.call(f"List{kind.noun}s", StatusEquals=status, MaxResults=_SHOWN)
        found += [
            Item(status, name, kind.label, link("jobs", kind.path, name), float(job["CreationTime"]))
            for job in page[f"{kind.noun}Summaries"]
            for name in [job[f"{kind.noun}Name"]]
        ]
    return found


async def _deployments(view: View) -> list[Item]:
    """The last run of each deployment pipeline."""
    found = []
    for pipeline in (await view.call("ListPipelines", "codepipeline", maxResults=_PIPELINES))["pipelines"]:
        name = pipeline["name"]
        runs = await view.find("ListPipelineExecutions", "codepipeline", pipelineName=name, maxResults=1)
        found += [
            Item(run["status"], name, "Deployment", link("deployments", name), float(run["startTime"]))
            for run in (runs or {}).get("pipelineExecutionSummaries", [])
        ]
    return found


async def _builds(view: View) -> list[Item]:
    """The last builds, each with the deployment that asked for it."""
    identities = (await view.call("ListBuilds", "codebuild"))["ids"][:_BUILDS]
    if not identities:
        return []
    found = (await view.call("BatchGetBuilds", "codebuild", ids=identities))["builds"]
    items = []
    for build in found:
        kind, _, name = str(build.get("initiator", "")).partition("/")
        address = link("deployments", name) if kind == "codepipeline" and name else ""
        status = _BUILD.get(build["buildStatus"], build["buildStatus"])
        if address and status == "Failed":
            continue  # the deployment says it
        items.append(Item(status, build["projectName"], "Build", address, float(build["startTime"])))
    return items


async def _endpoints(view: View) -> list[Item]:
    found = await view.call("ListEndpoints", SortBy="CreationTime", SortOrder="Descending", MaxResults=_ENDPOINTS)
    return [
        Item(
            each["EndpointStatus"], each["EndpointName"], "Endpoint", link("endpoints", each["EndpointName"]),
            float(each["LastModifiedTime"]),
        )
        for each in found["Endpoints"]
    ]  # fmt: skip


async def prefer(view: View) -> Response:
    """Language and theme: kept in cookies, a year."""
    back = view.field("back")
    response = view.go()
    response.headers["location"] = back if back.startswith(f"{ROOT}/") and "//" not in back else f"{ROOT}/"
    for cookie, value, known in (
        (LANGUAGE_COOKIE, view.field("language"), LANGUAGES),
        (THEME_COOKIE, view.field("theme"), THEMES),
    ):
        if value in known:
            response.set_cookie(cookie, value, max_age=_YEAR, path=ROOT, httponly=True, samesite="strict")
    return response
