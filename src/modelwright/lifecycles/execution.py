"""A pipeline execution as a state machine: pure, data in and data out; no clock, no I/O.

The engine drives it:

    state = None
    for event in history.read(...): state = apply(state, event.kind, event.data, event.time)
    while facts := decide(state): append them, apply them               # what follows from the state alone
    for effect in outstanding(state): act, then append what came of it  # each may be repeated at any time

Events, in the stream `execution/ID` (a member in [] may be absent):

    who      kind               data
    service  ExecutionStarted   PipelineDefinition (JSON text, pinned), PipelineName, PipelineArn, PipelineExecutionId,
                                PipelineExecutionArn, RoleArn, Account, Region, Parameters {name: typed value},
                                StartTime, [MaxParallelExecutionSteps], [SelectedSteps [names]],
                                [SourcePipelineExecutionArn], [Reused {step: {metadata, [outcome]}}]
    service  StopRequested      {}
    service  RetryRequested     [MaxParallelExecutionSteps]
    service  ParallelismUpdated MaxParallelExecutionSteps
    decide   StepStarting       step, attempt (from 1; a retry of the execution counts on, so job names stay unique)
    decide   StepStopping       step
    decide   ExecutionEnded     status, [failure_reason]
    engine   StepStarted        step, [metadata] (`{"TrainingJob": {"Arn": ...}}`: PipelineExecutionStepMetadata)
    engine   StepEnded          step, status (Succeeded, Failed, Stopped), [failure_reason], [metadata], [outcome]
                                (of a condition, a boolean), [cache_hit] (the ARN of the execution whose result was
                                taken), [exception] (of a failure, what RetryPolicies call it, such as
                                SageMaker.JOB_INTERNAL_ERROR: where a policy of the step says so, the step is not over
                                but Starting again, with the next attempt)

Effects, each for the step `key`: `start` a step that is Starting (call its Create operation, adopt what exists; a
condition is evaluated and a Fail step failed on the spot: from Starting to StepEnded), `watch` one that is Executing,
`stop` one that is Stopping (its job may not have been created when the stop came: then StepEnded Stopped at once). A
job that ends in its own way while it is being stopped ends its step with that status. `runs[key]` has the attempt and,
once StepStarted has told it, the metadata.

Semantics, from AWS's pages "Pipelines steps", "StopPipelineExecution", SDK v2's integration tests and SDK v3's
`StepDependency`; where AWS says nothing, the choice is marked (ours):
- A step runs when all that it waits for came out as its trigger says (Completed unless said otherwise) and its branch
  is the one taken. As soon as that is impossible it is out: it never runs, is not listed, and what waits for it is out
  too, whatever the trigger (ours).
- Who waits for a condition waits for its evaluation, not for its branches (ours).
- A failed step puts out what depends on it; independent branches go on (ours). A Fail step lets nothing new start;
  what runs is left to end.
- Stop lets nothing new start and stops what runs.
- At the end: Failed when a step failed, else Stopped when it was stopped or a step was from outside, else Succeeded. A
  failed or stopped step with a dependent that ran because of it (by a trigger other than Completed) does not count, but
  makes it CompletedWithFailures instead of Succeeded.
- RetryPolicies start a step again while it is running; no other step sees the failure.
- Retry runs the failed and stopped steps again, and what was put out by them; what succeeded stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from modelwright.lifecycles.job import Effect, Fact
from modelwright.pipelines.definition import Definition, parse
from modelwright.pipelines.expressions import Scalar
from modelwright.pipelines.steps import Dependency, Step

ENDED = frozenset({"Succeeded", "Failed", "Stopped", "CompletedWithFailures"})
"""Terminal statuses of an execution; of a step, the first three."""
RUNNING = frozenset({"Starting", "Executing", "Stopping"})
"""A step's statuses while it holds one of the parallel slots."""
STEPS_FAILED = "Step failure: One or multiple steps failed."
"""AWS's FailureReason of an execution whose steps failed."""

DEFAULT_ATTEMPTS = 5
"""How often a retry policy tries again that says neither how often nor how long (AWS: "Retry policy")."""

_OUTCOMES = {"Succeeded": "Completed", "Failed": "Failed", "Stopped": "Stopped"}


@dataclass(frozen=True)
class StepRun:
    """A step that has begun (or was taken over from another execution: `reused_from`)."""

    name: str
    status: str
    attempt: int
    started: float
    ended: float | None = None
    failure_reason: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    outcome: bool | None = None
    reused_from: str | None = None
    cache_hit: str | None = None
    """The ARN of the execution whose cached result this is."""
    retries: int = 0
    """How often its retry policies have made it start again since it began."""
    not_before: float | None = None
    """When it is to start again."""


@dataclass(frozen=True)
class Execution:
    """The folded stream. `runs` is in the order in which the steps began; steps not in it have not begun."""

    definition: Definition
    about: Mapping[str, Any]
    """ExecutionStarted's data."""
    status: str = "Executing"
    parallelism: int | None = None
    selected: frozenset[str] | None = None
    """The steps of a selective execution; None: all."""
    runs: Mapping[str, StepRun] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Attempts that each step has used up, over all retries."""
    failure_reason: str | None = None
    started: float = 0.0
    modified: float = 0.0
    ended: float | None = None

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """The typed values of this execution's parameters."""
        values: Mapping[str, Scalar] = self.about["Parameters"]
        return values

    @property
    def stopping(self) -> bool:
        return self.status == "Stopping"

    def step(self, name: str) -> Step:
        return self.definition.steps[name]


def apply(state: Execution | None, kind: str, data: Mapping[str, Any], time: float) -> Execution:
    """The state after one more event. Raises ValueError for one that can't follow: a defect, not bad input."""
    if state is None and kind == "ExecutionStarted":
        return _begin(data, time)
    if state is None or kind not in _APPLY:
        raise ValueError(f"{kind} can't be an execution's event here: ExecutionStarted is the first and only the first")
    return replace(_APPLY[kind](state, data, time), modified=time)


def fold(events: Iterable[tuple[str, Mapping[str, Any], float]]) -> Execution:
    """The state after all events of a stream: (kind, data, time) of each. Raises ValueError when there are none."""
    state = None
    for kind, data, time in events:
        state = apply(state, kind, data, time)
    if state is None:
        raise ValueError("an execution without events")
    return state


def _begin(data: Mapping[str, Any], time: float) -> Execution:
    source = data.get("SourcePipelineExecutionArn")
    reused = {
        name: StepRun(
            name=name,
            status="Succeeded",
            attempt=0,
            started=time,
            ended=time,
            metadata=run.get("metadata", {}),
            outcome=run.get("outcome"),
            reused_from=source,
        )
        for name, run in data.get("Reused", {}).items()
    }
    return Execution(
        definition=parse(data["PipelineDefinition"]),
        about=data,
        parallelism=data.get("MaxParallelExecutionSteps"),
        selected=frozenset(data["SelectedSteps"]) if "SelectedSteps" in data else None,
        runs=reused,
        started=data.get("StartTime", time),
        modified=time,
    )


def _stop_requested(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    return state if state.status in ENDED else replace(state, status="Stopping")


def _retry_requested(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    return replace(
        state,
        status="Executing",
        failure_reason=None,
        ended=None,
        parallelism=data.get("MaxParallelExecutionSteps", state.parallelism),
        runs={name: run for name, run in state.runs.items() if run.status == "Succeeded"},
    )


def _parallelism_updated(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    return replace(state, parallelism=data["MaxParallelExecutionSteps"])


def _step_starting(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    name, attempt = data["step"], data["attempt"]
    run = StepRun(name=name, status="Starting", attempt=attempt, started=time)
    return replace(state, runs={**state.runs, name: run}, attempts={**state.attempts, name: attempt})


def _step_started(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    run = state.runs[data["step"]]
    status = "Executing" if run.status == "Starting" else run.status  # a stop that came first stays
    return _with(state, replace(run, status=status, metadata=data.get("metadata", run.metadata)))


def _step_stopping(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    return _with(state, replace(state.runs[data["step"]], status="Stopping"))


def _step_ended(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    run = state.runs[data["step"]]
    if run.status not in RUNNING:
        raise ValueError(f"step {run.name} has ended before")
    delay = _retry_delay(state, run, data, time)
    if delay is not None:
        again = StepRun(
            name=run.name,
            status="Starting",
            attempt=run.attempt + 1,
            started=run.started,
            retries=run.retries + 1,
            not_before=time + delay,
        )
        return _with(replace(state, attempts={**state.attempts, run.name: again.attempt}), again)
    ended = replace(
        run,
        status=data["status"],
        ended=time,
        failure_reason=data.get("failure_reason"),
        metadata=data.get("metadata", run.metadata),
        outcome=data.get("outcome"),
        cache_hit=data.get("cache_hit"),
    )
    return _with(state, ended)


def _retry_delay(state: Execution, run: StepRun, data: Mapping[str, Any], time: float) -> float | None:
    """Seconds until the next attempt when a retry policy of the step asks for one; None: the end is the end."""
    if state.stopping or run.status == "Stopping" or data["status"] != "Failed":
        return None
    for policy in state.step(run.name).retry:
        if data.get("exception") in policy.exceptions:
            if policy.expire_after is not None:
                allowed = time - run.started < policy.expire_after
            else:
                allowed = run.retries < (policy.max_attempts or DEFAULT_ATTEMPTS)
            return policy.interval * policy.backoff**run.retries if allowed else None
    return None


def _execution_ended(state: Execution, data: Mapping[str, Any], time: float) -> Execution:
    return replace(state, status=data["status"], failure_reason=data.get("failure_reason"), ended=time)


def _with(state: Execution, run: StepRun) -> Execution:
    return replace(state, runs={**state.runs, run.name: run})


_APPLY = {
    "StopRequested": _stop_requested,
    "RetryRequested": _retry_requested,
    "ParallelismUpdated": _parallelism_updated,
    "StepStarting": _step_starting,
    "StepStarted": _step_started,
    "StepStopping": _step_stopping,
    "StepEnded": _step_ended,
    "ExecutionEnded": _execution_ended,
}


def decide(state: Execution) -> list[Fact]:
    """What follows from the state alone: steps to start or stop, or the end. Empty: wait for the world."""
    if state.status in ENDED:
        return []
    if state.stopping:
        facts: list[Fact] = [("StepStopping", {"step": r.name}) for r in _running(state) if r.status != "Stopping"]
    else:
        facts = [
            ("StepStarting", {"step": name, "attempt": state.attempts.get(name, 0) + 1}) for name in _startable(state)
        ]
    if facts or any(_running(state)):
        return facts
    return [_end(state)]


def _running(state: Execution) -> Iterator[StepRun]:
    return (run for run in state.runs.values() if run.status in RUNNING)


def _startable(state: Execution) -> list[str]:
    """The steps to start now: ready ones, as many as there are free slots, in the definition's order."""
    if any(run.status == "Failed" and state.step(run.name).type == "Fail" for run in state.runs.values()):
        return []
    fates = prospects(state)
    ready = [name for name in state.definition.steps if fates[name] == "ready"]
    if state.parallelism is None:
        return ready
    return ready[: max(0, state.parallelism - sum(1 for _ in _running(state)))]


Prospect = Literal["begun", "ready", "waiting", "out"]


def prospects(state: Execution) -> dict[str, Prospect]:
    """How each step stands: begun, ready to start, waiting for others, or out (it will not run)."""
    fates: dict[str, Prospect] = {}
    for name in state.definition.order:
        fates[name] = "begun" if name in state.runs else _prospect(state, name, fates)
    return fates


def _prospect(state: Execution, name: str, fates: Mapping[str, Prospect]) -> Prospect:
    if state.selected is not None and name not in state.selected:
        return "out"
    waits = [_wait(state, name, dependency, fates) for dependency in state.definition.graph[name]]
    if "never" in waits:
        return "out"
    return "ready" if all(wait == "met" for wait in waits) else "waiting"


def _wait(
    state: Execution, name: str, dependency: Dependency, fates: Mapping[str, Prospect]
) -> Literal["met", "open", "never"]:
    run = state.runs.get(dependency.step)
    if run is None:
        return "never" if fates[dependency.step] == "out" else "open"
    if run.status in RUNNING:
        return "open"
    outcome = _OUTCOMES[run.status]
    branch = state.step(name).branch
    if branch is not None and branch.condition == dependency.step:
        return "met" if outcome == "Completed" and run.outcome is branch.outcome else "never"
    return "met" if dependency.trigger in (outcome, "Any") else "never"


def _end(state: Execution) -> Fact:
    broken = [run for run in state.runs.values() if run.status != "Succeeded"]
    unhandled = [run for run in broken if not _handled(state, run.name)]
    if any(run.status == "Failed" for run in unhandled):
        return ("ExecutionEnded", {"status": "Failed", "failure_reason": STEPS_FAILED})
    if unhandled or state.stopping:
        return ("ExecutionEnded", {"status": "Stopped"})
    return ("ExecutionEnded", {"status": "CompletedWithFailures" if broken else "Succeeded"})


def _handled(state: Execution, name: str) -> bool:
    """Whether a dependent ran because this step did not complete."""
    return any(
        dependency.step == name and dependency.trigger != "Completed"
        for run in state.runs
        for dependency in state.definition.graph[run]
    )


def outstanding(state: Execution) -> list[Effect]:
    """What is owed to the world now."""
    kinds = {"Starting": "start", "Executing": "watch", "Stopping": "stop"}
    return [
        Effect(kinds[run.status], run.name, run.not_before if run.status == "Starting" else None)
        for run in _running(state)
    ]


def properties(state: Execution, name: str) -> dict[str, Any] | None:
    """What `Steps.NAME...` leads into, where that needs no Describe: a condition's outcome. None: ask Describe."""
    run = state.runs[name]
    if run.outcome is None:
        return None
    return {"Outcome": "true" if run.outcome else "false"}


def variables(state: Execution) -> dict[str, str]:
    """The execution variables that stay the same; CurrentDateTime and the job names are the moment's."""
    names = ("PipelineName", "PipelineArn", "PipelineExecutionId", "PipelineExecutionArn")
    return {**{name: state.about[name] for name in names}, "StartDateTime": date_time(state.started)}


def date_time(seconds: float) -> str:
    """A date-time variable as text: ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def step_documents(state: Execution) -> list[dict[str, Any]]:
    """AWS's PipelineExecutionStep of every step that has begun, in the order in which they did."""
    return [_step_document(state, run) for run in state.runs.values()]


def _step_document(state: Execution, run: StepRun) -> dict[str, Any]:
    step = state.step(run.name)
    document: dict[str, Any] = {"StepName": run.name, "StepStatus": run.status, "StartTime": run.started}
    optional = {
        "StepDisplayName": step.display_name,
        "StepDescription": step.description,
        "EndTime": run.ended,
        "FailureReason": run.failure_reason[:1024] if run.failure_reason else None,
        "Metadata": dict(run.metadata) or None,
        "AttemptCount": run.attempt or None,
        "CacheHitResult": _source(run.cache_hit),
        "SelectiveExecutionResult": _source(run.reused_from),
    }
    return {**document, **{key: value for key, value in optional.items() if value is not None}}


def _source(arn: str | None) -> dict[str, str] | None:
    return None if arn is None else {"SourcePipelineExecutionArn": arn}
