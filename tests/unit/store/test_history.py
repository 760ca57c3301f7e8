import pytest

from modelwright.errors import StaleVersion
from modelwright.store.history import Event, History, Stream


@pytest.fixture
def history():
    return History("me")


@pytest.fixture
def opened(database, history):
    with database.write() as transaction:
        history.open(transaction, "job/a", "Job", [Event("Created", {"n": 1}, 5.0)], lease_until=100.0)


def append(database, history, *kinds, **options):
    with database.write() as transaction:
        return history.append(transaction, "job/a", [Event(kind, {}, 6.0) for kind in kinds], **options)


def kinds(database, history, after=0):
    with database.read() as transaction:
        return [event.kind for event in history.read(transaction, "job/a", after)]


def test_it_works(database, history, opened):
    assert append(database, history, "Started", "Ended", ended=True) == 3
    with database.read() as transaction:
        events = history.read(transaction, "job/a")
        head = history.head(transaction, "job/a")
    assert events[0] == Event("Created", {"n": 1}, 5.0, 1)
    assert [(event.kind, event.sequence) for event in events[1:]] == [("Started", 2), ("Ended", 3)]
    assert head == Stream("job/a", "Job", 3, True)
    assert kinds(database, history, after=1) == ["Started", "Ended"]


def test_streams_do_not_mix(database, history, opened):
    with database.write() as transaction:
        history.open(transaction, "job/b", "Job", [Event("Other")], lease_until=100.0)
    assert kinds(database, history) == ["Created"]


def test_of_two_writers_one_is_stale(database, history, opened):
    append(database, history, "First", expected=1)
    with pytest.raises(StaleVersion, match="not at version 1"):
        append(database, history, "Second", expected=1)
    assert kinds(database, history) == ["Created", "First"]


def test_a_command_from_outside_needs_no_version(database, history, opened):
    append(database, history, "First", expected=1)
    assert append(database, history, "StopRequested") == 3


def test_a_stream_that_there_is_not(database, history):
    for expected in (None, 0, 3):
        with pytest.raises(StaleVersion):
            append(database, history, "x", expected=expected)
    with database.read() as transaction:
        assert history.head(transaction, "job/a") is None
        assert history.read(transaction, "job/a") == []


def test_a_name_is_opened_once(database, history, opened):
    with pytest.raises(StaleVersion, match="exists"), database.write() as transaction:
        history.open(transaction, "job/a", "Job", [Event("Again")], lease_until=100.0)
    assert kinds(database, history) == ["Created"]


def test_subscribers_are_woken_after_the_commit_only(database, history, opened):
    woken = []
    history.subscribe(lambda name: woken.append((name, kinds(database, history))))

    def fail():
        with database.write() as transaction:
            history.append(transaction, "job/a", [Event("Lost")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert woken == []
    append(database, history, "Started")
    assert woken == [("job/a", ["Created", "Started"])]


class TestClaim:
    def claim(self, database, history, **options):
        with database.write() as transaction:
            claimed = history.claim(transaction, until=200.0, **{"now": 50.0, **options})
            return [stream.name for stream in claimed]

    def test_what_another_holds_is_its_until_the_lease_ends(self, database, history, opened):
        other = History("other")
        assert self.claim(database, other) == []
        assert self.claim(database, other, now=101.0) == ["job/a"]
        assert self.claim(database, history, now=150.0) == []

    def test_what_is_mine_is_renewed(self, database, history, opened):
        assert self.claim(database, history) == ["job/a"]
        assert self.claim(database, History("other"), now=150.0) == []

    def test_the_only_server_takes_all(self, database, history, opened):
        assert self.claim(database, History("other"), force=True) == ["job/a"]

    def test_ended_streams_are_left(self, database, history, opened):
        append(database, history, "Ended", ended=True)
        assert self.claim(database, history, force=True) == []

    def test_a_reopened_stream_is_driven_again(self, database, history, opened):
        append(database, history, "Ended", ended=True)
        with database.write() as transaction:
            assert History("other").reopen(transaction, "job/a", [Event("Retry")], lease_until=90.0) == 3
        assert kinds(database, history) == ["Created", "Ended", "Retry"]
        assert self.claim(database, history) == [], "it belongs to whom reopened it"
        assert self.claim(database, history, now=91.0) == ["job/a"]


def test_a_forgotten_stream_may_be_opened_again(database, history, opened):
    with database.write() as transaction:
        history.forget(transaction, "job/a")
        history.open(transaction, "job/a", "Job", [Event("Anew")], lease_until=100.0)
    assert kinds(database, history) == ["Anew"]
