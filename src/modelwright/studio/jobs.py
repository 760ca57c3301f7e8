"""Training and processing jobs: lists, a job with its log as it is written, and the live connection of all pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from modelwright.services.dispatch import Document
from modelwright.studio import charts, endpointlogs, joblogs, rerun
from modelwright.studio.executions import live_address
from modelwright.studio.joblogs import KINDS, Kind, Timings
from modelwright.studio.live import Live
from modelwright.studio.view import Route, View

PER_PAGE = 25
STATUSES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")
ENDED = ("Completed", "Failed", "Stopped")
TABS = ("logs", "metrics", "parameters", "inputs", "settings")


def routes(live: Live, timings: Timings) -> list[Route]:
    async def connect(view: View) -> Response:
        return await _live(view, live)

    async def job(view: View) -> Response:
        return await one(view, timings)

    return [
        ("/jobs", ("GET",), first),
        ("/jobs/{kind}", ("GET",), all_of_kind),
        ("/jobs/{kind}/{name}", ("GET",), job),
        ("/jobs/{kind}/{name}/stop", ("POST",), stop),
        ("/jobs/{kind}/{name}/log", ("GET",), download),
        ("/live", ("GET",), connect),
    ]


def _kind(view: View) -> Kind:
    try:
        return KINDS[view.argument("kind")]
    except KeyError:
        raise HTTPException(404) from None


async def first(view: View) -> Response:
    return view.go("jobs", "training")


async def all_of_kind(view: View) -> Response:
    kind = _kind(view)
    search, status = view.argument("search").strip(), view.argument("status")
    status = status if status in STATUSES else ""
    sort = {"name": "Name", "status": "Status"}.get(view.argument("sort"), "CreationTime")
    found = await view.call(
        f"List{kind.noun}s",
        NameContains=search or None,
        StatusEquals=status or None,
        SortBy=sort,
        SortOrder="Ascending" if view.argument("order") == "up" else "Descending",
        MaxResults=PER_PAGE,
        NextToken=view.argument("page") or None,
    )
    rows = [
        {
            "name": job[f"{kind.noun}Name"],
            "status": job[f"{kind.noun}Status"],
            "created": job["CreationTime"],
            "end": job.get("TrainingEndTime", job.get("ProcessingEndTime")),
        }
        for job in found[f"{kind.noun}Summaries"]
    ]
    return view.page(
        "jobs.html", kind=kind, kinds=KINDS, jobs=rows, next=found.get("NextToken"), search=search, status=status,
        statuses=STATUSES, live=live_address([kind.stream]),
    )  # fmt: skip


async def one(view: View, timings: Timings) -> Response:
    kind = _kind(view)
    job = await joblogs.describe(view, kind, view.argument("name"))
    name = job[f"{kind.noun}Name"]
    tab = view.argument("tab", "logs")
    tab = tab if tab in TABS else "logs"
    status = job[f"{kind.noun}Status"]
    words = view.argument("words").strip()
    context: dict[str, Any] = {"log": None, "lines": [], "charts": [], "stages": [], "again": ""}
    if tab == "settings":
        context |= {"stages": await joblogs.timed(timings, kind, name), "again": rerun.command(kind, job)}
    elif tab == "logs":
        context["log"] = await joblogs.tail(view, kind, name)
        if words:
            context["lines"] = await joblogs.search(view, kind, name, words)
    elif tab == "metrics":
        definitions = job.get("AlgorithmSpecification", {}).get("MetricDefinitions", [])
        if definitions:
            log = await joblogs.tail(view, kind, name, joblogs.SAMPLE)
            context["charts"] = charts.of_log(definitions, log.lines)
    started = job.get("TrainingStartTime", job.get("ProcessingStartTime"))
    return view.page(
        "job.html",
        kind=kind,
        job=job,
        name=name,
        tab=tab,
        status=status,
        ended=status in ENDED,
        started=started,
        end=job.get("TrainingEndTime", job.get("ProcessingEndTime")),
        image=job.get("AlgorithmSpecification", {}).get("TrainingImage")
        or job.get("AppSpecification", {}).get("ImageUri", ""),
        inputs=_inputs(job),
        outputs=_outputs(job),
        words=words,
        live=live_address([], kind, name) if tab == "logs" else live_address([f"{kind.stream}{name}"]),
        **context,
    )


def _inputs(job: Document) -> list[tuple[str, str]]:
    channels = [
        (channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"])
        for channel in job.get("InputDataConfig", [])
        if "S3DataSource" in channel.get("DataSource", {})
    ]
    return channels + [
        (each["InputName"], each["S3Input"]["S3Uri"]) for each in job.get("ProcessingInputs", []) if "S3Input" in each
    ]


def _outputs(job: Document) -> list[tuple[str, str]]:
    found = [
        (each["OutputName"], each["S3Output"]["S3Uri"])
        for each in job.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if "S3Output" in each
    ]
    model = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    return [*found, ("ModelArtifacts", model)] if model else found


async def stop(view: View) -> Response:
    kind, name = _kind(view), view.argument("name")
    await view.call(f"Stop{kind.noun}", **{f"{kind.noun}Name": name})
    return view.go("jobs", kind.path, name)


async def download(view: View) -> Response:
    """The whole log as a text file."""
    kind, name = _kind(view), view.argument("name")
    await joblogs.describe(view, kind, name)

    async def text() -> AsyncIterator[str]:
        place = ""
        while True:
            lines, further = await joblogs.after(view, kind, name, place)
            if not lines or further == place:
                return
            yield "".join(f"{line['m']}\n" for line in lines)
            place = further

    headers = {"Content-Disposition": f'attachment; filename="{name}.log"'}
    return StreamingResponse(text(), media_type="text/plain; charset=utf-8", headers=headers)


async def _live(view: View, live: Live) -> Response:
    """What a page is told while it is looked at."""
    watched = [stream for stream in view.argument("watch").split(" ") if stream]
    kind, name = KINDS.get(view.argument("kind")), view.argument("job")
    place = view.request.headers.get("last-event-id") or view.argument("place")
    endpoint, stream = view.argument("endpoint"), view.argument("stream")
    if endpoint and stream:
        messages = live.messages(
            watched,
            f"endpoint/{endpoint}/",
            lambda place: endpointlogs.after(view, endpoint, stream, place),
            place,
        )
    elif kind is None:
        messages = live.messages(watched, "", None, "")
    else:
        messages = live.messages(
            watched, f"{kind.stream}{name}", lambda place: joblogs.after(view, kind, name, place), place
        )
    return StreamingResponse(messages, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
