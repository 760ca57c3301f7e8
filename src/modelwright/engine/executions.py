"""Pipeline executions, driven: what `start`, `watch` and `stop` of a step do.

Everything that a step does goes through the one door, `call`, as a client would do it. Names are made of execution,
step and attempt alone, so a start that is repeated after a crash finds what it made and adopts it; where AWS gives
the name, a client token does the same. A step's job is watched by its event stream's end, never by asking.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from modelwright.arns import sagemaker_arn, step_job_name
from modelwright.engine.behalf import on_behalf_of
from modelwright.engine.steps import ENDINGS, OPERATIONS, SERVICE, Operation
from modelwright.engine.values import Call, StepEnvironment, Values, execution_id, made_by
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, InternalFailure
from modelwright.events import sagemaker as changes
from modelwright.lifecycles import execution as lifecycle
from modelwright.lifecycles.execution import Execution, StepRun
from modelwright.lifecycles.job import MAX_RUNTIME_EXCEEDED, REASON_LIMIT, Effect, Fact, internal_error
from modelwright.objects.base import ObjectStore
from modelwright.pipelines.conditions import holds
from modelwright.pipelines.expressions import resolve, resolve_arguments, text
from modelwright.pipelines.steps import Step
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event
from modelwright.store.resources import (
    find_by_arn,
    find_resource,
    insert_resource,
    replace_resource,
)

KIND = "PipelineExecution"
CACHE_KIND = "StepCache"

_EXISTS = ("already exist", "must be unique")


@dataclass
class _Memory:
    """What is kept of an execution that has not ended."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    """A start and a stop of its steps exclude each other for the moment of the call."""
    asked: set[tuple[str, str, int]] = field(default_factory=set)
    """Jobs whose end has been asked for: (effect's kind, step, attempt)."""


class Executions:
    """The driver of streams of kind `Execution`."""

    kind = "Execution"

    def __init__(
        self, *, database: Database, events: EventBus, objects: ObjectStore, call: Call, now: Callable[[], float]
    ) -> None:
        self._database = database
        self._events = events
        self._call = call
        self._now = now
        self._values = Values(database=database, objects=objects, call=call, now=now)
        self._lock = threading.Lock()
        self._memories: dict[str, _Memory] = {}

    # The state machine

    def begin(self, stream: str) -> Execution | None:
        return None

    def apply(self, state: Execution | None, event: Event) -> Execution:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Execution, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Execution) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Execution) -> bool:
        return state.status in lifecycle.ENDED

    def recover(self, stream: str, state: Execution) -> None:
        """Nothing is held in memory: the watches are asked for again."""

    def record(self, transaction: Transaction, stream: str, state: Execution, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "StepEnded" and event.data.get("cache"):
                _remember(transaction, event.data["cache"], state, event)
            if event.kind in _STEP_STATUSES:
                self._events.tell(transaction, partial(_step_change, state, event), event.time)
        if not any(event.kind == "ExecutionEnded" for event in events):
            return
        document = find_resource(transaction, KIND, _identity(stream), lock=True)
        if document is None:
            return
        previous = document["PipelineExecutionStatus"]
        ended = {**document, "PipelineExecutionStatus": state.status, "LastModifiedTime": state.modified}
        ended.pop("FailureReason", None)
        if state.failure_reason:
            ended["FailureReason"] = state.failure_reason
        document = ended
        self._events.tell(
            transaction,
            lambda: changes.pipeline_execution(ended, state.status, previous, state.modified),
            state.modified,
        )
        replace_resource(transaction, KIND, _identity(stream), document, modified=state.modified, status=state.status)

    def perform(self, work: Work) -> Sequence[Fact] | None:
        run = work.state.runs[work.effect.key]
        about = work.state.about
        # Who wrote the pipeline counts too: else its author could have approved what only its starter may.
        written = about.get("WrittenBy", ())
        with on_behalf_of((about.get("StartedBy", ""), *([written] if isinstance(written, str) else written))):
            return self._perform(work, run)

    def _perform(self, work: Work, run: StepRun) -> Sequence[Fact] | None:
        return {"start": self._start, "watch": self._watch, "stop": self._stop}[work.effect.kind](work, run)

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        reason = internal_error(f"{work.effect.kind} of the step failed: {type(error).__name__}: {error}")
        return [_failed(work.effect.key, reason, "Step.SERVICE_FAULT")]

    def closed(self, stream: str, state: Execution) -> None:
        with self._lock:
            self._memories.pop(stream, None)
        self._values.forget(stream)

    # Effects

    def _start(self, work: Work, run: StepRun) -> Sequence[Fact]:
        state: Execution = work.state
        step, environment = state.step(run.name), StepEnvironment(self._values, work.stream, state, run)
        try:
            if step.type == "Condition":
                return [_condition(step, environment)]
            if step.type == "Fail":
                message = text(resolve(step.arguments.get("ErrorMessage", ""), environment))
                return [_failed(step.name, message, metadata={"Fail": {"ErrorMessage": message[:3072]}})]
            row = OPERATIONS.get(step.type)
            if row is None:
                known = ", ".join(sorted((*OPERATIONS, "Condition", "Fail")))
                reason = f"Steps of type {step.type} can't be run by Modelwright yet. It runs: {known}."
                return [_failed(step.name, reason)]
            arguments = resolve_arguments(step.arguments, environment)
        except AwsError as error:
            return [_failed(step.name, f"ClientError: {error.message}", _exception(error))]
        return self._create(work, run, step, row, arguments)

    def _create(
        self, work: Work, run: StepRun, step: Step, row: Operation, arguments: dict[str, Any]
    ) -> Sequence[Fact]:
        state: Execution = work.state
        cache = _cache_name(state, step, row, arguments)
        if cache is not None and (hit := self._find_cached(cache, step)) is not None:
            ended = {"step": step.name, "status": "Succeeded", "metadata": hit["Metadata"]}
            return [("StepEnded", {**ended, "cache_hit": hit["PipelineExecutionArn"]})]
        name = _name(state, run, row, arguments)
        if row.name is not None:
            arguments[row.name] = name
        if row.repeat_by is not None:
            arguments.setdefault(row.repeat_by, hashlib.sha256(name.encode()).hexdigest()[:36])  # AWS's limit
        try:
            if step.type == "RegisterModel":
                self._prepare_package(state, arguments)
            memory = self._memory(work.stream)
            with memory.lock:
                if not work.owed():  # a stop came first, and found nothing to stop
                    return []
                arn = self._invoke(state, row, name, arguments)
        except AwsError as error:
            reason = f"ClientError: Failed to invoke {SERVICE}:{row.create}. Error Details: {error.message}"
            return [_failed(step.name, reason, _exception(error))]
        self._values.named(work.stream, arn, name)
        metadata = {row.metadata: {"Arn": arn}}
        if row.status is None:
            return [("StepEnded", {"step": step.name, "status": "Succeeded", "metadata": metadata})]
        return [("StepStarted", {"step": step.name, "metadata": metadata})]

    def _invoke(self, state: Execution, row: Operation, name: str, arguments: Mapping[str, Any]) -> str:
        """The ARN of what was made, now or before a crash."""
        region, account = state.about["Region"], state.about["Account"]
        try:
            return str(self._call(region, SERVICE, row.create, arguments)[row.arn])
        except AwsError as error:
            if row.name is None or not any(words in error.message for words in _EXISTS):
                raise
        return sagemaker_arn(region, account, row.resource, name)

    def _prepare_package(self, state: Execution, arguments: dict[str, Any]) -> None:
        """What AWS does for a RegisterModel step: the group is made when missing, the package says where it is from."""
        group = arguments.get("ModelPackageGroupName")
        if isinstance(group, str) and "/" not in group:
            try:
                parameters = {"ModelPackageGroupName": group}
                self._call(state.about["Region"], SERVICE, "CreateModelPackageGroup", parameters)
            except AwsError as error:
                if not any(words in error.message for words in _EXISTS):
                    raise
        generated = {"GeneratedBy": state.about["PipelineExecutionArn"]}
        arguments["MetadataProperties"] = {**generated, **arguments.get("MetadataProperties", {})}

    def _watch(self, work: Work, run: StepRun) -> Sequence[Fact] | None:
        row, arn = made_by(run)
        if not self._asked(work, run):
            work.resume_after(self._values.job_stream(work.stream, row, arn))
            return None
        return self._outcome(work, run, row, arn)

    def _stop(self, work: Work, run: StepRun) -> Sequence[Fact] | None:
        state: Execution = work.state
        row = OPERATIONS.get(state.step(run.name).type)
        if row is None or row.stop is None:
            return [("StepEnded", {"step": run.name, "status": "Stopped"})]
        with self._memory(work.stream).lock:
            metadata = run.metadata or self._metadata_of(work, run, row)
        if metadata is None:
            return [("StepEnded", {"step": run.name, "status": "Stopped"})]
        arn = metadata[row.metadata]["Arn"]
        if self._asked(work, run):
            return self._outcome(work, run, row, arn, metadata)
        try:
            parameters = {row.describe_by: self._values.resource_name(work.stream, arn)}
            self._call(state.about["Region"], SERVICE, row.stop, parameters)
        except AwsError as error:
            if "status" not in error.message:  # else it has ended meanwhile
                raise
        work.resume_after(self._values.job_stream(work.stream, row, arn))
        return None

    def _metadata_of(self, work: Work, run: StepRun, row: Operation) -> Mapping[str, Any] | None:
        """Of a job that was made when the stop had come already; None when there is none."""
        state: Execution = work.state
        environment = StepEnvironment(self._values, work.stream, state, run)
        try:
            arguments = resolve_arguments(state.step(run.name).arguments, environment)
        except AwsError:
            return None
        name = _name(state, run, row, arguments)
        arn = sagemaker_arn(state.about["Region"], state.about["Account"], row.resource, name)
        with self._database.read() as transaction:
            return None if find_by_arn(transaction, arn) is None else {row.metadata: {"Arn": arn}}

    def _outcome(
        self,
        work: Work,
        run: StepRun,
        row: Operation,
        arn: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> Sequence[Fact]:
        answer = self._values.describe(work.stream, work.state, row, arn)
        assert row.status is not None
        status = ENDINGS.get(answer[row.status])
        if status is None:
            raise InternalFailure(f"the stream of {arn} has ended, its status is {answer[row.status]}")
        data: dict[str, Any] = {"step": run.name, "status": status}
        if metadata is not None:
            data["metadata"] = metadata
        if status == "Failed":
            data["failure_reason"] = answer.get("FailureReason", "")
            data["exception"] = _job_exception(data["failure_reason"])
        elif status == "Stopped" and (
            answer.get("SecondaryStatus") == MAX_RUNTIME_EXCEEDED
            or "MaxRuntimeInSeconds" in answer.get("FailureReason", "")
        ):
            data |= {"status": "Failed", "failure_reason": f"ClientError: {row.kind} exceeded its MaxRuntimeInSeconds."}
        if status == "Succeeded":
            self._values.ended(work.stream, arn, answer)
            if (cache := self._cache_of(work, run, row)) is not None:
                data["cache"] = cache
        return [("StepEnded", data)]

    # In memory

    def _memory(self, stream: str) -> _Memory:
        with self._lock:
            return self._memories.setdefault(stream, _Memory())

    def _asked(self, work: Work, run: StepRun) -> bool:
        """Whether this job's end has been asked for already: then it has come. Asks, if not."""
        asked, entry = self._memory(work.stream).asked, (work.effect.kind, run.name, run.attempt)
        with self._lock:
            if entry in asked:
                asked.discard(entry)
                return True
            asked.add(entry)
            return False

    # The cache

    def _cache_of(self, work: Work, run: StepRun, row: Operation) -> str | None:
        state: Execution = work.state
        step = state.step(run.name)
        if step.cache is None or not step.cache.enabled:
            return None
        environment = StepEnvironment(self._values, work.stream, state, run)
        return _cache_name(state, step, row, resolve_arguments(step.arguments, environment))

    def _find_cached(self, cache: str, step: Step) -> Mapping[str, Any] | None:
        """An earlier run of this step that will do, whose job is still there."""
        with self._database.read() as transaction:
            entry = find_resource(transaction, CACHE_KIND, cache)
            if entry is None or step.cache is None:
                return None
            after = step.cache.expire_after
            if after is not None and entry["Time"] + after < self._now():
                return None
            arns = [value["Arn"] for value in entry["Metadata"].values()]
            return entry if all(find_by_arn(transaction, arn) is not None for arn in arns) else None


_STEP_STATUSES = {"StepStarting": "Starting", "StepStarted": "Executing", "StepStopping": "Stopping", "StepEnded": ""}


def _step_change(state: Execution, event: Event) -> changes.Change:
    """What an event of a step says to the world."""
    data = event.data
    name = data["step"]
    status, run = _STEP_STATUSES[event.kind] or data["status"], state.runs.get(name)
    row = OPERATIONS.get(state.step(name).type)
    previous: str | None = "Executing" if row is not None and row.status is not None else "Starting"
    if status == "Starting":
        previous = None
    elif status == "Executing" or "cache_hit" in data:
        previous = "Starting"
    elif status == "Stopped":
        previous = "Stopping"
    return changes.pipeline_step(
        pipeline=state.about["PipelineExecutionArn"].partition("/execution/")[0],
        execution=state.about["PipelineExecutionArn"],
        name=name,
        type=state.step(name).type,
        status=status,
        previous=previous,
        started=event.time if run is None else run.started,
        ended=event.time if event.kind == "StepEnded" else None,
        metadata=data.get("metadata") or ({} if run is None else run.metadata),
        failure_reason=data.get("failure_reason"),
        cache_hit=data.get("cache_hit"),
    )


def _condition(step: Step, environment: StepEnvironment) -> Fact:
    outcome = holds(step.conditions, environment)
    metadata = {"Condition": {"Outcome": "True" if outcome else "False"}}
    return ("StepEnded", {"step": step.name, "status": "Succeeded", "outcome": outcome, "metadata": metadata})


def _failed(step: str, reason: str, exception: str | None = None, metadata: Mapping[str, Any] | None = None) -> Fact:
    data: dict[str, Any] = {"step": step, "status": "Failed", "failure_reason": reason[:REASON_LIMIT]}
    if exception is not None:
        data["exception"] = exception
    if metadata is not None:
        data["metadata"] = metadata
    return ("StepEnded", data)


def _exception(error: AwsError) -> str:
    """What retry policies call an error of the Create call."""
    if error.code in ("ResourceLimitExceeded",):
        return "SageMaker.RESOURCE_LIMIT"
    if error.code in ("ThrottlingException", "Throttling", "TooManyRequestsException"):
        return "Step.THROTTLING"
    return "Step.SERVICE_FAULT" if error.status >= 500 else error.code


def _job_exception(reason: str) -> str:
    """What retry policies call a job's failure."""
    if reason.startswith("InternalServerError"):
        return "SageMaker.JOB_INTERNAL_ERROR"
    return "SageMaker.CAPACITY_ERROR" if reason.startswith("CapacityError") else reason.partition(":")[0]


def _identity(stream: str) -> str:
    return stream.partition("/")[2]


def _name(state: Execution, run: StepRun, row: Operation, arguments: Mapping[str, Any]) -> str:
    """A job's name; a name in the arguments is what it begins with (SDK v2: `use_custom_job_prefix`)."""
    execution = execution_id(state)
    name = step_job_name(execution, run.name, run.attempt, limit=row.name_limit)
    prefix = arguments.get(row.name) if row.name else None
    if isinstance(prefix, str) and prefix:
        tail = f"-{execution}-{name.rpartition('-')[2]}"
        name = prefix[: row.name_limit - len(tail)].rstrip("-") + tail
    return name


def _cache_name(state: Execution, step: Step, row: Operation, arguments: Mapping[str, Any]) -> str | None:
    """What an equal run of this step is found by; None where nothing is cached."""
    if step.cache is None or not step.cache.enabled or not row.cache_key:
        return None
    what = {key: arguments[key] for key in row.cache_key if key in arguments}
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return f"{state.about['PipelineArn']}/{step.name}/{step.type}/{digest}"


def _remember(transaction: Transaction, cache: str, state: Execution, event: Event) -> None:
    run = state.runs[event.data["step"]]
    entry = {
        "PipelineExecutionArn": state.about["PipelineExecutionArn"],
        "Metadata": dict(run.metadata),
        "Time": event.time,
    }
    if find_resource(transaction, CACHE_KIND, cache) is None:
        insert_resource(transaction, CACHE_KIND, cache, entry, created=event.time)
    else:
        replace_resource(transaction, CACHE_KIND, cache, entry, modified=event.time)
