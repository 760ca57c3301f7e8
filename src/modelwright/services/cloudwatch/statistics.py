"""GetMetricStatistics: one metric, several statistics."""

from __future__ import annotations

from typing import Any

from modelwright.errors import UnsupportedOperation
from modelwright.metrics.aggregates import Aggregate, is_known_elsewhere, is_percentile
from modelwright.services.cloudwatch.base import (
    CloudWatch,
    Span,
    check_period,
    combination,
    dimensions_of,
    invalid,
    missing,
    periods,
)
from modelwright.services.dispatch import Context, Document, operation
from modelwright.store.metrics import Series

MOST_POINTS = 1440


class MetricStatistics(CloudWatch):
    """Statistics of a metric."""

    @operation("GetMetricStatistics")
    def get(self, _: Context, parameters: dict[str, Any]) -> Document:
        """A data point for each period, and each unit, that has values. In no order, as on AWS: here by time."""
        plain, extended = parameters.get("Statistics", []), parameters.get("ExtendedStatistics", [])
        _check(plain, extended)
        start, end, period = parameters["StartTime"], parameters["EndTime"], parameters["Period"]
        if start >= end:
            raise invalid("The parameter StartTime must be less than the parameter EndTime.")
        check_period(period, "Period")
        span = Span.of(start, end, period, self.now())
        asked = len(span.times())
        if asked > MOST_POINTS:
            raise combination(
                f"You have requested up to {asked:,} datapoints, which exceeds the limit of {MOST_POINTS:,}. You may "
                "reduce the datapoints requested by increasing Period, or decreasing the time range."
            )
        dimensions = dimensions_of(parameters.get("Dimensions", []), "Dimensions")
        series = Series(parameters["Namespace"], parameters["MetricName"], dimensions)
        self.metrics.flush()
        with self.database.read() as transaction:
            found = periods(transaction, series, parameters.get("Unit"), span)
        points = [
            {"Timestamp": float(time), **_told(part, plain, extended), "Unit": one.unit}
            for one, parts in found
            for time, part in parts.items()
        ]
        points.sort(key=lambda point: point["Timestamp"])
        return {"Label": parameters["MetricName"], "Datapoints": [point for point in points if len(point) > 2]}


def _check(plain: list[str], extended: list[str]) -> None:
    if not plain and not extended:
        raise missing("At least one of the parameters Statistics and ExtendedStatistics must be specified.")
    if plain and extended:
        raise combination("The parameters Statistics and ExtendedStatistics can't be used together.")
    for name in extended:
        if is_known_elsewhere(name):
            raise UnsupportedOperation.member(
                "GetMetricStatistics", f"ExtendedStatistics = '{name}'", "Use a percentile (p99)."
            )
        if not is_percentile(name):
            raise invalid(
                f"The value {name} for parameter ExtendedStatistics is not supported: use a percentile between p0 "
                "and p100."
            )


def _told(part: Aggregate, plain: list[str], extended: list[str]) -> Document:
    point: Document = {name: value for name in plain if (value := part.statistic(name)) is not None}
    percentiles = {name: value for name in extended if (value := part.statistic(name)) is not None}
    if percentiles:
        point["ExtendedStatistics"] = percentiles
    return point
