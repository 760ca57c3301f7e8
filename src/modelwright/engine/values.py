"""Where the values of a step's expressions come from: parameters, the execution, Describe answers, files in S3.

What Describe answers of a step that has succeeded does not change any more, so it is asked once an execution.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelwright.arns import step_job_name
from modelwright.engine.inputs import split_uri
from modelwright.engine.steps import BY_METADATA, SERVICE, Operation
from modelwright.errors import AwsError, ValidationException
from modelwright.lifecycles import execution as lifecycle
from modelwright.lifecycles.execution import Execution, StepRun
from modelwright.objects.base import ObjectStore
from modelwright.pipelines.expressions import Json, Scalar
from modelwright.store.database import Database
from modelwright.store.resources import find_by_arn


class Call(Protocol):
    """The one door, with the caller's identity filled in: region, service, operation, parameters."""

    def __call__(
        self, region: str, service: str, operation: str, parameters: Mapping[str, Any], /
    ) -> dict[str, Any]: ...


@dataclass
class _Known:
    """What is known of one execution's steps, by ARN."""

    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """How the names are spelt that ARNs have in lower case."""


class Values:
    """Describe answers and files, for all executions (named by their event streams)."""

    def __init__(self, *, database: Database, objects: ObjectStore, call: Call, now: Callable[[], float]) -> None:
        self.now = now
        self._database = database
        self._objects = objects
        self._call = call
        self._lock = threading.Lock()
        self._executions: dict[str, _Known] = {}

    def properties(self, stream: str, state: Execution, name: str) -> Mapping[str, Any]:
        """What `Steps.NAME...` leads into. Raises AwsError."""
        run = state.runs.get(name)
        if run is None or run.status in lifecycle.RUNNING:
            raise ValidationException(f"Step '{name}' has not run in this execution: it has no properties.")
        known = lifecycle.properties(state, name)
        if known is not None:
            return known
        row, arn = made_by(run)
        answers = self._of(stream).answers
        if arn not in answers:
            answers[arn] = self.describe(stream, state, row, arn)
        return answers[arn]

    def s3_json(self, uri: str) -> Json:
        """Raises ValidationException."""
        try:
            return json.loads(self._objects.read(*split_uri(uri)))
        except AwsError as error:
            raise ValidationException(f"{uri} can't be read: {error.code}: {error.message}") from error
        except ValueError as error:
            raise ValidationException(f"{uri} is not JSON: {error}") from error

    def describe(self, stream: str, state: Execution, row: Operation, arn: str) -> dict[str, Any]:
        """The answer of the step's Describe operation, now."""
        name = arn if row.kind == "ModelPackage" else self.resource_name(stream, arn)
        return self._call(state.about["Region"], SERVICE, row.describe, {row.describe_by: name})

    def job_stream(self, stream: str, row: Operation, arn: str) -> str:
        """The event stream of a step's job."""
        return f"{row.resource}/{self.resource_name(stream, arn)}"

    def resource_name(self, stream: str, arn: str) -> str:
        names = self._of(stream).names
        if arn not in names:
            with self._database.read() as transaction:
                found = find_by_arn(transaction, arn)
            if found is None:
                raise ValidationException(f"{arn} is not there any more.")
            names[arn] = found[1]
        return names[arn]

    def named(self, stream: str, arn: str, name: str) -> None:
        """This ARN is of a resource of this name."""
        self._of(stream).names[arn] = name

    def ended(self, stream: str, arn: str, answer: Mapping[str, Any]) -> None:
        """This is what Describe will answer from now on."""
        self._of(stream).answers[arn] = answer

    def forget(self, stream: str) -> None:
        with self._lock:
            self._executions.pop(stream, None)

    def _of(self, stream: str) -> _Known:
        with self._lock:
            return self._executions.setdefault(stream, _Known())


class StepEnvironment:
    """`pipelines.expressions.Environment` of one run of a step."""

    def __init__(self, values: Values, stream: str, state: Execution, run: StepRun) -> None:
        self._values = values
        self._stream = stream
        self._state = state
        self._run = run

    def parameter(self, name: str) -> Scalar:
        return self._state.parameters[name]

    def execution(self, name: str) -> str:
        if name == "CurrentDateTime":
            return lifecycle.date_time(self._values.now())
        if name in ("TrainingJobName", "ProcessingJobName"):
            return step_job_name(execution_id(self._state), self._run.name, self._run.attempt)
        return lifecycle.variables(self._state)[name]

    def step(self, name: str) -> Mapping[str, Any]:
        return self._values.properties(self._stream, self._state, name)

    def property_file(self, step: str, name: str) -> Json:
        file = self._state.step(step).property_files[name]
        outputs = self.step(step).get("ProcessingOutputConfig", {}).get("Outputs", [])
        uri = next((o["S3Output"]["S3Uri"] for o in outputs if o["OutputName"] == file.output), None)
        if uri is None:
            raise ValidationException(f"Step '{step}' has no output '{file.output}' (of property file '{name}').")
        return self.s3_json(f"{uri.rstrip('/')}/{file.path.lstrip('/')}")

    def s3_json(self, uri: str) -> Json:
        return self._values.s3_json(uri)


def made_by(run: StepRun) -> tuple[Operation, str]:
    """The row and the ARN of what a step has made. Raises ValidationException."""
    for key, value in run.metadata.items():
        if key in BY_METADATA:
            return BY_METADATA[key], value["Arn"]
    raise ValidationException(f"Step '{run.name}' has made nothing that could be described.")


def execution_id(state: Execution) -> str:
    return str(state.about["PipelineExecutionId"])
