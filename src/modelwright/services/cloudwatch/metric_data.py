"""GetMetricData: many metrics, and metric math over them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.metrics import expressions
from modelwright.metrics.expressions import FUNCTIONS, Empty, Names, TimeSeries, Unknown, Value, Wrong
from modelwright.services.cloudwatch.base import (
    CloudWatch,
    Span,
    check_period,
    check_statistic,
    dimensions_of,
    make_token,
    open_token,
    periods,
)
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.store.database import Transaction
from modelwright.store.metrics import Series

MOST_QUERIES = 500
MOST_POINTS = 100_800
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_QUERY_LANGUAGE = re.compile(r"\s*SELECT\s", re.IGNORECASE)

MEMBERS: Table = {
    "MetricDataQueries": {
        "Id": HONOURED,
        "MetricStat": {
            "Metric": {
                "Namespace": HONOURED,
                "MetricName": HONOURED,
                "Dimensions": {"Name": HONOURED, "Value": HONOURED},
            },
            "Period": HONOURED,
            "Stat": HONOURED,
            "Unit": HONOURED,
        },
        "Expression": HONOURED,
        "Label": HONOURED,
        "ReturnData": HONOURED,
        "Period": HONOURED,
        "AccountId": refused("There is one account here: leave it out."),
    },
    "StartTime": HONOURED,
    "EndTime": HONOURED,
    "NextToken": HONOURED,
    "ScanBy": HONOURED,
    "MaxDatapoints": HONOURED,
    "LabelOptions": {"Timezone": recorded("It is for dynamic labels, which are not supported.")},
}  # fmt: skip


class MetricData(CloudWatch):
    """Metrics by queries that may refer to each other."""

    @operation("GetMetricData", members=MEMBERS)
    def get(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationError for a query that can't be computed, UnsupportedOperation for what is not here."""
        queries = parameters["MetricDataQueries"]
        _check(queries)
        start, end = parameters["StartTime"], parameters["EndTime"]
        if start >= end:
            raise _invalid("The parameter StartTime must be less than the parameter EndTime.")
        most = parameters.get("MaxDatapoints", MOST_POINTS)
        if not 1 <= most <= MOST_POINTS:
            raise _invalid(f"The value {most} for parameter MaxDatapoints must be between 1 and {MOST_POINTS:,}.")
        descending = parameters.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        fingerprint = _fingerprint(parameters)
        place = open_token(parameters.get("NextToken"), fingerprint)
        self.metrics.flush()
        with self.database.read() as transaction:
            computed = _Computation(queries, transaction, start, end, self.now()).results()
        return _page(computed, descending, most, place, fingerprint)


class _Computation:
    """The queries of one request; each is computed once."""

    def __init__(self, queries: list[Document], transaction: Transaction, start: float, end: float, now: float) -> None:
        self._queries = {query["Id"]: query for query in queries}
        self._transaction = transaction
        self._start, self._end, self._now = start, end, now
        self._values: dict[str, Value] = {}
        self._open: list[str] = []

    def results(self) -> list[tuple[str, str, TimeSeries]]:
        """(id, label, time series) of those that are to be returned."""
        found = []
        for query in self._queries.values():
            value = self._value(query["Id"])
            if not query.get("ReturnData", True):
                continue
            if isinstance(value, float):
                raise _wrong(query, "it is a number; the result must be a time series")
            several = value if isinstance(value, list) else [value]
            for one in several or [TimeSeries({}, 60)]:
                found.append((query["Id"], _label(query), one))
        return found

    def _value(self, identity: str) -> Value:
        if identity in self._values:
            return self._values[identity]
        if identity not in self._queries:
            raise Wrong(f"there is no query with the id '{identity}'")
        query = self._queries[identity]
        if identity in self._open:
            raise _wrong(query, "it refers to itself")
        self._open.append(identity)
        value = self._metric(query["MetricStat"]) if "MetricStat" in query else self._expression(query)
        self._open.pop()
        self._values[identity] = value
        return value

    def _metric(self, stat: Document) -> Value:
        metric = stat["Metric"]
        dimensions = dimensions_of(metric.get("Dimensions", []), "Dimensions")
        series = Series(metric["Namespace"], metric["MetricName"], dimensions)
        span = Span.of(self._start, self._end, stat["Period"], self._now)
        times = span.times()
        several = []
        for _, parts in periods(self._transaction, series, stat.get("Unit"), span):
            values = {time: part.statistic(stat["Stat"]) for time, part in parts.items()}
            points = {time: value for time, value in values.items() if value is not None}
            several.append(TimeSeries(points, span.period, times))
        if len(several) == 1:
            return several[0]
        return several or TimeSeries({}, span.period, times)

    def _expression(self, query: Document) -> Value:
        text = query["Expression"]
        try:
            return expressions.evaluate(text, Names(self._value, self._metrics))
        except Empty:
            return TimeSeries({}, 60)
        except Wrong as error:
            raise _wrong(query, str(error)) from None
        except Unknown as error:
            raise UnsupportedOperation.member(
                "GetMetricData",
                f"{error} in the expression of '{query['Id']}'",
                f"There are + - * / ^, comparisons, and {', '.join(FUNCTIONS)}.",
            ) from None

    def _metrics(self, words: str) -> list[TimeSeries]:
        """The time series of all queries for metrics, or of those whose ids contain the words."""
        found = []
        for identity, query in self._queries.items():
            if "MetricStat" in query and words in identity:
                value = self._value(identity)
                found += value if isinstance(value, list) else [value] if isinstance(value, TimeSeries) else []
        return found


def _page(
    computed: list[tuple[str, str, TimeSeries]], descending: bool, most: int, place: int, fingerprint: str
) -> Document:
    """From `place` on (points count through all results) at most so many points."""
    results: list[Document] = []
    position, left = 0, most
    more = False
    for identity, label, one in computed:
        points = sorted(one.points.items(), reverse=descending)
        first = max(0, place - position)
        position += len(points)
        if points and first >= len(points):
            continue
        if not points and place:
            continue
        shown = points[first : first + left]
        left -= len(shown)
        complete = first + len(shown) == len(points)
        if shown or complete:
            results.append(
                {
                    "Id": identity,
                    "Label": label,
                    "Timestamps": [float(time) for time, _ in shown],
                    "Values": [value for _, value in shown],
                    "StatusCode": "Complete" if complete else "PartialData",
                }
            )
        if not complete:
            more = True
            break
    answer: Document = {"MetricDataResults": results, "Messages": []}
    if more:
        answer["NextToken"] = make_token(fingerprint, place + most)
    return answer


def _check(queries: list[Document]) -> None:
    if not queries:
        raise _invalid("The parameter MetricDataQueries must have at least one query.")
    if len(queries) > MOST_QUERIES:
        raise _invalid(
            f"The parameter MetricDataQueries has {len(queries)} queries; a request may have {MOST_QUERIES}."
        )
    seen: set[str] = set()
    for number, query in enumerate(queries, 1):
        where, identity = f"MetricDataQueries.member.{number}", query["Id"]
        if not _ID.fullmatch(identity):
            raise _invalid(
                f"The value {identity} for parameter {where}.Id is not matching the expected pattern: a small letter, "
                "then letters, digits and underscores."
            )
        if identity in seen:
            raise _invalid(
                f"The values for parameter Id in MetricDataQueries are not unique: '{identity}' comes twice."
            )
        seen.add(identity)
        if ("MetricStat" in query) == ("Expression" in query):
            raise _invalid(
                f"Exactly one of the parameters {where}.MetricStat and {where}.Expression must be specified."
            )
        if "${" in query.get("Label", ""):
            raise UnsupportedOperation.member(
                "GetMetricData", f"the dynamic Label of '{identity}'", "Use a label without ${...}."
            )
        if "MetricStat" in query:
            _check_stat(query, where)
        elif _QUERY_LANGUAGE.match(query["Expression"]):
            raise UnsupportedOperation.member(
                "GetMetricData", f"the Metrics Insights query of '{identity}'", "Use MetricStat and metric math."
            )
    if not any(query.get("ReturnData", True) for query in queries):
        raise _invalid("At least one element in the parameter MetricDataQueries must have ReturnData set to true.")


def _check_stat(query: Document, where: str) -> None:
    stat = query["MetricStat"]
    for member in ("Namespace", "MetricName"):
        if member not in stat["Metric"]:
            raise _invalid(f"The parameter {where}.MetricStat.Metric.{member} is required.")
    if "Period" in query:
        raise _invalid(f"The parameter {where}.Period is for expressions: use {where}.MetricStat.Period.")
    check_period(stat["Period"], f"{where}.MetricStat.Period")
    check_statistic("GetMetricData", stat["Stat"], f"{where}.MetricStat.Stat")


def _label(query: Mapping[str, Any]) -> str:
    default = query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"]
    return str(query.get("Label", default))


def _fingerprint(parameters: Mapping[str, Any]) -> str:
    question = {key: value for key, value in parameters.items() if key not in ("NextToken", "MaxDatapoints")}
    return hashlib.sha256(repr(sorted(question.items())).encode()).hexdigest()[:12]


def _invalid(message: str) -> AwsError:
    return AwsError(message, code="ValidationError")


def _wrong(query: Mapping[str, Any], why: str) -> AwsError:
    return _invalid(f"Error in expression '{query['Id']}': {why}.")
