"""What MetricDefinitions find in a training job's log -> CloudWatch, as the SDK's TrainingJobAnalytics reads it.

Source: Amazon SageMaker Developer Guide, "Define metrics": namespace `/aws/sagemaker/TrainingJobs`, one dimension, the
job's name. The last value of each metric is the job's own `FinalMetricDataList` besides.
"""

from __future__ import annotations

from collections.abc import Sequence

from modelwright.engine.log_shipping import Measured
from modelwright.metrics.aggregates import Aggregate
from modelwright.store.metric_buffer import MetricBuffer
from modelwright.store.metrics import Series

NAMESPACE = "/aws/sagemaker/TrainingJobs"
_STREAM = "training-job/"


def job_metrics(metrics: MetricBuffer | None) -> Measured:
    """What the shipper of logs is to call."""

    def measured(stream: str, values: Sequence[tuple[str, float]], time: float) -> None:
        if metrics is None or not stream.startswith(_STREAM):
            return
        dimensions = (("TrainingJobName", stream.removeprefix(_STREAM)),)
        parts: dict[str, Aggregate] = {}
        for name, value in values:
            parts.setdefault(name, Aggregate()).add(value)
        metrics.add((Series(NAMESPACE, name, dimensions), time, part) for name, part in parts.items())

    return measured
