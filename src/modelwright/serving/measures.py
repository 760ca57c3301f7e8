"""What invocations came to, as AWS tells it in CloudWatch: how many, how many failed, how long they took.

A request leaves one tuple behind; everything else is computed by the thread that writes metrics, once a second for all
requests together. ModelLatency is the time that the instance took, OverheadLatency what was spent on a request beside
it, from the moment its body had come; both in microseconds.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from modelwright.metrics.aggregates import Aggregate
from modelwright.store.metric_buffer import Point
from modelwright.store.metrics import Series

NAMESPACE = "AWS/SageMaker"
UNREACHED = 503
"""The status of a request that no instance took."""

_Sample = tuple[str, str, int, int, float, float, float]
"""Endpoint, variant, its instances, status (0: no proper answer), when, seconds of the model, seconds beside it."""


class Measures:
    """Counts invocations. `record` from the event loop, `points` from the thread that writes."""

    def __init__(self, stir: Callable[[], None] = lambda: None) -> None:
        """`stir` is called when there is something to be asked for, once until it was."""
        self._stir = stir
        self._samples: deque[_Sample] = deque()

    def record(self, endpoint: str, variant: str, instances: int, status: int, model: float, beside: float) -> None:
        """One more invocation. `model` is negative where no instance took it."""
        samples = self._samples
        samples.append((endpoint, variant, instances, status, time.time(), model, beside))
        if len(samples) == 1:
            self._stir()

    def points(self) -> Iterable[Point]:
        """What has come since the last time."""
        minutes: dict[tuple[str, str, int], _Minute] = {}
        samples = self._samples
        for _ in range(len(samples)):
            endpoint, variant, instances, status, moment, model, beside = samples.popleft()
            key = (endpoint, variant, int(moment // 60) * 60)
            found = minutes.get(key)
            if found is None:
                found = minutes[key] = _Minute()
            found.add(instances, status, model, beside)
        if samples:
            self._stir()  # they came meanwhile
        return [point for key, minute in minutes.items() for point in minute.points(*key)]


@dataclass(slots=True)
class _Minute:
    """Of one variant."""

    statuses: Counter[int] = field(default_factory=Counter)
    """By their hundreds."""
    instances: Counter[int] = field(default_factory=Counter)
    model: Counter[int] = field(default_factory=Counter)
    """Microseconds -> how many took so long."""
    beside: Counter[int] = field(default_factory=Counter)

    def add(self, instances: int, status: int, model: float, beside: float) -> None:
        self.statuses[status // 100] += 1
        self.instances[instances] += 1
        if model >= 0:
            self.model[round(model * 1e6)] += 1
            self.beside[max(0, round(beside * 1e6))] += 1

    def points(self, endpoint: str, variant: str, minute: int) -> Iterable[Point]:
        dimensions = (("EndpointName", endpoint), ("VariantName", variant))
        total = self.statuses.total()
        shares = {1.0 / max(1, instances): count for instances, count in self.instances.items()}
        told: Mapping[str, tuple[str, Mapping[int, int] | Mapping[float, int]]] = {
            "Invocations": ("None", {1.0: total}),
            "InvocationsPerInstance": ("None", shares),
            "Invocation4XXErrors": ("None", _flags(self.statuses[4], total)),
            "Invocation5XXErrors": ("None", _flags(self.statuses[5], total)),
            "InvocationModelErrors": ("None", _flags(total - self.statuses[2], total)),
            "ModelLatency": ("Microseconds", self.model),
            "OverheadLatency": ("Microseconds", self.beside),
        }
        for name, (unit, values) in told.items():
            part = Aggregate()
            for value, count in values.items():
                if count:
                    part.add(float(value), count)
            if part.count:
                yield Series(NAMESPACE, name, dimensions, unit), float(minute), part


def _flags(yes: int, total: int) -> dict[float, int]:
    """A one for each that is, a zero for each that is not."""
    return {1.0: yes, 0.0: total - yes}
