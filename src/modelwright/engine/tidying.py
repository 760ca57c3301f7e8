"""Deletes what ended jobs have left on the disk: later, one after the other, in nobody's way.

A job's end does not wait for it: removing a folder may take milliseconds, and a pipeline has the next step to start.
What is not deleted when the server ends is deleted after the next start: a job's own folder goes last, so as long as
it is there, there is something to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

DELAY = 2.0


class Tidier:
    """Runs actions some seconds after they were handed over, in a thread of its own."""

    def __init__(self, delay: float = DELAY) -> None:
        self._delay = delay
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def later(self, action: Callable[[], None]) -> None:
        """Do it some seconds from now. After close() it is dropped."""
        with self._changed:
            self._queue.append((time.monotonic() + self._delay, action))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="tidier", daemon=True)
                self._thread.start()
            elif len(self._queue) == 1:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._due():
                    self._changed.wait(self._queue[0][0] - time.monotonic() if self._queue else None)
                if self._closed:
                    return
                _, action = self._queue.popleft()
            try:
                action()
            except Exception:
                _log.exception("what an ended job has left could not be deleted; the next start tries again")

    def _due(self) -> bool:
        return bool(self._queue) and self._queue[0][0] <= time.monotonic()
