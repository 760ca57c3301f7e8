"""The loop, with a driver of a few lines."""

import threading
import time
from dataclasses import dataclass, replace
from functools import partial

import pytest

from modelwright.engine.worker import Worker
from modelwright.lifecycles.job import Effect
from modelwright.store.database import Database
from modelwright.store.history import Event, History


@dataclass(frozen=True)
class Count:
    """Counts to a goal; each step is an effect. `odd` follows from the state alone."""

    goal: int = 0
    value: int = 0
    stopped: bool = False
    over: bool = False
    odd: int = 0
    at: float | None = None


class Counting:
    kind = "Count"

    def __init__(self):
        self.performed = []
        self.concurrent = 0
        self.most = 0
        self.lock = threading.Lock()
        self.recorded = []
        self.recovered = []
        self.ends = []
        self.act = lambda work: None

    def begin(self, stream):
        return Count()

    def apply(self, state, event):
        match event.kind:
            case "Started":
                return replace(state, goal=event.data["goal"], at=event.data.get("at"))
            case "Counted":
                return replace(state, value=state.value + 1, at=None)
            case "Odd":
                return replace(state, odd=state.odd + 1)
            case "StopRequested":
                return replace(state, stopped=True)
            case "Again":
                return replace(state, goal=state.goal + 1, over=False)
            case "Ended":
                return replace(state, over=True)
        return state

    def decide(self, state, now):
        if state.value % 2 and state.odd <= state.value // 2:
            return [("Odd", {})]
        over = state.stopped or state.value >= state.goal
        return [("Ended", {})] if over and not state.over else []

    def outstanding(self, state):
        if state.stopped or state.over:
            return []
        return [Effect("count", "left", state.at), Effect("wait")]

    def ended(self, state):
        return state.over

    def recover(self, stream, state):
        self.recovered.append(stream)

    def perform(self, work):
        if work.effect.kind == "wait":
            return None
        with self.lock:
            self.concurrent += 1
            self.most = max(self.most, self.concurrent)
        try:
            self.performed.append((work.stream, work.state.value))
            self.act(work)
        finally:
            with self.lock:
                self.concurrent -= 1
        return [("Counted", {})]

    def failure(self, work, error):
        return [("StopRequested", {"Why": str(error)})]

    def record(self, transaction, stream, state, events):
        self.recorded.append((stream, state.value, [event.kind for event in events]))

    def closed(self, stream, state):
        self.ends.append((stream, state.value))


class Bench:
    def __init__(self, path):
        self.database = Database(f"sqlite:///{path}")
        self.history = History("test")
        self.driver = Counting()
        self.worker = Worker(database=self.database, history=self.history, drivers=[self.driver], now=time.time)

    def open(self, name, goal, **data):
        with self.database.write() as transaction:
            event = Event("Started", {"goal": goal, **data}, 0.0)
            self.history.open(transaction, name, "Count", [event], lease_until=0.0)

    def append(self, name, kind):
        with self.database.write() as transaction:
            self.history.append(transaction, name, [Event(kind)])

    def kinds(self, name):
        with self.database.read() as transaction:
            return [event.kind for event in self.history.read(transaction, name)]

    def until(self, condition):
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.002)

    def ended(self, name):
        event = threading.Event()
        self.worker.when_ended(name, event.set)
        assert event.wait(10)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "a.db")
    yield bench
    bench.worker.close()
    bench.database.close()


def test_it_works(bench):
    bench.worker.start()
    bench.open("a", 3)
    bench.ended("a")
    assert bench.kinds("a") == ["Started", "Counted", "Odd", "Counted", "Counted", "Odd", "Ended"]
    assert bench.driver.performed == [("a", 0), ("a", 1), ("a", 2)]
    assert bench.driver.recorded[-1] == ("a", 3, ["Counted", "Odd", "Ended"])
    assert bench.driver.most == 1
    bench.until(lambda: bench.driver.ends == [("a", 3)])
    assert bench.worker._streams == {}


def test_recovery_is_the_same_loop(bench):
    bench.open("a", 2)
    bench.open("b", 1)
    bench.worker.start()
    assert sorted(bench.driver.recovered) == ["a", "b"]
    bench.ended("a")
    bench.ended("b")


def test_many_streams_at_once(bench):
    bench.worker.start()
    gate = threading.Barrier(8, timeout=10)
    bench.driver.act = lambda work: gate.wait()
    for i in range(8):
        bench.open(f"s{i}", 1)
    for i in range(8):
        bench.ended(f"s{i}")
    assert bench.driver.most == 8


def test_what_comes_of_an_effect_that_is_owed_no_more_is_dropped(bench):
    bench.worker.start()
    begun, go = threading.Event(), threading.Event()

    def act(work):
        begun.set()
        assert go.wait(10)
        assert not work.owed()

    bench.driver.act = act
    bench.open("a", 5)
    assert begun.wait(10)
    bench.append("a", "StopRequested")
    bench.ended("a")
    assert bench.driver.ends == [], "it is tidied up when its effects are back"
    go.set()
    bench.until(lambda: bench.driver.ends)
    assert bench.kinds("a") == ["Started", "StopRequested", "Ended"]


def test_a_stale_version_is_read_again(bench):
    bench.worker.start()
    begun, go = threading.Event(), threading.Event()

    def act(work):
        if not begun.is_set():
            begun.set()
            assert go.wait(10)

    bench.driver.act = act
    bench.open("a", 1)
    assert begun.wait(10)
    with bench.database.write() as transaction:  # as another process would: nobody is woken
        bench.history._subscribers.clear()
        bench.history.append(transaction, "a", [Event("Again")])
    go.set()
    bench.ended("a")
    assert bench.kinds("a") == ["Started", "Again", "Counted", "Odd", "Counted", "Ended"]


def test_what_an_effect_raises_becomes_facts_and_is_logged(bench, caplog):
    bench.worker.start()
    bench.driver.act = lambda work: 1 / 0
    bench.open("a", 5)
    bench.ended("a")
    assert bench.kinds("a") == ["Started", "StopRequested", "Ended"]
    assert "ZeroDivisionError" in caplog.text


def test_a_turn_that_fails_is_tried_again_ever_more_rarely(bench, caplog, monkeypatch):
    monkeypatch.setattr("modelwright.engine.worker.FIRST_RETRY", 0.01)
    monkeypatch.setattr("modelwright.engine.worker._Stream.retry", 0.01)
    record, failures = bench.driver.record, iter([1, 2])

    def failing(*args):
        if next(failures, None):
            raise OSError("the disk is full")
        record(*args)

    bench.driver.record = failing
    bench.worker.start()
    bench.open("a", 1)
    bench.ended("a")
    assert bench.kinds("a") == ["Started", "Counted", "Odd", "Ended"]
    assert bench.driver.performed == [("a", 0)], "the effect is not performed again"
    assert caplog.text.count("the disk is full") >= 2


def test_an_effect_waits_for_its_time(bench):
    bench.worker.start()
    at = time.time() + 0.2
    bench.open("a", 1, at=at)
    bench.ended("a")
    assert time.time() >= at


def test_a_stopped_stream_leaves_no_timer(bench):
    bench.worker.start()
    bench.open("a", 1, at=time.time() + 1000)
    bench.until(lambda: bench.worker._timer._actions)
    bench.append("a", "StopRequested")
    bench.until(lambda: not bench.worker._timer._actions)


def test_waiting_for_a_stream_that_has_ended_or_never_was(bench):
    bench.worker.start()
    bench.ended("never")
    bench.open("a", 1)
    bench.ended("a")
    bench.ended("a")


def test_an_effect_waits_for_a_change_of_another_stream(bench):
    """Also one that comes while it is being performed: the change between the look and the wait is not missed."""
    bench.worker.start()
    bench.open("b", 0)
    bench.ended("b")
    looks = []

    class Watching(Counting):
        kind = "Watch"

        def outstanding(self, state):
            return [] if state.over else [Effect("count", "left")]

        def perform(self, work):
            work.resume_on("b")
            looks.append(work.stream)
            if len(looks) == 1:
                bench.append("b", "Odd")
            return [("Counted", {})] if len(looks) == 3 else None

    bench.worker._drivers["Watch"] = Watching()
    with bench.database.write() as transaction:
        bench.history.open(transaction, "a", "Watch", [Event("Started", {"goal": 1})], lease_until=0.0)
    bench.until(lambda: len(looks) == 2 and "b" in bench.worker._watchers)
    bench.append("b", "Odd")
    bench.ended("a")
    assert looks == ["a"] * 3


def test_an_effect_that_is_resumed_before_it_begins_is_performed_once_at_a_time(bench):
    """While it waits for a thread; the other effect of its turn has the turn's own."""
    submit, resumed = bench.worker._threads.submit, []

    def late(action):
        if isinstance(action, partial):
            work = action.args[-1]
            work.resume()
            resumed.append(work)
            submit(lambda: (time.sleep(0.05), action()))
        else:
            submit(action)

    bench.worker._threads.submit = late
    bench.driver.act = lambda work: time.sleep(0.1)
    bench.worker.start()
    bench.open("a", 3)
    bench.ended("a")
    assert resumed
    assert bench.driver.most == 1


def test_an_effect_that_is_resumed_between_two_performances_is_performed_once_at_a_time(bench):
    """While what the first one brought is written down."""
    works = []

    def act(work):
        works.append(work)
        time.sleep(0.1)

    bench.driver.act = act
    bench.driver.record = lambda transaction, stream, state, events: [work.resume() for work in works[-1:]]
    bench.worker.start()
    bench.open("a", 3)
    bench.ended("a")
    assert len(works) == 3
    assert bench.driver.most == 1


def test_an_ended_stream_may_be_opened_again(bench):
    bench.worker.start()
    bench.open("a", 1)
    bench.ended("a")
    with bench.database.write() as transaction:
        bench.history.reopen(transaction, "a", [Event("Again")], lease_until=0.0)
    bench.until(lambda: bench.kinds("a").count("Counted") == 2)


def test_a_namesake_of_a_forgotten_stream_begins_anew(bench):
    bench.worker.start()
    for _ in range(20):
        bench.driver.performed.clear()
        bench.open("a", 2)
        bench.until(lambda: "Ended" in bench.kinds("a"))
        assert bench.driver.performed == [("a", 0), ("a", 1)]
        with bench.database.write() as transaction:
            bench.history.forget(transaction, "a")


def test_after_close_nothing_is_taken_up(bench):
    bench.worker.start()
    bench.worker.close()
    bench.open("a", 1)
    assert bench.kinds("a") == ["Started"]
    assert bench.driver.performed == []
