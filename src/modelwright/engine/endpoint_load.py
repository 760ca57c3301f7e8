"""How busy endpoints' instances are -> CloudWatch: CPUUtilization, MemoryUtilization, DiskUtilization, in percent.

It rides on the pings of healthy instances: no clock of its own. 100 % of CPU is one vCPU, as on AWS; memory is a share
of the instance type's, as far as this machine has it; the disk is this machine's: its figure tells how full that is.
Source: Amazon SageMaker Developer Guide, "Endpoint Metrics".
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelwright.engine.capacity import Capacity, instance_type
from modelwright.lifecycles.endpoint import Endpoint, Instance
from modelwright.metrics.aggregates import of_values
from modelwright.runtimes.base import Handle, Runtime
from modelwright.store.metric_buffer import MetricBuffer, Point
from modelwright.store.metrics import Series

NAMESPACE = "/aws/sagemaker/Endpoints"
INTERVAL = 20.0
"""Seconds from one look at an instance to the next."""


@dataclass(frozen=True)
class _Look:
    time: float
    cpu: float


class EndpointLoad:
    """Looks at instances."""

    def __init__(
        self,
        runtime: Runtime,
        capacity: Capacity,
        metrics: MetricBuffer | None,
        folder: Path,
        now: Callable[[], float],
        interval: float = INTERVAL,
    ) -> None:
        """Without `metrics` nobody wants to know."""
        self._runtime = runtime
        self._capacity = capacity
        self._metrics = metrics
        self._folder = folder
        self._now = now
        self._interval = interval
        self._looks: dict[str, _Look] = {}

    def look(self, state: Endpoint, one: Instance) -> None:
        """Measure an instance that is healthy, if the last time was long ago."""
        if self._metrics is None:
            return
        now, last = self._now(), self._looks.get(one.key)
        if last is not None and now - last.time < self._interval:
            return
        usages = [self._runtime.usage(Handle(**part.handle)) for part in one.parts]
        known = [usage for usage in usages if usage is not None]
        if len(known) < len(usages) or not known:
            return
        cpu = sum(usage.cpu for usage in known)
        self._looks[one.key] = _Look(now, cpu)
        kind = instance_type(state.known[one.fleet].variant(one.variant).instance_type)
        share = self._capacity.share(kind) if kind else self._capacity.total
        values = {"MemoryUtilization": 100 * sum(usage.memory for usage in known) / share.memory}
        disk = shutil.disk_usage(self._folder)
        values["DiskUtilization"] = 100 * disk.used / disk.total
        if last is not None and now > last.time:
            values["CPUUtilization"] = max(0.0, 100 * (cpu - last.cpu) / (now - last.time))
        dimensions = (("EndpointName", state.name), ("VariantName", one.variant))
        points: list[Point] = [
            (Series(NAMESPACE, name, dimensions, "Percent"), now, of_values([value])) for name, value in values.items()
        ]
        self._metrics.add(points)

    def forget(self, one: Instance) -> None:
        """Its attempt has ended."""
        self._looks.pop(one.key, None)
