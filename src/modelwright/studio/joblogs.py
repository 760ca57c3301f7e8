"""Jobs and their logs: where a job's log lies, its last lines, what stands after a place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio.view import View, is_missing

TAIL = 400
"""Lines that a page shows; the whole log is a download away."""
SAMPLE = 10_000
"""Lines in which metrics are looked for."""


class Stage(Protocol):
    """A stretch of a job's life; the last of a job that has not ended has no end."""

    @property
    def name(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float | None: ...


Timings = Callable[[str], Sequence[Stage]]
"""Where a job's time went, by its event stream's name."""
STAGES = {"Queued": "Queued", "Image": "Image", "Inputs": "Inputs", "Run": "Run", "Outputs": "Outputs"}
"""What the stages are called."""


@dataclass(frozen=True)
class Kind:
    """A kind of jobs: its names in AWS's operations and in addresses."""

    noun: str
    """`TrainingJob`."""
    path: str
    """`training`."""
    group: str
    """Its log group."""
    label: str

    @property
    def stream(self) -> str:
        """What its event streams' names begin with."""
        return f"{self.path}-job/"


KINDS = {
    "training": Kind("TrainingJob", "training", "/aws/sagemaker/TrainingJobs", "Training jobs"),
    "processing": Kind("ProcessingJob", "processing", "/aws/sagemaker/ProcessingJobs", "Processing jobs"),
}


@dataclass(frozen=True)
class Log:
    """`place` is the one after the last line."""

    lines: list[Document]
    place: str
    complete: bool


async def describe(view: View, kind: Kind, name: str) -> Document:
    """Raises AwsError when there is no such job."""
    return await view.call(f"Describe{kind.noun}", **{f"{kind.noun}Name": name})


async def of_arn(view: View, kind: Kind, arn: str) -> Document | None:
    """The job of an ARN, which has its name in small letters only; None when it was deleted."""
    small = arn.rpartition("/")[2]
    found = await view.call(f"List{kind.noun}s", NameContains=small.rpartition("-")[2], MaxResults=100)
    for job in found[f"{kind.noun}Summaries"]:
        if job[f"{kind.noun}Arn"] == arn:
            return await view.find(f"Describe{kind.noun}", **{f"{kind.noun}Name": job[f"{kind.noun}Name"]})
    return await view.find(f"Describe{kind.noun}", **{f"{kind.noun}Name": small})


async def timed(timings: Timings, kind: Kind, name: str) -> list[Document]:
    """A job's stages as they are shown: `left` and `width` are thousandths of the whole. Its document was read first:
    whoever asks may see it.
    """
    found = await asyncio.to_thread(timings, f"{kind.stream}{name}")
    if not found:
        return []
    first, last = found[0].start, found[-1].end or time.time()
    span = max(last - first, 0.001)
    rows = []
    for stage in found:
        left = min(round((stage.start - first) / span * 1000, 1), 998.0)
        width = max(round(((stage.end or last) - stage.start) / span * 1000, 1), 2.0)
        rows.append(
            {
                "name": STAGES[stage.name], "start": stage.start, "end": stage.end, "left": left,
                "width": min(width, 1000 - left), "colour": "ok" if stage.name == "Run" else "idle",
            }
        )  # fmt: skip
    return rows


async def tail(view: View, kind: Kind, name: str, limit: int = TAIL) -> Log:
    """The last lines of a job's log."""
    stream = await _stream(view, kind, name)
    if stream is None:
        return Log([], "", True)
    page = await view.call(
        "GetLogEvents", "logs", logGroupName=kind.group, logStreamName=stream, limit=limit, startFromHead=False
    )
    return Log(page["events"], page["nextForwardToken"], len(page["events"]) < limit)


async def search(view: View, kind: Kind, name: str, words: str) -> list[Document]:
    """The lines that contain the words."""
    stream = await _stream(view, kind, name)
    if stream is None:
        return []
    quoted = '"' + words.replace('"', " ") + '"'
    found = await view.call(
        "FilterLogEvents", "logs", logGroupName=kind.group, logStreamNames=[stream], filterPattern=quoted, limit=TAIL
    )
    lines: list[Document] = found["events"]
    return lines


async def after(view: View, kind: Kind, name: str, place: str) -> tuple[list[dict[str, Any]], str]:
    """The lines after a place, and the place after them. Of a job that has no log yet: nothing."""
    stream = await _stream(view, kind, name)
    if stream is None:
        return [], place
    page = await view.call(
        "GetLogEvents", "logs", logGroupName=kind.group, logStreamName=stream, startFromHead=True,
        nextToken=place or None,
    )  # fmt: skip
    lines = [{"t": line["timestamp"], "m": line["message"]} for line in page["events"]]
    return lines, page["nextForwardToken"]


async def _stream(view: View, kind: Kind, name: str) -> str | None:
    try:
        found = await view.call(
            "DescribeLogStreams", "logs", logGroupName=kind.group, logStreamNamePrefix=f"{name}/", limit=1
        )
    except AwsError as error:
        if is_missing(error):
            return None
        raise
    streams = found["logStreams"]
    return str(streams[0]["logStreamName"]) if streams else None
