"""Whether what a session key was made for has ended. Asked with every call of a job's, so answers are kept: that
something has ended for good, that it goes on for a moment.
"""

from __future__ import annotations

import threading
import time

from modelwright.store.database import Database
from modelwright.store.history import History

ENDING = frozenset({"training-job", "processing-job", "build"})
"""The kinds of what ends by itself; endpoints and notebooks may begin again."""
MOMENT = 1.0
MOST = 10_000
"""Answers that are kept."""


class Endings:
    """Of event streams, by name. Safe to use from many threads."""

    def __init__(self, database: Database, history: History) -> None:
        self._database = database
        self._history = history
        self._lock = threading.Lock()
        self._known: dict[str, tuple[bool, float]] = {}

    def over(self, stream: str) -> bool:
        """Whether it has ended, as of a moment ago."""
        if stream.partition("/")[0] not in ENDING:
            return False
        now = time.monotonic()
        with self._lock:
            ended, until = self._known.get(stream, (False, 0.0))
        if ended or now < until:
            return ended
        with self._database.read() as transaction:
            head = self._history.head(transaction, stream)
        ended = head is not None and head.ended
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[stream] = (ended, now + MOMENT)
        return ended
