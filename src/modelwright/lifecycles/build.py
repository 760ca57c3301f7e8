"""A build of CodeBuild as a state machine: facts -> state -> what follows, and what is still owed. Pure.

    Queued ──Granted──▶ Provisioning ──Prepared──▶ Starting ──Started──▶ Running ──Exited──▶ Exited ──Ended──▶ Ended

`Provisioning`: image, source and folder are made; nothing has been started. `Starting`: that it is about to be started
is written, so it may have been. From `Running` on the container itself tells how far it is (`Progress`). A stop or a
time-out ends a build at once as long as nothing may run; later it lets the start finish and then kills the container.

Facts from outside: `Created`, `StopRequested`. Every effect may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelwright.lifecycles.job import Effect, Fact

Phase = Literal["Queued", "Provisioning", "Starting", "Running", "Exited", "Ended"]

STOP_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class Build:
    """What is known of a build. Times are epoch seconds, limits seconds."""

    phase: Phase = "Queued"
    created: float = 0.0
    granted: float = 0.0
    limit: float = 3600.0
    queue_limit: float = 28800.0
    stop: str = ""
    """STOPPED or TIMED_OUT once it must end; the first one counts."""
    signalled: bool = False
    handle: Mapping[str, Any] = field(default_factory=dict)
    exit: Mapping[str, Any] = field(default_factory=dict)
    told: int = 0
    """How often the container has told something new."""


def apply(build: Build, kind: str, data: Mapping[str, Any], time: float) -> Build:
    """The state after one more fact."""
    match kind:
        case "Created":
            return replace(build, created=time, limit=data["Limit"], queue_limit=data["QueueLimit"])
        case "Granted":
            return replace(build, phase="Provisioning", granted=time)
        case "Prepared":
            return replace(build, phase="Starting")
        case "Started":
            return replace(build, phase="Running", handle=data["Handle"])
        case "Progress":
            return replace(build, told=build.told + 1)
        case "StopRequested":
            return replace(build, stop=build.stop or "STOPPED")
        case "TimedOut":
            return replace(build, stop=build.stop or "TIMED_OUT")
        case "Signalled":
            return replace(build, signalled=True)
        case "Exited":
            return replace(build, phase="Exited", exit=data)
        case "Ended":
            return replace(build, phase="Ended")
        case _:
            return build


def decide(build: Build) -> Sequence[Fact]:
    """Facts that follow from the state alone."""
    if build.stop and build.phase in ("Queued", "Provisioning"):
        return [("Ended", {"Status": build.stop})]
    return []


def outstanding(build: Build) -> Sequence[Effect]:
    """Effects still owed."""
    limit = [] if build.stop else [Effect("limit", at=build.granted + build.limit)]
    match build.phase:
        case "Queued":
            return (
                [] if build.stop else [Effect("queue"), Effect("limit", "queue", at=build.created + build.queue_limit)]
            )
        case "Provisioning":
            return [] if build.stop else [Effect("provision"), *limit]
        case "Starting":
            return [Effect("start")]
        case "Running":
            stop = [Effect("stop")] if build.stop and not build.signalled else []
            return [Effect("watch"), Effect("follow"), *stop, *limit]
        case "Exited":
            return [Effect("collect")]
        case _:
            return []
