"""Metrics as CloudWatch keeps them: a row for each bucket of time of each series, not one for each point.

A series is a namespace, a name, dimensions in the order of their names, and a unit. `metrics.periods` says which widths
there are and how long they are kept; this module adds to buckets, reads them, and forgets the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, tuple_, update

from modelwright.metrics.aggregates import Aggregate, loads
from modelwright.metrics.periods import RETENTION
from modelwright.store.database import Transaction, metric_bucket_table, metric_series_table

_series = metric_series_table.c
_buckets = metric_bucket_table.c
_CHUNK = 200


@dataclass(frozen=True)
class Series:
    """What a metric is told from others by."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    """(name, value), in the order of the names."""
    unit: str = "None"


@dataclass(frozen=True)
class Found:
    """A series that there is."""

    id: int
    series: Series
    last: float
    """When its newest point was."""


Place = tuple[Series, int, int]
"""A bucket: whose, how wide, and when it begins."""


def add_points(transaction: Transaction, points: Mapping[Place, Aggregate], known: dict[Series, int]) -> None:
    """Add what has come to the buckets. `known` are the series' ids as far as the caller has seen them."""
    last: dict[Series, int] = {}
    for series, _, time in points:
        last[series] = max(last.get(series, 0), time)
    for series, time in last.items():
        known[series] = _touch(transaction, series, time)
    rows = {(known[series], width, time): part for (series, width, time), part in points.items()}
    present = _present(transaction, list(rows))
    new, changed = [], []
    for place, part in rows.items():
        before = present.get(place)
        if before is None:
            new.append({**_key(place), **_values(part)})
        else:
            before.merge(part)
            changed.append({"b_series": place[0], "b_width": place[1], "b_time": place[2], **_values(before)})
    if new:
        transaction.execute(insert(metric_bucket_table), new)
    if changed:
        transaction.execute(
            update(metric_bucket_table).where(
                _buckets.series == bindparam("b_series"),
                _buckets.width == bindparam("b_width"),
                _buckets.time == bindparam("b_time"),
            ),
            changed,
        )


def find_series(transaction: Transaction, series: Series) -> list[Found]:
    """This metric's, of every unit."""
    rows = transaction.execute(
        select(metric_series_table)
        .where(
            _series.namespace == series.namespace,
            _series.name == series.name,
            _series.dimensions == _dumps(series.dimensions),
        )
        .order_by(_series.id)
    )
    return [_found(row) for row in rows]


def list_series(
    transaction: Transaction, *, namespace: str | None, name: str | None, since: float, after: int = 0
) -> Iterator[Found]:
    """Those that had a point since then, in the order in which they came."""
    statement = select(metric_series_table).where(_series.last >= since, _series.id > after).order_by(_series.id)
    if namespace is not None:
        statement = statement.where(_series.namespace == namespace)
    if name is not None:
        statement = statement.where(_series.name == name)
    for row in transaction.execute(statement):
        yield _found(row)


def read_buckets(transaction: Transaction, series: int, width: int, start: int, end: float) -> dict[int, Aggregate]:
    """The buckets that begin in this time, by their beginning."""
    rows = transaction.execute(
        select(metric_bucket_table)
        .where(_buckets.series == series, _buckets.width == width, _buckets.time >= start, _buckets.time < end)
        .order_by(_buckets.time)
    )
    return {row.time: _aggregate(row) for row in rows}


def forget_old(transaction: Transaction, now: float) -> None:
    """Delete what has been kept for long enough."""
    for width, kept in RETENTION.items():
        transaction.execute(
            delete(metric_bucket_table).where(_buckets.width == width, _buckets.time < int(now - kept - width))
        )
    transaction.execute(delete(metric_series_table).where(_series.last < int(now - max(RETENTION.values()))))


def _touch(transaction: Transaction, series: Series, time: int) -> int:
    """The series' id."""
    dimensions = _dumps(series.dimensions)
    found = transaction.first(
        select(_series.id, _series.last).where(
            _series.namespace == series.namespace,
            _series.name == series.name,
            _series.dimensions == dimensions,
            _series.unit == series.unit,
        )
    )
    if found is None:
        row = {
            "namespace": series.namespace, "name": series.name, "dimensions": dimensions, "unit": series.unit,
            "last": time,
        }  # fmt: skip
        return int(transaction.execute(insert(metric_series_table), row).inserted_primary_key[0])
    if time > found.last:
        transaction.execute(update(metric_series_table).where(_series.id == found.id).values(last=time))
    return int(found.id)


def _present(transaction: Transaction, places: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int, int], Aggregate]:
    found = {}
    for chunk in _chunks(places):
        rows = transaction.execute(
            select(metric_bucket_table).where(tuple_(_buckets.series, _buckets.width, _buckets.time).in_(chunk))
        )
        for row in rows:
            found[row.series, row.width, row.time] = _aggregate(row)
    return found


def _chunks(places: Sequence[tuple[int, int, int]]) -> Iterable[list[tuple[int, int, int]]]:
    for at in range(0, len(places), _CHUNK):
        yield list(places[at : at + _CHUNK])


def _key(place: tuple[int, int, int]) -> dict[str, int]:
    return {"series": place[0], "width": place[1], "time": place[2]}


def _values(part: Aggregate) -> dict[str, object]:
    return {
        "samples": part.count, "total": part.total, "low": part.low, "high": part.high, "histogram": part.dumps()
    }  # fmt: skip


def _aggregate(row: Row[Any]) -> Aggregate:
    return loads(row.samples, row.total, row.low, row.high, row.histogram)


def _found(row: Row[Any]) -> Found:
    dimensions = tuple((name, value) for name, value in json.loads(row.dimensions))
    return Found(row.id, Series(row.namespace, row.name, dimensions, row.unit), row.last)


def _dumps(dimensions: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dimensions, ensure_ascii=False, separators=(",", ":"))
