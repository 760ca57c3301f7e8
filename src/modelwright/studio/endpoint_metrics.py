"""An endpoint's metrics as charts: what CloudWatch answers about its invocations, errors, latencies and load."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from modelwright.services.dispatch import Document
from modelwright.studio.timecharts import TimeChart, time_chart
from modelwright.studio.view import View

NAMESPACE = "AWS/SageMaker"


@dataclass(frozen=True)
class Range:
    """What a page shows: this many seconds back, a point for each `period`."""

    key: str
    label: str
    seconds: int
    period: int


RANGES = (
    Range("1h", "1 hour", 3600, 60),
    Range("3h", "3 hours", 3 * 3600, 60),
    Range("1d", "1 day", 86400, 300),
    Range("1w", "1 week", 7 * 86400, 3600),
)
ERRORS = (
    ("Invocation4XXErrors", "The model said 4XX"),
    ("Invocation5XXErrors", "The model said 5XX"),
    ("InvocationModelErrors", "All errors of the model"),
)
LATENCIES = (("ModelLatency", "Model latency"), ("OverheadLatency", "Overhead"))
LOADS = (("CPUUtilization", "CPU"), ("MemoryUtilization", "Memory"))
LOAD_NAMESPACE = "/aws/sagemaker/Endpoints"
_PERCENTILES = ("p50", "p90", "p99")


def chosen(view: View) -> Range:
    """The range that the address names."""
    return next((each for each in RANGES if each.key == view.argument("range")), RANGES[0])


async def charts(view: View, endpoint: str, variants: list[str], span: Range) -> list[TimeChart]:
    """Invocations and errors of the endpoint, latencies of each variant."""
    end = math.ceil(time.time() / span.period) * span.period
    start = end - span.seconds
    queries: list[Document] = []
    for number, variant in enumerate(variants):
        queries.append(_query(f"calls{number}", "Invocations", "Sum", endpoint, variant, span))
        for place, (metric, _) in enumerate(ERRORS):
            queries.append(_query(f"e{place}_{number}", metric, "Sum", endpoint, variant, span))
        for metric, _ in LATENCIES:
            for percentile in _PERCENTILES:
                queries.append(
                    _query(f"{metric[0].lower()}{percentile}_{number}", metric, percentile, endpoint, variant, span)
                )
        for metric, _ in LOADS:
            identity = f"{metric[:3].lower()}{number}"
            queries.append(_query(identity, metric, "Average", endpoint, variant, span, LOAD_NAMESPACE))
    if not queries:
        return []
    found = await _all(view, queries, start, end)
    texts = view.texts
    times = range(start, end, span.period)
    calls = {variant: _counted(found.get(f"calls{number}", {}), times) for number, variant in enumerate(variants)}
    errors = {
        texts(label): _counted(_summed([found.get(f"e{place}_{number}", {}) for number in range(len(variants))]), times)
        for place, (_, label) in enumerate(ERRORS)
    }
    made = [
        time_chart(texts("Invocations"), "", calls, start, end, span.period, total=True),
        time_chart(texts("Errors"), "", errors, start, end, span.period, total=True),
    ]
    for number, variant in enumerate(variants):
        for metric, title in LATENCIES:
            lines = {
                percentile: {
                    at: microseconds / 1000
                    for at, microseconds in found.get(f"{metric[0].lower()}{percentile}_{number}", {}).items()
                }
                for percentile in _PERCENTILES
            }
            heading = f"{texts(title)} · {variant}" if len(variants) > 1 else texts(title)
            made.append(time_chart(heading, "ms", lines, start, end, span.period, total=False))
    for metric, title in LOADS:
        lines = {variant: found.get(f"{metric[:3].lower()}{number}", {}) for number, variant in enumerate(variants)}
        made.append(time_chart(texts(title), "%", lines, start, end, span.period, total=False))
    return made


def _query(
    identity: str, metric: str, stat: str, endpoint: str, variant: str, span: Range, namespace: str = NAMESPACE
) -> Document:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    what = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
    return {"Id": identity, "MetricStat": {"Metric": what, "Period": span.period, "Stat": stat}}


async def _all(view: View, queries: list[Document], start: int, end: int) -> dict[str, dict[float, float]]:
    found: dict[str, dict[float, float]] = {}
    token = None
    while True:
        page = await view.call(
            "GetMetricData", "cloudwatch", MetricDataQueries=queries, StartTime=float(start), EndTime=float(end),
            ScanBy="TimestampAscending", NextToken=token,
        )  # fmt: skip
        for each in page["MetricDataResults"]:
            points = found.setdefault(each["Id"], {})
            points.update(zip(each["Timestamps"], each["Values"], strict=True))
        token = page.get("NextToken")
        if token is None:
            return found


def _counted(points: dict[float, float], times: range) -> dict[float, float]:
    """A count of nothing is a zero, once there was something."""
    return {float(at): 0.0 for at in times} | points if points else {}


def _summed(several: list[dict[float, float]]) -> dict[float, float]:
    total: dict[float, float] = {}
    for points in several:
        for at, value in points.items():
            total[at] = total.get(at, 0.0) + value
    return total
