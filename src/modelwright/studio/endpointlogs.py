"""The logs of an endpoint's instances: which there are, the last lines of one, what stands after a place."""

from __future__ import annotations

from typing import Any

from modelwright.errors import AwsError
from modelwright.studio.joblogs import TAIL, Log
from modelwright.studio.view import View, is_missing


def group(endpoint: str) -> str:
    return f"/aws/sagemaker/Endpoints/{endpoint}"


async def streams(view: View, endpoint: str) -> list[str]:
    """The log streams, instances before others and the newest first of all: it stays so while they write."""
    try:
        found = await view.call(
            "DescribeLogStreams", "logs", logGroupName=group(endpoint), orderBy="LastEventTime", descending=True,
            limit=50,
        )  # fmt: skip
    except AwsError as error:
        if is_missing(error):
            return []
        raise
    ordered = sorted(found["logStreams"], key=lambda each: ("/" not in each["logStreamName"], -each["creationTime"]))
    return [str(each["logStreamName"]) for each in ordered]


async def tail(view: View, endpoint: str, stream: str) -> Log:
    """The last lines of an instance's log."""
    page = await view.call(
        "GetLogEvents", "logs", logGroupName=group(endpoint), logStreamName=stream, limit=TAIL, startFromHead=False
    )
    return Log(page["events"], page["nextForwardToken"], len(page["events"]) < TAIL)


async def after(view: View, endpoint: str, stream: str, place: str) -> tuple[list[dict[str, Any]], str]:
    """The lines after a place, and the place after them. Of a log that is not there any more: nothing."""
    try:
        page = await view.call(
            "GetLogEvents", "logs", logGroupName=group(endpoint), logStreamName=stream, startFromHead=True,
            nextToken=place or None,
        )  # fmt: skip
    except AwsError as error:
        if is_missing(error):
            return [], place
        raise
    return [{"t": line["timestamp"], "m": line["message"]} for line in page["events"]], page["nextForwardToken"]
