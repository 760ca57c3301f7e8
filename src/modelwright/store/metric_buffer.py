"""Points of metrics on their way to the database: gathered in memory, written about once a second by one thread.

Whoever has points waits for nothing. What a killed server had gathered since its last write is lost: a second or two.
A reader calls `flush` first, so that it sees what was put before. Some have their points only when they are asked
(`gather`): the router counts its invocations by itself and is asked for them before every write.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable

from modelwright.metrics.aggregates import Aggregate
from modelwright.metrics.periods import HOUR, WIDTHS
from modelwright.store.database import Database
from modelwright.store.metrics import Place, Series, add_points, forget_old

_log = logging.getLogger(__name__)

DELAY = 1.0
"""Seconds that points gather."""

Point = tuple[Series, float, Aggregate]
"""Of what, when, and how much."""


class MetricBuffer:
    """Takes points from any thread."""

    def __init__(self, database: Database, now: Callable[[], float], delay: float = DELAY) -> None:
        self._database = database
        self._now = now
        self._delay = delay
        self._lock = threading.Condition()
        self._writing = threading.Lock()
        self._points: dict[Place, Aggregate] = {}
        self._known: dict[Series, int] = {}
        self._sources: list[Callable[[], Iterable[Point]]] = []
        self._told: list[Callable[[frozenset[Series]], None]] = []
        self._thread: threading.Thread | None = None
        self._news: set[Series] = set()
        self._due = False
        self._closed = False
        self._tidied = 0.0

    def gather(self, source: Callable[[], Iterable[Point]]) -> None:
        """Ask this one before every write. It says by `stir` that it has something."""
        self._sources.append(source)

    def subscribe(self, told: Callable[[frozenset[Series]], None]) -> None:
        """`told(series)` after series have got new points, about once a second at most. It must return at once."""
        self._told.append(told)

    def add(self, points: Iterable[Point], *, fine: bool = False) -> None:
        """Keep them; `fine` ones by the second too."""
        with self._lock:
            self._add(points, fine)
            self._stir()

    def stir(self) -> None:
        """There will be something to write."""
        with self._lock:
            self._stir()

    def flush(self) -> None:
        """All points so far are in the database."""
        self._write()
        with self._lock:
            if self._news:
                self._stir()  # the thread tells it, later: who is told may ask again, and so come here

    def _write(self) -> None:
        with self._writing:
            with self._lock:
                self._due = False  # what comes from now on is for the next time
            gathered = [point for source in self._sources for point in source()]
            with self._lock:
                self._add(gathered, fine=False)
                points, self._points = self._points, {}
            now = self._now()
            tidy = now - self._tidied > HOUR
            if not points and not tidy:
                return
            try:
                with self._database.write() as transaction:
                    add_points(transaction, points, self._known)
                    if tidy:
                        forget_old(transaction, now)
                        self._tidied = now
            except BaseException:
                with self._lock:
                    for place, part in points.items():
                        self._merge(place, part)
                raise
        with self._lock:
            self._news.update(series for series, _, _ in points)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join()
        try:
            self._write()
        except Exception:
            _log.exception("the last metrics could not be written: they are lost")

    def _tell(self) -> None:
        with self._lock:
            news, self._news = frozenset(self._news), set()
        if news:
            for told in self._told:
                told(news)

    def _add(self, points: Iterable[Point], fine: bool) -> None:
        for series, time, part in points:
            for width in (1, *WIDTHS) if fine else WIDTHS:
                self._merge((series, width, math.floor(time / width) * width), part)

    def _merge(self, place: Place, part: Aggregate) -> None:
        found = self._points.get(place)
        if found is None:
            found = self._points[place] = Aggregate()
        found.merge(part)

    def _stir(self) -> None:
        if self._closed or self._due:
            return
        self._due = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
            self._thread.start()
        self._lock.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._due or self._closed)
                if not self._closed:
                    self._lock.wait_for(lambda: self._closed, timeout=self._delay)
                if self._closed:
                    return
            try:
                self._write()
                self._tell()
            except Exception:
                _log.exception("metrics could not be written; it is tried again")
                self.stir()
