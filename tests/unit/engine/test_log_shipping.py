"""What a job prints arrives once, whole, and readable."""

import pytest

from modelwright.engine.log_shipping import EVENT_LIMIT, KIND, LogShipper
from modelwright.runtimes.base import Handle
from modelwright.store import logs
from modelwright.store.database import Database
from modelwright.store.resources import find_resource

HANDLE = Handle("here", "job")


class Output:
    """A runtime that knows nothing but what a job has printed."""

    def __init__(self):
        self.data = b""

    def logs(self, handle, offset, limit=1 << 20):
        data = self.data[offset : offset + limit]
        return data, offset + len(data)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    yield database
    database.close()


@pytest.fixture
def output():
    return Output()


@pytest.fixture
def shipper(database, output):
    shipper = LogShipper(database=database, runtime=output, now=lambda: 1_000.0)
    yield shipper
    shipper.close()


def opened(shipper, definitions=()):
    return shipper.open("training-job/a", "group", "stream", HANDLE, definitions, fresh=False)


def lines(database):
    with database.read() as transaction:
        stream = logs.find_stream(transaction, "group", "stream")
        return [] if stream is None else [event.message for event in logs.read_events(transaction, [stream])]


def ship(shipper, database, output, data):
    output.data = data
    shipper.finish(opened(shipper))
    return lines(database)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo", ["one", "two"]),
        (b"\n\nx\n", [" ", " ", "x"]),
        (b" 10%\r 50%\r100%\ndone\n", ["100%", "done"]),
        (b" 10%\r 50%\r", [" 50%"]),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07plain\x1b[2K\n", ["red plain"]),
        (b"bad \xff byte\n", ["bad � byte"]),
        ("한국어\n".encode(), ["한국어"]),
        (b"bell\x07 null\x00 tab\t.\n", ["bell null tab\t."]),
    ],
)
def test_lines(shipper, database, output, printed, expected):
    assert ship(shipper, database, output, printed) == expected


def test_a_line_that_is_too_long_comes_in_pieces(shipper, database, output):
    found = ship(shipper, database, output, ("é" * EVENT_LIMIT + "\nend\n").encode())
    assert "".join(found[:-1]) == "é" * EVENT_LIMIT
    assert all(len(line.encode()) <= EVENT_LIMIT for line in found)
    assert found[-1] == "end"


def test_much_output_arrives_whole(shipper, database, output):
    expected = [f"line {i}" for i in range(200_000)]
    assert ship(shipper, database, output, "\n".join(expected).encode()) == expected


def test_while_it_runs_only_whole_lines_are_shipped(shipper, database, output):
    log = opened(shipper)
    output.data = b"one\ntw"
    shipper._ship(log, last=False)
    assert lines(database) == ["one"]
    output.data = b"one\ntwo\nthr"
    shipper._ship(log, last=False)
    assert lines(database) == ["one", "two"]
    shipper.finish(log)
    assert lines(database) == ["one", "two", "thr"]
    assert shipper.tail(log, 2) == ["two", "thr"]


def test_after_a_restart_it_goes_on_where_it_was(shipper, database, output):
    definitions = [{"Name": "m", "Regex": "m=(.*)"}]
    output.data = b"m=1\nm=2\nrest"
    shipper._ship(opened(shipper, definitions), last=False)
    again = opened(shipper, definitions)
    assert [each["Value"] for each in again.metrics.final()] == [2.0]
    shipper.finish(again)
    assert lines(database) == ["m=1", "m=2", "rest"]


def test_a_job_is_followed_until_it_is_finished(shipper, database, output):
    log = opened(shipper)
    output.data = b"one\n"
    shipper.follow(log)
    wait_for(lambda: lines(database) == ["one"])
    output.data = b"one\ntwo"
    shipper.finish(log)
    assert lines(database) == ["one", "two"]


def test_metrics_see_what_a_progress_bar_has_overwritten(shipper, output):
    log = opened(shipper, [{"Name": "m", "Regex": "m=([0-9]+)"}])
    output.data = b"m=1\rm=2\rdone\n"
    shipper.finish(log)
    assert log.metrics.final()[0]["Value"] == 2.0


def test_a_silent_job_costs_nothing(shipper, database):
    shipper.finish(opened(shipper))
    with database.read() as transaction:
        assert find_resource(transaction, KIND, "training-job/a") is None
        assert logs.find_stream(transaction, "group", "stream") is None


def wait_for(condition):
    import time

    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_noted_is_told_to_who_looks_at_the_log(database, output):
    told = []
    shipper = LogShipper(database=database, runtime=output, now=lambda: 1_000.0, shipped=told.append)
    shipper.note("group", "stream", ["one"])
    shipper.note("group", "stream", [], "notebook-instance/a/1")
    shipper.note("group", "stream", ["two"], "notebook-instance/a/1")
    assert lines(database) == ["one", "two"]
    assert told == ["notebook-instance/a/1"]
    shipper.close()
