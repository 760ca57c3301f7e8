"""The start of a pipeline execution: what its document and its first event say. The service writes both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelwright.errors import ValidationException
from modelwright.lifecycles import execution as lifecycle
from modelwright.pipelines.definition import Definition, parse
from modelwright.pipelines.expressions import Json, Scalar, resolve, text
from modelwright.pipelines.parameters import bind
from modelwright.services.dispatch import Context, Document
from modelwright.services.members import HONOURED, Table, refused
from modelwright.services.sagemaker.base import pick, user_context
from modelwright.services.sagemaker.pipelines import fingerprint

START_MEMBERS: Table = {
    "PipelineName": HONOURED,
    "PipelineExecutionDisplayName": HONOURED,
    "PipelineParameters": HONOURED,
    "PipelineExecutionDescription": HONOURED,
    "ClientRequestToken": HONOURED,
    "ParallelismConfiguration": HONOURED,
    "SelectiveExecutionConfig": HONOURED,
    "PipelineVersionId": HONOURED,
    "MlflowExperimentName": refused("Leave it out, and call your MLflow server from a step."),
    "PipelineVersionAlias": HONOURED,
    "RoleArn": refused("Leave it out: an execution uses its pipeline's role. It is for pipelines that AWS manages."),
}


@dataclass(frozen=True)
class Start:
    """One StartPipelineExecution: what its document and its first event say."""

    context: Context
    pipeline: Document
    version: Document
    parameters: Mapping[str, Any]
    identity: str
    now: float

    @property
    def arn(self) -> str:
        return f"{self.pipeline['PipelineArn']}/execution/{self.identity}"

    @property
    def definition(self) -> Definition:
        return parse(self.version["_PipelineDefinition"])

    @property
    def parallelism(self) -> Document:
        """The execution's own ParallelismConfiguration, else the pipeline's."""
        configuration: Document = self.parameters.get("ParallelismConfiguration") or self.pipeline.get(
            "ParallelismConfiguration", {}
        )
        return configuration

    def data(self) -> Document:
        """ExecutionStarted's."""
        return {
            "PipelineDefinition": self.version["_PipelineDefinition"],
            "PipelineName": self.pipeline["PipelineName"],
            "PipelineArn": self.pipeline["PipelineArn"],
            "PipelineExecutionId": self.identity,
            "PipelineExecutionArn": self.arn,
            "RoleArn": self.pipeline["RoleArn"],
            "Account": self.context.account,
            "Region": self.context.region,
            "Parameters": bind(self.definition.parameters, self.parameters.get("PipelineParameters", [])),
            "StartTime": self.now,
            "StartedBy": self.context.principal.arn,
            "WrittenBy": self.version.get("_WrittenBy", ""),
            **pick(self.parallelism, "MaxParallelExecutionSteps"),
        }

    def document(self) -> Document:
        """DescribePipelineExecution's."""
        experiment = {
            member: text(value)
            for member, value in resolve(self.definition.experiment, _AtStart(self.data())).items()
            if value is not None
        }
        return {
            "PipelineArn": self.pipeline["PipelineArn"],
            "PipelineExecutionArn": self.arn,
            "PipelineExecutionDisplayName": f"execution-{int(self.now * 1000)}",
            **pick(
                self.parameters,
                "PipelineExecutionDisplayName",
                "PipelineExecutionDescription",
                "SelectiveExecutionConfig",
            ),
            "PipelineExecutionStatus": "Executing",
            **({"PipelineExperimentConfig": experiment} if experiment else {}),
            **({"ParallelismConfiguration": self.parallelism} if self.parallelism else {}),
            "CreationTime": self.now,
            "LastModifiedTime": self.now,
            "CreatedBy": user_context(self.context),
            "LastModifiedBy": user_context(self.context),
            "PipelineVersionId": self.version["PipelineVersionId"],
            "_PipelineName": self.pipeline["PipelineName"],
            "_ClientRequestToken": self.parameters["ClientRequestToken"],
            "_Request": fingerprint(self.parameters),
        }


class _AtStart:
    """What expressions outside of steps can refer to: parameters and the execution itself."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def parameter(self, name: str) -> Scalar:
        value: Scalar = self._data["Parameters"][name]
        return value

    def execution(self, name: str) -> str:
        if name in ("StartDateTime", "CurrentDateTime"):
            return lifecycle.date_time(self._data["StartTime"])
        if name not in self._data:
            raise ValidationException(f"Execution.{name} has no value outside of a step.")
        return str(self._data[name])

    def step(self, name: str) -> Mapping[str, Any]:
        raise ValidationException(f"Step '{name}' can't be referred to outside of steps.")

    def property_file(self, step: str, name: str) -> Json:
        raise ValidationException(f"Property file '{name}' of step '{step}' can't be referred to outside of steps.")

    def s3_json(self, uri: str) -> Json:
        raise ValidationException(f"{uri} can't be referred to outside of steps.")
