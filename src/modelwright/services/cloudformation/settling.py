"""Waits a moment for a stack to come to rest, so that who asks next finds it there.

Clients look at once when a change set was told to execute, and then after half a minute. A stack that is made within a
second need not cost them that: the answer to ExecuteChangeSet comes when it has come to rest, or after `SECONDS`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from modelwright.store.history import History

SECONDS = 1.0


class Settling:
    """Hears of every commit to a stack's stream."""

    def __init__(self, history: History) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[threading.Event]] = {}
        history.subscribe(self._woken)

    def wait(self, stream: str, settled: Callable[[], bool]) -> None:
        """Until `settled` says so, but not for long."""
        changed, deadline = threading.Event(), time.monotonic() + SECONDS
        with self._lock:
            self._waiting.setdefault(stream, []).append(changed)
        try:
            # Cleared before each look: what is committed after the look sets it again.
            while not settled() and changed.wait(max(0.0, deadline - time.monotonic())):
                changed.clear()
        finally:
            with self._lock:
                self._waiting[stream].remove(changed)
                if not self._waiting[stream]:
                    del self._waiting[stream]

    def _woken(self, stream: str) -> None:
        with self._lock:
            for changed in self._waiting.get(stream, ()):
                changed.set()
