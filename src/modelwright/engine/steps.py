"""THE TABLE: what each step type stands for in AWS's operations.

A step's Arguments are the body of its Create call; the answer's ARN names what was made, and the properties of a step
are the answer of its Describe call. So most types are one row here, and running a step somewhere else is the same call
through another door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SERVICE = "sagemaker"


@dataclass(frozen=True)
class Operation:
    """One row."""

    create: str
    """The Create operation; `arn` is the member of its answer with the ARN."""
    arn: str
    metadata: str
    """The key in the step's Metadata."""
    describe: str
    describe_by: str
    """The member of Describe's input that names the resource."""
    kind: str
    """The resource's kind in the store."""
    name: str | None = None
    """The member of Create that the engine fills with a name of its own; None: AWS gives the name."""
    resource: str = ""
    """The type in the ARN, and the first part of the event stream of a job."""
    status: str | None = None
    """The member of Describe's answer with the status, where there is something to wait for."""
    stop: str | None = None
    repeat_by: str | None = None
    """The member that makes Create safe to repeat where there is no name."""
    cache_key: tuple[str, ...] = field(default=())
    """The arguments that decide whether an earlier run will do (AWS: "Default cache key attributes")."""
    name_limit: int = 63


OPERATIONS: Mapping[str, Operation] = {
    "Training": Operation(
        create="CreateTrainingJob",
        arn="TrainingJobArn",
        metadata="TrainingJob",
        describe="DescribeTrainingJob",
        describe_by="TrainingJobName",
        kind="TrainingJob",
        name="TrainingJobName",
        resource="training-job",
        status="TrainingJobStatus",
        stop="StopTrainingJob",
        cache_key=(
            *("AlgorithmSpecification", "CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations"),
            *("Environment", "HyperParameters", "InputDataConfig"),
        ),
    ),
    "Processing": Operation(
        create="CreateProcessingJob",
        arn="ProcessingJobArn",
        metadata="ProcessingJob",
        describe="DescribeProcessingJob",
        describe_by="ProcessingJobName",
        kind="ProcessingJob",
        name="ProcessingJobName",
        resource="processing-job",
        status="ProcessingJobStatus",
        stop="StopProcessingJob",
        cache_key=("AppSpecification", "Environment", "ProcessingInputs"),
    ),
    "Model": Operation(
        create="CreateModel",
        arn="ModelArn",
        metadata="Model",
        describe="DescribeModel",
        describe_by="ModelName",
        kind="Model",
        name="ModelName",
        resource="model",
    ),
    "RegisterModel": Operation(
        create="CreateModelPackage",
        arn="ModelPackageArn",
        metadata="RegisterModel",
        describe="DescribeModelPackage",
        describe_by="ModelPackageName",
        kind="ModelPackage",
        repeat_by="ClientToken",
        resource="model-package",
    ),
}
"""Condition and Fail stand for no operation: the engine does them itself. All other types do not run yet."""

BY_METADATA: Mapping[str, Operation] = {row.metadata: row for row in OPERATIONS.values()}

ENDINGS = {"Completed": "Succeeded", "Failed": "Failed", "Stopped": "Stopped"}
"""A job's last status -> its step's."""
