"""Deliveries of events, driven: one attempt after the other, then the dead letter.

An attempt goes to the target through the one door (`engine.targets`), with a token that is the same each time: a
target that knows tokens does nothing twice, also when the server was killed between the call and the fact. What was
delivered leaves nothing behind; what was given up goes to the queue of the target's DeadLetterConfig, in the same
transaction, and is told in the log group of its event bus.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence

from modelwright.arns import Arn
from modelwright.engine.targets import Targets
from modelwright.engine.worker import Work
from modelwright.errors import AwsError
from modelwright.lifecycles import delivery as lifecycle
from modelwright.lifecycles.delivery import Delivery
from modelwright.lifecycles.job import Effect, Fact
from modelwright.store.database import Transaction
from modelwright.store.event_bus import DELIVERY
from modelwright.store.history import Event, History
from modelwright.store.logs import put_log_events
from modelwright.store.queues import put_message, text_attributes

_log = logging.getLogger(__name__)

LOG_GROUP = "/aws/vendedlogs/events/event-bus"
MESSAGE_LIMIT = 1024


class Deliveries:
    """The driver of streams of kind `Delivery`."""

    kind = DELIVERY

    def __init__(self, *, history: History, targets: Targets, now: Callable[[], float]) -> None:
        self._history = history
        self._targets = targets
        self._now = now

    def begin(self, stream: str) -> Delivery:
        return Delivery(stream)

    def apply(self, state: Delivery, event: Event) -> Delivery:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Delivery, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Delivery) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Delivery) -> bool:
        return state.phase == "Ended"

    def recover(self, stream: str, state: Delivery) -> None:
        """Nothing is held in memory."""

    def perform(self, work: Work) -> Sequence[Fact] | None:
        state: Delivery = work.state
        try:
            later = self._targets.deliver(state)
        except AwsError as error:
            return [_failed(*told(error), error.message, getattr(error, "after", 0.0))]
        if later is not None:
            work.resume_at(later)
            return None
        return [("Delivered", {})]

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        return [_failed("INTERNAL_ERROR", True, f"{type(error).__name__}: {error}")]

    def record(self, transaction: Transaction, stream: str, state: Delivery, events: Sequence[Event]) -> None:
        if any(event.kind == "Buried" for event in events):
            self._bury(transaction, state)
        if state.phase == "Ended":
            self._history.forget(transaction, stream)

    def closed(self, stream: str, state: Delivery) -> None:
        """Nothing is left to tidy up."""

    def _bury(self, transaction: Transaction, state: Delivery) -> None:
        now, target = self._now(), state.target
        attributes = {
            "RULE_ARN": state.rule_arn,
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": state.code,
            "ERROR_MESSAGE": state.message or state.code,
            "RETRY_ATTEMPTS": str(state.attempts - 1),
        }
        if state.exhausted:
            attributes["EXHAUSTED_RETRY_CONDITION"] = state.exhausted
        line = {**attributes, "TargetId": target["Id"], "event": state.event}
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if queue is not None:
            body = json.dumps(state.event, ensure_ascii=False)
            name = Arn.parse(queue).resource
            found = put_message(transaction, name, body, text_attributes(attributes), now=now)
            line["DEAD_LETTER"] = f"sent to {queue}" if found else f"lost: there is no queue {name}"
        rule = Arn.parse(state.rule_arn).name
        bus, _, name = rule.rpartition("/")
        text = json.dumps(line, ensure_ascii=False)
        milliseconds = int(now * 1000)
        put_log_events(transaction, f"{LOG_GROUP}/{bus or 'default'}", name, [(milliseconds, text)], milliseconds)


def told(error: AwsError) -> tuple[str, bool]:
    """What a dead letter calls a target's error, and whether it may go away by itself."""
    code, status = error.code, error.status
    if getattr(error, "retryable", None) is not None:  # a target that knows
        return code, bool(error.retryable)  # type: ignore[attr-defined]  # see engine.targets.DeliveryFailed
    if any(word in code for word in ("Throttl", "TooManyRequests", "LimitExceeded", "Concurrent")):
        return "THROTTLING", True
    if status >= 500:
        return "ERROR_FROM_TARGET", True
    if "NotFound" in code or "does not exist" in error.message or "Could not find" in error.message:
        return "NO_RESOURCE", False
    if "AccessDenied" in code:
        return "NO_PERMISSIONS", False
    return "SDK_CLIENT_ERROR", False


def _failed(code: str, retryable: bool, message: str, after: float = 0.0) -> Fact:
    return ("Failed", {"Code": code, "Message": message[:MESSAGE_LIMIT], "Retryable": retryable, "After": after})
