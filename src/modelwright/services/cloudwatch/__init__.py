"""CloudWatch: metrics that are put and read. Alarms and dashboards are not here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelwright.services.cloudwatch.metric_data import MetricData
from modelwright.services.cloudwatch.metrics import Metrics
from modelwright.services.cloudwatch.statistics import MetricStatistics
from modelwright.store.database import Database
from modelwright.store.metric_buffer import MetricBuffer


def services(*, database: Database, metrics: MetricBuffer, now: Callable[[], float]) -> Iterator[tuple[str, object]]:
    """Its resource groups, by service."""
    yield "cloudwatch", Metrics(database=database, metrics=metrics, now=now)
    yield "cloudwatch", MetricStatistics(database=database, metrics=metrics, now=now)
    yield "cloudwatch", MetricData(database=database, metrics=metrics, now=now)
