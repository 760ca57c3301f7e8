"""Scheduled rules, driven: at its time a rule's targets get their event, and the next time is written down.

Both in the transaction that says so: a server that is killed fires a tick once. One that was away fires what is
overdue once and goes on from now, however many ticks it has missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelwright.engine.worker import Work
from modelwright.lifecycles import tick as lifecycle
from modelwright.lifecycles.job import Effect, Fact
from modelwright.lifecycles.tick import Tick
from modelwright.store.database import Transaction
from modelwright.store.event_bus import TICK, EventBus
from modelwright.store.history import Event, History


class Schedules:
    """The driver of streams of kind `ScheduleTick`."""

    kind = TICK

    def __init__(self, *, history: History, events: EventBus, now: Callable[[], float]) -> None:
        self._history = history
        self._events = events
        self._now = now

    def begin(self, stream: str) -> Tick:
        return Tick()

    def apply(self, state: Tick, event: Event) -> Tick:
        return lifecycle.apply(state, event.kind, event.data)

    def decide(self, state: Tick, now: float) -> Sequence[Fact]:
        return []

    def outstanding(self, state: Tick) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Tick) -> bool:
        return state.fired

    def recover(self, stream: str, state: Tick) -> None:
        """Nothing is held in memory."""

    def perform(self, work: Work) -> Sequence[Fact] | None:
        return [("Fired", {})]

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        return [("Fired", {})]

    def record(self, transaction: Transaction, stream: str, state: Tick, events: Sequence[Event]) -> None:
        if state.fired:
            self._events.fire(transaction, state.rule, state.schedule, due=state.due, now=self._now())
            self._history.forget(transaction, stream)

    def closed(self, stream: str, state: Tick) -> None:
        """Nothing is left to tidy up."""
