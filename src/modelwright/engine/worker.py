"""Drives every open event stream: fold, decide, append, perform. Recovery is the same loop.

A turn of a stream folds what is new, appends what follows, and starts the effects that are owed. An effect is
performed by the stream's driver (`jobs`, `executions`), in a thread; what comes of it are facts, appended only while
the effect is still owed. One turn of a stream at a time, one effect of a kind and key at a time, many streams at once.

Nothing is polled. A stream is looked at when somebody else appended to it (the history tells), when an effect of its
has come to an end, or when an effect that waits is resumed: by the runtime, the queue, a timer, or another stream's
end. A fact and what it makes of the resource's document are one transaction.

Whatever goes wrong unexpectedly goes to the log with its traceback and becomes the stream's failure. Where not even
that can be written (the disk is full), the stream is tried again, ever more rarely.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from modelwright.engine.threads import Threads, Timer
from modelwright.errors import StaleVersion
from modelwright.lifecycles.job import Effect, Fact
from modelwright.store.database import Database, Transaction
from modelwright.store.history import Event, History

_log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
FIRST_RETRY, LAST_RETRY = 1.0, 60.0

Key = tuple[str, str]


@dataclass(frozen=True)
class Work:
    """An effect as its driver sees it."""

    stream: str
    effect: Effect
    state: Any
    """The stream's state when the effect became owed."""
    resume: Callable[[], None]
    """Perform the effect again if it is still owed. For an effect that answered None: it waits."""
    resume_at: Callable[[float], None]
    """The same, at a time."""
    resume_after: Callable[[str], None]
    """The same, when another stream has ended."""
    resume_on: Callable[[str], None]
    """The same, when something is appended to another stream. Call it before looking at what that stream is about:
    a change between the look and the call would be missed."""
    tell: Callable[[Sequence[Fact]], None]
    """Facts on the way, while the effect goes on."""
    owed: Callable[[], bool]
    """Whether it still is."""


class Driver(Protocol):
    """What a kind of stream is about."""

    kind: str

    def begin(self, stream: str) -> Any:
        """The state before the first event."""
        ...

    def apply(self, state: Any, event: Event) -> Any: ...

    def decide(self, state: Any, now: float) -> Sequence[Fact]: ...

    def outstanding(self, state: Any) -> Sequence[Effect]: ...

    def ended(self, state: Any) -> bool: ...

    def recover(self, stream: str, state: Any) -> None:
        """The stream was found open at the start. Called for all of them before anything is performed."""
        ...

    def perform(self, work: Work) -> Sequence[Fact] | None:
        """Do it. None: it waits, and `work.resume` will be called. What it raises becomes `failure`'s facts."""
        ...

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        """The facts that end what the effect was for."""
        ...

    def record(self, transaction: Transaction, stream: str, state: Any, events: Sequence[Event]) -> None:
        """Bring the resource's document up to these new events; `state` is the one after them."""
        ...

    def closed(self, stream: str, state: Any) -> None:
        """The stream has ended and none of its effects is under way: tidy up, quickly."""
        ...


@dataclass
class _Result:
    key: Key
    facts: Sequence[Fact]
    done: bool = True


@dataclass
class _Stream:
    """One stream in memory. The flags are guarded by the worker's lock, the rest by being the one who runs."""

    name: str
    driver: Driver | None = None
    state: Any = None
    version: int = 0
    ended: bool = False
    running: bool = False
    pending: bool = False
    stale: bool = True
    results: list[_Result] = field(default_factory=list)
    under_way: set[Key] = field(default_factory=set)
    """Effects that are being performed or that wait."""
    closed: bool = False
    busy: set[Key] = field(default_factory=set)
    """Those that are being performed, or are about to be: never twice at once."""
    again: set[Key] = field(default_factory=set)
    """Of these, the ones that were resumed meanwhile."""
    timers: dict[Key, Callable[[], None]] = field(default_factory=dict)
    """What cancels them."""
    retry: float = FIRST_RETRY


class Worker:
    """The engine's loop."""

    def __init__(
        self, *, database: Database, history: History, drivers: Sequence[Driver], now: Callable[[], float]
    ) -> None:
        self._database = database
        self._history = history
        self._drivers = {driver.kind: driver for driver in drivers}
        self._now = now
        self._threads = Threads("engine")
        self._timer = Timer(now)
        self._lock = threading.RLock()
        self._streams: dict[str, _Stream] = {}
        self._waiters: dict[str, list[Callable[[], None]]] = {}
        self._watchers: dict[str, dict[tuple[str, Key], Callable[[], None]]] = {}
        """By the stream that is watched: once each, however often the effect asks."""
        self._mine = threading.local()
        self._closed = False

    def start(self) -> set[str]:
        """Take over every open stream, whatever an earlier process left it in, and begin. Returns their names."""
        now = self._now()
        with self._lock:  # whoever appends from here on is heard, but not before all that is open is known
            self._history.subscribe(self._woken)
            self._history.subscribe(self._tell_watchers)
            with self._database.write() as transaction:
                heads = self._history.claim(transaction, now=now, until=now + LEASE_SECONDS, force=True)
            found = [self._streams.setdefault(head.name, _Stream(head.name, running=True)) for head in heads]
        for stream in found:
            self._catch_up(stream)
            if stream.driver is not None:
                try:
                    stream.driver.recover(stream.name, stream.state)
                except Exception:
                    _log.exception("%s could not be recovered", stream.name)
        for stream in found:
            self._go_on(stream)
        return {stream.name for stream in found}

    def close(self) -> None:
        """Take up nothing more. What runs in the runtimes goes on running; the next start adopts it."""
        with self._lock:
            self._closed = True
        self._timer.close()
        self._threads.close(5.0)

    def when_ended(self, name: str, then: Callable[[], None]) -> None:
        """Call `then` once, as soon as the stream has ended; at once where it has, or is not there."""
        with self._lock:
            self._waiters.setdefault(name, []).append(then)
            stream = self._streams.get(name)
            if stream is not None and not stream.ended:
                return
        with self._database.read() as transaction:
            head = self._history.head(transaction, name)
        if head is None or head.ended:
            self._tell_waiters(name)

    # Scheduling

    def _woken(self, name: str) -> None:
        if getattr(self._mine, "stream", None) == name:
            return  # our own append: the turn knows
        with self._lock:
            stream = self._streams.setdefault(name, _Stream(name))
            stream.stale = True
            self._schedule(stream)

    def _schedule(self, stream: _Stream) -> None:
        with self._lock:
            stream.pending = True
            if not stream.running and not self._closed:
                stream.running = True
                self._threads.submit(lambda: self._run(stream))

    def _go_on(self, stream: _Stream) -> None:
        with self._lock:
            stream.running = False
            self._schedule(stream)

    def _run(self, stream: _Stream) -> None:
        """Turns until there is nothing to do. The last of a turn's effects is done here, without changing threads."""
        while True:
            with self._lock:
                if not stream.pending or self._closed:
                    stream.running = False
                    return
                stream.pending = False
                stale, stream.stale = stream.stale, False
                results, stream.results = stream.results, []
            try:
                todo = self._turn(stream, results, stale)
            except Exception:
                if not self._closed:  # else it is the end of this process that fails it
                    self._put_off(stream, results)
                return
            with self._lock:
                stream.retry = FIRST_RETRY
            if not todo:
                self._close_if_over(stream)
                continue
            for work in todo[:-1]:
                self._threads.submit(partial(self._perform_and_deliver, stream, work))
            with self._lock:
                stream.running = False
                if stream.pending:
                    self._schedule(stream)
            self._perform(stream, todo[-1])
            with self._lock:
                if stream.running:
                    return
                stream.running = True

    def _put_off(self, stream: _Stream, results: list[_Result]) -> None:
        _log.exception("a turn of %s failed; it is tried again in %g s", stream.name, stream.retry)
        with self._lock:
            stream.results = results + stream.results
            stream.stale = True
            wait, stream.retry = stream.retry, min(2 * stream.retry, LAST_RETRY)
        self._timer.at(self._now() + wait, lambda: self._go_on(stream))

    # One turn

    def _turn(self, stream: _Stream, results: list[_Result], stale: bool) -> list[Work]:
        if stale:
            self._catch_up(stream)
        driver = stream.driver
        if driver is None:
            return []
        while not stream.ended:
            try:
                self._append(stream, driver, results)
                break
            except StaleVersion:
                seen = stream.version
                self._catch_up(stream)
                if stream.version == seen and not stream.ended:
                    raise  # not somebody else's append: trying again at once would never end
        with self._lock:
            done = {result.key for result in results if result.done}
            stream.again |= done & stream.busy  # resumed just before it began anew
            stream.under_way -= done - stream.busy
            if stream.ended:
                return []
            todo = []
            for effect in driver.outstanding(stream.state):
                key = (effect.kind, effect.key)
                if key in stream.under_way:
                    continue
                stream.under_way.add(key)
                work = self._work(stream, effect)
                if not self._waits_for_its_time(stream, work):
                    stream.busy.add(key)
                    todo.append(work)
            return todo

    def _waits_for_its_time(self, stream: _Stream, work: Work) -> bool:
        at = work.effect.at
        if at is None or at <= self._now():
            return False
        key = (work.effect.kind, work.effect.key)
        stream.timers[key] = self._timer.at(at, partial(self._expire, stream, work))
        return True

    def _append(self, stream: _Stream, driver: Driver, results: list[_Result]) -> None:
        """What the effects brought and what follows from it, in one transaction."""
        now = self._now()
        state, events = stream.state, list[Event]()

        def add(facts: Sequence[Fact]) -> None:
            nonlocal state
            for kind, data in facts:
                event = Event(kind, data, now)
                events.append(event)
                state = driver.apply(state, event)

        for result in results:
            if any((effect.kind, effect.key) == result.key for effect in driver.outstanding(state)):
                add(result.facts)
        while not driver.ended(state) and (facts := driver.decide(state, now)):
            add(facts)
        if not events:
            return
        ended = driver.ended(state)
        self._mine.stream = stream.name
        try:
            with self._database.write() as transaction:
                version = self._history.append(transaction, stream.name, events, expected=stream.version, ended=ended)
                driver.record(transaction, stream.name, state, events)
        finally:
            self._mine.stream = None
        stream.state, stream.version = state, version
        if ended:
            self._over(stream)

    def _catch_up(self, stream: _Stream) -> None:
        """Fold what others have appended."""
        with self._database.read() as transaction:
            if stream.driver is None or stream.ended:
                head = self._history.head(transaction, stream.name)
                if head is None or head.kind not in self._drivers or head.ended:
                    self._over(stream)
                    return
                with self._lock:
                    stream.ended = stream.closed = False
                    stream.under_way.clear()  # what an ended stream still waited for is owed to nobody
                stream.driver = self._drivers[head.kind]
                stream.state, stream.version = stream.driver.begin(stream.name), 0
            events = self._history.read(transaction, stream.name, stream.version)
        for event in events:
            stream.state = stream.driver.apply(stream.state, event)
            stream.version = event.sequence

    # Effects

    def _work(self, stream: _Stream, effect: Effect) -> Work:
        key = (effect.kind, effect.key)

        def resume() -> None:
            with self._lock:
                if key in stream.busy:
                    stream.again.add(key)
                    return
                stream.results.append(_Result(key, ()))
                self._schedule(stream)

        def tell(facts: Sequence[Fact]) -> None:
            with self._lock:
                stream.results.append(_Result(key, facts, done=False))
                self._schedule(stream)

        def owed() -> bool:
            driver = stream.driver
            return (
                not self._closed
                and not stream.ended
                and driver is not None
                and any((other.kind, other.key) == key for other in driver.outstanding(stream.state))
            )

        def resume_at(time: float) -> None:
            with self._lock:
                if not stream.ended:
                    stream.timers[key] = self._timer.at(time, resume)

        def resume_after(other: str) -> None:
            self.when_ended(other, resume)

        def resume_on(other: str) -> None:
            with self._lock:
                self._watchers.setdefault(other, {})[stream.name, key] = resume

        return Work(
            stream=stream.name,
            effect=effect,
            state=stream.state,
            resume=resume,
            resume_at=resume_at,
            resume_after=resume_after,
            resume_on=resume_on,
            tell=tell,
            owed=owed,
        )

    def _perform(self, stream: _Stream, work: Work) -> None:
        """Do it and leave its result with the stream, whose next turn takes it up."""
        driver = stream.driver
        assert driver is not None
        key = (work.effect.kind, work.effect.key)
        facts: Sequence[Fact] | None = None
        try:
            facts = driver.perform(work)
        except Exception as error:
            if not self._closed:
                _log.exception("%s of %s failed", work.effect.kind, work.stream)
                facts = driver.failure(work, error)
        with self._lock:
            stream.busy.discard(key)
            if facts is None and key in stream.again:
                facts = ()
            stream.again.discard(key)
            if facts is not None:
                stream.results.append(_Result(key, facts))
            stream.pending = stream.pending or facts is not None or stream.ended

    def _perform_and_deliver(self, stream: _Stream, work: Work) -> None:
        self._perform(stream, work)
        with self._lock:
            if stream.pending:
                self._schedule(stream)

    def _expire(self, stream: _Stream, work: Work) -> None:
        key = (work.effect.kind, work.effect.key)
        with self._lock:
            if key in stream.busy:
                return
            if owed := work.owed():
                stream.busy.add(key)
        if owed:
            self._threads.submit(partial(self._perform_and_deliver, stream, work))
        else:
            work.resume()

    # The end of a stream

    def _over(self, stream: _Stream) -> None:
        with self._lock:
            stream.ended = True
            timers, stream.timers = stream.timers, {}
        for cancel in timers.values():
            cancel()
        self._tell_waiters(stream.name)

    def _tell_waiters(self, name: str) -> None:
        with self._lock:
            waiters = self._waiters.pop(name, [])
        for then in waiters:
            then()

    def _tell_watchers(self, name: str) -> None:
        with self._lock:
            watchers = self._watchers.pop(name, {})
        for resume in watchers.values():
            resume()

    def _close_if_over(self, stream: _Stream) -> None:
        """Forget an ended stream once its effects are back. (One of that name that is opened then is read anew.)"""
        with self._lock:
            if not stream.ended or stream.busy or stream.pending:
                return
            first, stream.closed = not stream.closed, True
        if first and stream.driver is not None:
            stream.driver.closed(stream.name, stream.state)
        with self._lock:
            if not stream.pending and self._streams.get(stream.name) is stream:
                del self._streams[stream.name]
