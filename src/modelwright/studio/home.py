"""Home: what runs, what waits for somebody, what failed last; first steps where there is nothing yet."""

from __future__ import annotations

import shutil

from starlette.responses import Response

from modelwright.services.dispatch import Document
from modelwright.studio import deployments
from modelwright.studio.joblogs import KINDS
from modelwright.studio.runs import identity, recent
from modelwright.studio.texts import LANGUAGES
from modelwright.studio.view import LANGUAGE_COOKIE, ROOT, THEME_COOKIE, THEMES, Route, View

_YEAR = 365 * 24 * 3600
_SHOWN = 8


def routes() -> list[Route]:
    return [("/", ("GET",), show), ("/preferences", ("POST",), prefer)]


async def show(view: View) -> Response:
    pipelines = (await view.call("ListPipelines", SortBy="CreationTime", MaxResults=20))["PipelineSummaries"]
    executions = sorted(
        [execution for pipeline in pipelines for execution in await recent(view, pipeline["PipelineName"], 5)],
        key=lambda execution: -float(execution["StartTime"]),
    )
    jobs = {status: await _jobs(view, status) for status in ("InProgress", "Failed")}
    waiting = await view.call(
        "ListModelPackages", ModelPackageType="Versioned", ModelApprovalStatus="PendingManualApproval",
        MaxResults=_SHOWN,
    )  # fmt: skip
    in_pipelines = ("Executing", "Stopping")
    disk = shutil.disk_usage(view.place.facts["home"])
    return view.page(
        "home.html",
        empty=not pipelines and not jobs["InProgress"] and not jobs["Failed"],
        running=[each for each in executions if each["PipelineExecutionStatus"] in in_pipelines][:_SHOWN],
        latest=[each for each in executions if each["PipelineExecutionStatus"] not in in_pipelines][:_SHOWN],
        running_jobs=jobs["InProgress"][:_SHOWN],
        failed_jobs=jobs["Failed"][:_SHOWN],
        waiting=waiting["ModelPackageSummaryList"],
        asks=await deployments.waiting(view, _SHOWN),
        disk=disk,
        identity=identity,
    )


async def _jobs(view: View, status: str) -> list[Document]:
    found = []
    for kind in KINDS.values():
        page = await view.call(f"List{kind.noun}s", StatusEquals=status, MaxResults=_SHOWN)
        found += [
            {"name": job[f"{kind.noun}Name"], "kind": kind, "status": status, "created": job["CreationTime"]}
            for job in page[f"{kind.noun}Summaries"]
        ]
    return sorted(found, key=lambda job: -float(job["created"]))


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
