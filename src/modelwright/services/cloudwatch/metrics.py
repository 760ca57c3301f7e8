"""PutMetricData and ListMetrics."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from modelwright.metrics.aggregates import Aggregate, of_set
from modelwright.metrics.periods import ACTIVE, DAY, HOUR, LISTED
from modelwright.services.cloudwatch.base import (
    CloudWatch,
    combination,
    dimensions_of,
    invalid,
    make_token,
    missing,
    open_token,
)
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store.metric_buffer import Point
from modelwright.store.metrics import Series, list_series

MOST_METRICS = 1000
MOST_VALUES = 150
OLDEST, NEWEST = 14 * DAY, 2 * HOUR
LARGEST = 2.0**360
PAGE = 500

_DIMENSIONS: Table = {"Name": HONOURED, "Value": HONOURED}
_ENTITIES = refused("Entities are not kept here: give the metrics in MetricData.")

PUT_MEMBERS: Table = {
    "Namespace": HONOURED,
    "MetricData": {
        "MetricName": HONOURED,
        "Dimensions": _DIMENSIONS,
        "Timestamp": HONOURED,
        "Value": HONOURED,
        "StatisticValues": {"SampleCount": HONOURED, "Sum": HONOURED, "Minimum": HONOURED, "Maximum": HONOURED},
        "Values": HONOURED,
        "Counts": HONOURED,
        "Unit": HONOURED,
        "StorageResolution": HONOURED,
    },
    "EntityMetricData": _ENTITIES,
    "StrictEntityValidation": _ENTITIES,
}

LIST_MEMBERS: Table = {
    "Namespace": HONOURED,
    "MetricName": HONOURED,
    "Dimensions": _DIMENSIONS,
    "NextToken": HONOURED,
    "RecentlyActive": HONOURED,
    "IncludeLinkedAccounts": refused("There is one account here: leave it out.", False),
    "OwningAccount": refused("There is one account here: leave it out."),
}


class Metrics(CloudWatch):
    """What metrics there are, and their points."""

    @operation("PutMetricData", members=PUT_MEMBERS)
    def put(self, _: Context, parameters: dict[str, Any]) -> Document:
        """All of it or nothing. Readers see it at once; it is on the disk about a second later."""
        namespace = parameters["Namespace"]
        data = parameters.get("MetricData", [])
        if namespace.startswith("AWS/"):
            raise invalid(f"The value {namespace} for parameter Namespace is invalid: it must not begin with AWS/.")
        if not all(" " <= letter <= "~" for letter in namespace):
            raise invalid("The parameter Namespace must be of printable ASCII characters.")
        if not data:
            raise missing("The parameter MetricData is required.")
        if len(data) > MOST_METRICS:
            raise invalid(f"The parameter MetricData has {len(data)} metrics; a request may have {MOST_METRICS}.")
        now = self.now()
        coarse: list[Point] = []
        fine: list[Point] = []
        for number, datum in enumerate(data, 1):
            where = f"MetricData.member.{number}"
            (fine if _resolution(datum, where) == 1 else coarse).append(_point(namespace, datum, where, now))
        self.metrics.add(coarse)
        self.metrics.add(fine, fine=True)
        return {}

    @operation("ListMetrics", members=LIST_MEMBERS)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Those that had a point in the last two weeks, the oldest metric first."""
        if parameters.get("RecentlyActive", "PT3H") != "PT3H":
            raise invalid("The only value for parameter RecentlyActive is PT3H.")
        since = self.now() - (ACTIVE if "RecentlyActive" in parameters else LISTED)
        filters = parameters.get("Dimensions", [])
        fingerprint = _fingerprint(parameters)
        after = open_token(parameters.get("NextToken"), fingerprint)
        self.metrics.flush()
        found: list[Document] = []
        seen: set[tuple[Any, ...]] = set()
        result: Document = {"Metrics": found}
        with self.database.read() as transaction:
            last = after
            for each in list_series(
                transaction,
                namespace=parameters.get("Namespace"),
                name=parameters.get("MetricName"),
                since=since,
                after=after,
            ):
                one = each.series
                key = (one.namespace, one.name, one.dimensions)
                if key in seen or not _has(one, filters):
                    continue
                if len(found) == PAGE:
                    result["NextToken"] = make_token(fingerprint, last)
                    break
                seen.add(key)
                found.append(described(one))
                last = each.id
        return result


def described(series: Series) -> Document:
    """A metric as AWS tells it."""
    dimensions = [{"Name": name, "Value": value} for name, value in series.dimensions]
    return {"Namespace": series.namespace, "MetricName": series.name, "Dimensions": dimensions}


def _has(series: Series, filters: list[Mapping[str, str]]) -> bool:
    dimensions = dict(series.dimensions)
    return all(
        each["Name"] in dimensions and each.get("Value", dimensions[each["Name"]]) == dimensions[each["Name"]]
        for each in filters
    )


def _fingerprint(parameters: Mapping[str, Any]) -> str:
    question = {key: value for key, value in parameters.items() if key != "NextToken"}
    return hashlib.sha256(repr(sorted(question.items())).encode()).hexdigest()[:12]


def _resolution(datum: Mapping[str, Any], where: str) -> int:
    found: int = datum.get("StorageResolution", 60)
    if found not in (1, 60):
        raise invalid(f"The value {found} for parameter {where}.StorageResolution is invalid: it must be 1 or 60.")
    return found


def _point(namespace: str, datum: Mapping[str, Any], where: str, now: float) -> Point:
    time = datum.get("Timestamp", now)
    if not now - OLDEST <= time <= now + NEWEST:
        raise invalid(
            f"The value {_shown(time)} for parameter {where}.Timestamp is out of range: it may be two weeks ago at "
            "most, and two hours ahead."
        )
    dimensions = dimensions_of(datum.get("Dimensions", []), f"{where}.Dimensions")
    series = Series(namespace, datum["MetricName"], dimensions, datum.get("Unit", "None"))
    return series, time, _aggregate(datum, where)


def _shown(time: float) -> str:
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return str(time)


def _aggregate(datum: Mapping[str, Any], where: str) -> Aggregate:
    given = [member for member in ("Value", "Values", "StatisticValues") if member in datum]
    if not given:
        raise missing(f"At least one of Value, Values and StatisticValues of {where} must be given.")
    if len(given) > 1:
        raise combination(f"The parameters {where}.{given[0]} and {where}.{given[1]} are mutually exclusive.")
    if "Counts" in datum and given != ["Values"]:
        raise combination(f"The parameter {where}.Counts belongs to Values, which is missing.")
    if given == ["StatisticValues"]:
        return _of_set(datum["StatisticValues"], where)
    found = Aggregate()
    for value, count in _counted(datum, where):
        found.add(value, count)
    if not found.count:
        raise invalid(f"The parameter {where}.Values has no value that comes at least once.")
    return found


def _counted(datum: Mapping[str, Any], where: str) -> Iterator[tuple[float, float]]:
    if "Value" in datum:
        yield _number(datum["Value"], f"{where}.Value"), 1.0
        return
    values, counts = datum["Values"], datum.get("Counts")
    if len(values) > MOST_VALUES:
        raise invalid(f"The parameter {where}.Values has {len(values)} values; it may have {MOST_VALUES}.")
    if counts is not None and len(counts) != len(values):
        raise invalid(f"The parameters {where}.Values and {where}.Counts must have the same size.")
    for value, count in zip(values, counts or [1.0] * len(values), strict=True):
        count = _number(count, f"{where}.Counts")
        if count < 0:
            raise invalid(f"The parameter {where}.Counts has the negative number {count}.")
        if count:
            yield _number(value, f"{where}.Values"), count


def _of_set(values: Mapping[str, float], where: str) -> Aggregate:
    where = f"{where}.StatisticValues"
    count, total, low, high = (
        _number(values[member], f"{where}.{member}") for member in ("SampleCount", "Sum", "Minimum", "Maximum")
    )
    if count <= 0:
        raise invalid(f"The parameter {where}.SampleCount must be greater than 0.")
    if low > high:
        raise invalid(f"The parameter {where}.Minimum is greater than {where}.Maximum.")
    return of_set(count, total, low, high)


def _number(value: float, where: str) -> float:
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise invalid(f"The value {value} for parameter {where} is invalid: it must be between -2^360 and 2^360.")
    return float(value)
