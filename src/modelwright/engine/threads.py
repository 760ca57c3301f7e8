"""Threads for the engine: a pool that grows with what is under way, and one timer. Idle they cost nothing.

Daemon threads, because a job's image may take minutes to build and a server must be able to end meanwhile: whatever a
thread was doing is owed still, and done again at the next start.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

Action = Callable[[], None]


class Threads:
    """Runs actions at once, each in a thread of its own; threads are kept for the next ones."""

    def __init__(self, name: str, *, most: int = 64) -> None:
        self._name = name
        self._most = most
        self._queue: queue.SimpleQueue[Action | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False

    def submit(self, action: Action) -> None:
        """Run it soon. After close() it is dropped."""
        with self._lock:
            if self._closed:
                return
            self._unfinished += 1
            if self._unfinished > len(self._threads) and len(self._threads) < self._most:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(action)

    def close(self, timeout: float) -> None:
        """Take nothing more; wait for what runs, `timeout` seconds altogether at most."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._queue.put(None)
        share = timeout / max(1, len(threads))
        for thread in threads:
            thread.join(share)

    def _run(self) -> None:
        while (action := self._queue.get()) is not None:
            try:
                action()
            except Exception:
                _log.exception("an action of the engine's failed")
            finally:
                with self._lock:
                    self._unfinished -= 1


class Timer:
    """Calls back at given times, in a thread of its own; what is called must return at once."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._heap: list[tuple[float, int]] = []
        self._actions: dict[int, Action] = {}
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def at(self, time: float, action: Action) -> Action:
        """Call `action` once, at `time` (epoch seconds) or soon after. Returns what cancels it."""
        number = next(self._count)
        with self._changed:
            self._actions[number] = action
            heapq.heappush(self._heap, (time, number))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine-timer", daemon=True)
                self._thread.start()
            elif self._heap[0][0] == time:
                self._changed.notify()
        return lambda: self._cancel(number)

    def _cancel(self, number: int) -> None:
        """A day's limit of a job that took a second must not be kept for a day."""
        with self._changed:
            self._actions.pop(number, None)
            if len(self._heap) > 2 * len(self._actions) + 100:
                self._heap = [entry for entry in self._heap if entry[1] in self._actions]
                heapq.heapify(self._heap)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._heap or self._heap[0][0] > self._now()):
                    wait = self._heap[0][0] - self._now() if self._heap else None
                    self._changed.wait(wait if wait is None else min(wait, threading.TIMEOUT_MAX))
                if self._closed:
                    return
                action = self._actions.pop(heapq.heappop(self._heap)[1], None)
            try:
                if action is not None:
                    action()
            except Exception:
                _log.exception("a timed action of the engine's failed")
