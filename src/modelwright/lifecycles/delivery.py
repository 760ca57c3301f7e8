"""The delivery of one event to one target as a state machine. Pure.

    Pending ──Delivered──▶ Ended
    Pending ──Failed──▶ Pending again, later and later; or, when that is enough, Given up ──Buried──▶ Ended

`Created` holds the target, the rule and the event as they were when the event was sent. A failure that will not mend
itself (a target that is not there) gives up at once; the others are tried again as the target's RetryPolicy says.
What is given up is kept where the target's DeadLetterConfig says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelwright.lifecycles.job import Effect, Fact

Phase = Literal["Pending", "GivenUp", "Ended"]

MOST_RETRIES, MOST_AGE = 185, 86_400.0
"""AWS's defaults, and the most that a RetryPolicy may say."""
FIRST_PAUSE, LAST_PAUSE = 1.0, 600.0


@dataclass(frozen=True)
class Delivery:
    """What is known of it."""

    stream: str
    phase: Phase = "Pending"
    target: Mapping[str, Any] = field(default_factory=dict)
    rule_name: str = ""
    rule_arn: str = ""
    event: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    attempts: int = 0
    """That have failed."""
    retry_at: float | None = None
    code: str = ""
    message: str = ""
    """Of the last failure."""
    exhausted: str = ""
    """Which condition of the RetryPolicy ended it; empty when trying again was no use."""

    @property
    def token(self) -> str:
        """The same for every attempt: what makes a target do it once. It is the id in the stream's name: who gets
        it can find out which rule it was (CodePipeline tells the rule as the trigger)."""
        return self.stream.rpartition("/")[2]


def apply(delivery: Delivery, kind: str, data: Mapping[str, Any], time: float) -> Delivery:
    """The state after one more fact."""
    match kind:
        case "Created":
            return replace(
                delivery,
                target=data["Target"],
                rule_name=data["RuleName"],
                rule_arn=data["RuleArn"],
                event=data["Event"],
                created=time,
            )
        case "Failed":
            return _failed(delivery, data, time)
        case "Delivered" | "Buried":
            return replace(delivery, phase="Ended")
        case _:
            return delivery


def decide(delivery: Delivery) -> list[Fact]:
    """Facts that follow from the state alone."""
    return [("Buried", {})] if delivery.phase == "GivenUp" else []


def outstanding(delivery: Delivery) -> list[Effect]:
    """Effects still owed."""
    if delivery.phase != "Pending" or not delivery.target:
        return []
    return [Effect("deliver", str(delivery.attempts), at=delivery.retry_at)]


def pause(stream: str, attempts: int) -> float:
    """Seconds after so many failed attempts: twice as long each time, up to half of it less by chance."""
    chance = hashlib.sha256(f"{stream}/{attempts}".encode()).digest()[0] / 255
    whole = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 30))
    return whole * (1 - chance / 2)


def _failed(delivery: Delivery, data: Mapping[str, Any], time: float) -> Delivery:
    failed = replace(
        delivery, attempts=delivery.attempts + 1, code=data["Code"], message=data["Message"], retry_at=None
    )
    if not data["Retryable"]:
        return replace(failed, phase="GivenUp")
    policy = delivery.target.get("RetryPolicy", {})
    if failed.attempts > policy.get("MaximumRetryAttempts", MOST_RETRIES):
        return replace(failed, phase="GivenUp", exhausted="MaximumRetryAttempts")
    retry_at = time + max(pause(delivery.stream, failed.attempts), data.get("After", 0.0))
    if retry_at - delivery.created > policy.get("MaximumEventAgeInSeconds", MOST_AGE):
        return replace(failed, phase="GivenUp", exhausted="MaximumEventAgeInSeconds")
    return replace(failed, retry_at=retry_at)
