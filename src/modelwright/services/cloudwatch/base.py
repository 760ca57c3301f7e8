"""What CloudWatch's operations have in common: their collaborators, errors, and the reading of one metric."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.metrics.aggregates import Aggregate, is_known_elsewhere, is_statistic, merged
from modelwright.metrics.periods import SHORT, aligned_start, grouped, is_period, width_for
from modelwright.store.database import Database, Transaction
from modelwright.store.metric_buffer import MetricBuffer
from modelwright.store.metrics import Series, find_series, read_buckets


class CloudWatch:
    """A resource group of CloudWatch's."""

    def __init__(self, *, database: Database, metrics: MetricBuffer, now: Callable[[], float]) -> None:
        self.database = database
        self.metrics = metrics
        self.now = now


def invalid(message: str) -> AwsError:
    return AwsError(message, code="InvalidParameterValue")


def combination(message: str) -> AwsError:
    return AwsError(message, code="InvalidParameterCombination")


def missing(message: str) -> AwsError:
    return AwsError(message, code="MissingParameter")


def dimensions_of(dimensions: Sequence[Mapping[str, str]], where: str) -> tuple[tuple[str, str], ...]:
    """In the order of their names. Raises InvalidParameterValue when a name comes twice."""
    found = {each["Name"]: each["Value"] for each in dimensions}
    if len(found) != len(dimensions):
        raise invalid(f"The parameter {where} has a dimension more than once: their names must be unique.")
    return tuple(sorted(found.items()))


def check_period(period: int, where: str) -> None:
    if not is_period(period):
        raise invalid(
            f"The value {period} for parameter {where} is not valid: it must be one of "
            f"{', '.join(map(str, SHORT))}, or a multiple of 60."
        )


def check_statistic(operation: str, name: str, where: str) -> None:
    """Raises InvalidParameterValue, and UnsupportedOperation for those of CloudWatch's that are not computed here."""
    if is_statistic(name):
        return
    if is_known_elsewhere(name):
        raise UnsupportedOperation.member(
            operation, f"{where} = '{name}'", "Use SampleCount, Average, Sum, Minimum, Maximum or a percentile (p99)."
        )
    raise invalid(
        f"The value {name} for parameter {where} is not supported: use SampleCount, Average, Sum, Minimum, Maximum, "
        "or a percentile between p0 and p100."
    )


@dataclass(frozen=True)
class Span:
    """A question's time: from the first period's beginning to `end`, which is not in it."""

    start: int
    end: float
    period: int
    now: float

    @staticmethod
    def of(start: float, end: float, period: int, now: float) -> Span:
        return Span(aligned_start(start, period, now), end, period, now)

    def times(self) -> range:
        """When the periods begin."""
        return range(self.start, int(-(-self.end // 1)), self.period)


def periods(
    transaction: Transaction, series: Series, unit: str | None, span: Span
) -> list[tuple[Series, dict[int, Aggregate]]]:
    """What a metric has in each period that it has something in, for each of its units."""
    width = width_for(span.start, span.period, span.now)
    if width is None:
        return []
    result = []
    for found in find_series(transaction, series):
        if unit is not None and found.series.unit != unit:
            continue
        buckets = read_buckets(transaction, found.id, width, span.start, span.end)
        groups = grouped(buckets, span.start, span.period)
        if groups:
            result.append(
                (found.series, {time: merged(buckets[at] for at in inside) for time, inside in groups.items()})
            )
    return result


def make_token(fingerprint: str, place: int) -> str:
    """The place in an answer that goes on."""
    return base64.urlsafe_b64encode(json.dumps([fingerprint, place]).encode()).decode()


def open_token(token: str | None, fingerprint: str) -> int:
    """Raises InvalidNextToken when it is not this question's."""
    if token is None:
        return 0
    try:
        found: Any = json.loads(base64.urlsafe_b64decode(token))
        if isinstance(found, list) and len(found) == 2 and found[0] == fingerprint and isinstance(found[1], int):
            return found[1]
    except (ValueError, binascii.Error):
        pass
    raise AwsError(
        "The next token specified is invalid: pass on the token of this request's previous page.",
        code="InvalidNextToken",
    )
