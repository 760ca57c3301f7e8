"""The state of pipelines as their streams tell it, folded once and brought up to date from there."""

from __future__ import annotations

import threading

from modelwright.lifecycles import codepipeline as lifecycle
from modelwright.lifecycles.codepipeline_state import Pipeline
from modelwright.store.codepipelines import stream_of
from modelwright.store.database import Transaction
from modelwright.store.history import History


class States:
    """What is remembered is committed and never changes: a state is a value, and a stream only grows."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, Pipeline]] = {}

    def at(self, transaction: Transaction, pipeline: str, *, remember: bool = True) -> tuple[int, Pipeline]:
        """(version of the stream, state). `remember` only what is committed: before the transaction appends itself."""
        with self._lock:
            version, state = self._known.get(pipeline, (0, Pipeline()))
        for event in self._history.read(transaction, stream_of(pipeline), version):
            state = lifecycle.apply(state, event.kind, event.data, event.time)
            version = event.sequence
        if not remember:
            return version, state
        with self._lock:
            if version >= self._known.get(pipeline, (0, state))[0]:
                self._known[pipeline] = (version, state)
        return version, state
