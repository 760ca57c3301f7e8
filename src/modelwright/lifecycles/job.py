"""A training or processing job as a state machine: facts -> state -> what follows, and what is still owed. Pure.

    Waiting ──Prepared──▶ Starting ──Started──▶ Running ──Exited──▶ Exited ──Ended──▶ Ended

`Waiting`: for capacity, then for its image and inputs; nothing has been started. `Starting`: the fact that it is
about to be started is written, so it may have been. `Running`: the runtime has it. `Exited`: its process is gone, its
outputs are not stored yet. A stop (somebody's, or the time limit's) may come in every phase before the last: while
`Waiting` it ends the job at once, later it lets the start finish and sends SIGTERM.

Facts from outside: `Created`, `StopRequested`. All others are the engine's. What the facts make of the document that
Describe answers is in `job_document`; how an effect is done is the engine's business. Every effect may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Phase = Literal["Waiting", "Starting", "Running", "Exited", "Ended"]
Fact = tuple[str, Mapping[str, Any]]
"""An event's kind and data."""

STOPPED = "Stopped"
MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"

STOP_GRACE = 120.0
"""Seconds between SIGTERM and SIGKILL, as AWS documents them."""
REASON_LIMIT = 1024
"""Characters of a FailureReason or an ExitMessage."""


@dataclass(frozen=True)
class Effect:
    """Something owed to the world. Of two effects of a stream with one `kind` and `key` at most one is under way."""

    kind: str
    key: str = ""
    at: float | None = None
    """Not before this time (epoch seconds)."""


@dataclass(frozen=True)
class Job:
    """What is known of a job."""

    phase: Phase = "Waiting"
    stop: str = ""
    """Why it is being stopped: "", STOPPED or MAX_RUNTIME_EXCEEDED; the first one counts."""
    announced: bool = False
    """Whether the document says that it is stopping."""
    signalled: float | None = None
    """When SIGTERM was sent."""
    waiting_told: bool = False
    began: float = 0.0
    """When it got its share of the machine."""
    started: float = 0.0
    handle: Mapping[str, Any] = field(default_factory=dict)
    max_runtime: float | None = None
    continuous: bool = False
    """Whether something is uploaded while it runs."""
    exit: Mapping[str, Any] = field(default_factory=dict)
    """`Exited`'s data: Code, Ended, OutOfMemory; or Lost with the reason."""


def apply(job: Job, kind: str, data: Mapping[str, Any], time: float) -> Job:
    """The state after one more fact."""
    match kind:
        case "StopRequested":
            return replace(job, stop=job.stop or STOPPED)
        case "TimedOut":
            return replace(job, stop=job.stop or MAX_RUNTIME_EXCEEDED)
        case "Stopping":
            return replace(job, announced=True)
        case "Signalled":
            return replace(job, signalled=time)
        case "Queued":
            return replace(job, waiting_told=True)
        case "Prepared":
            return replace(
                job,
                phase="Starting",
                began=data["Began"],
                max_runtime=data.get("MaxRuntime"),
                continuous=data.get("Continuous", False),
            )
        case "Started":
            return replace(job, phase="Running", started=time, handle=data["Handle"])
        case "Exited":
            return replace(job, phase="Exited", exit=data)
        case "Ended":
            return replace(job, phase="Ended")
        case _:  # Created; Preparing only tells how far it is
            return job


def decide(job: Job) -> list[Fact]:
    """Facts that follow from the state alone."""
    if not job.stop or job.phase == "Ended":
        return []
    facts: list[Fact] = []
    if not job.announced and job.phase != "Exited":
        facts.append(("Stopping", {"Why": job.stop}))
    if job.phase == "Waiting":
        facts.append(("Ended", {"Status": "Stopped", "Why": job.stop}))
    return facts


def outstanding(job: Job) -> list[Effect]:
    """Effects still owed."""
    match job.phase:
        case "Waiting":
            return [] if job.stop else [Effect("prepare")]
        case "Starting":
            return [Effect("start")]
        case "Running":
            return _while_running(job)
        case "Exited":
            return [Effect("collect")]
        case _:
            return []


def _while_running(job: Job) -> list[Effect]:
    effects = [Effect("watch")]
    if job.continuous:
        effects.append(Effect("sync"))
    if job.stop and job.signalled is None:
        effects.append(Effect("stop"))
    if not job.stop and job.max_runtime is not None:
        effects.append(Effect("limit", at=job.started + job.max_runtime))
    return effects


@dataclass(frozen=True)
class Verdict:
    """How a job ended: its main status, and why where it failed."""

    status: Literal["Completed", "Failed", "Stopped"]
    why: str = ""
    """For Stopped: STOPPED or MAX_RUNTIME_EXCEEDED."""
    reason: str = ""


def verdict(job: Job, failure_text: str, last_lines: Sequence[str]) -> Verdict:
    """What an exited job has come to.

    `failure_text` is what it wrote to /opt/ml/output/failure, `last_lines` the end of its log.
    """
    if "Lost" in job.exit:
        return Verdict("Failed", reason=internal_error(str(job.exit["Lost"])))
    if job.stop:
        return Verdict("Stopped", why=job.stop)
    code = int(job.exit["Code"])
    if code == 0:
        return Verdict("Completed")
    return Verdict("Failed", reason=algorithm_error(job.exit, failure_text.strip(), "\n".join(last_lines).strip()))


def algorithm_error(exited: Mapping[str, Any], failure_text: str, log_text: str) -> str:
    """The job's own fault, as AWS words it: the failure file's beginning, without one the end of the log."""
    head, tail = "AlgorithmError: ", f", exit code: {exited['Code']}"
    if exited.get("OutOfMemory"):
        head += "OutOfMemoryError: the job used more memory than its instance has; use a larger instance. "
    room = REASON_LIMIT - len(head) - len(tail)
    return head + (failure_text[:room] if failure_text else log_text[-room:]) + tail


def client_error(text: str) -> str:
    """The request's fault: data that is not there, an image that can't be made."""
    return f"ClientError: {text}"[:REASON_LIMIT]


def internal_error(text: str) -> str:
    """Modelwright's or the machine's fault."""
    return f"InternalServerError: {text}"[:REASON_LIMIT]
