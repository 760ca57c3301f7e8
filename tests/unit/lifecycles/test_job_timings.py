"""Where a job's time went."""

from modelwright.lifecycles.job_timings import stages
from modelwright.store.history import Event


def told(*facts):
    return [(each.name, each.start, each.end) for each in stages(Event(kind, data, time) for kind, time, data in facts)]


CREATED = ("Created", 10.0, {})
PREPARED = ("Prepared", 25.0, {"Began": 20.0})
STARTED = ("Started", 26.0, {"Began": 20.0})
EXITED = ("Exited", 40.5, {"Code": 0, "Ended": 40.0})


def test_a_job_that_waited_for_everything():
    assert told(
        CREATED, ("Preparing", 12.0, {}), ("Preparing", 13.0, {}), ("Queued", 15.0, {}), PREPARED, STARTED, EXITED,
        ("Ended", 42.0, {}),
    ) == [
        ("Image", 10.0, 15.0), ("Queued", 15.0, 20.0), ("Inputs", 20.0, 26.0), ("Run", 26.0, 40.0),
        ("Outputs", 40.0, 42.0),
    ]  # fmt: skip


def test_one_that_waited_for_nothing():
    started = [("Created", 10.0, {}), ("Prepared", 10.0, {"Began": 10.0}), ("Started", 10.0, {})]
    assert told(*started) == [("Run", 10.0, None)]
    assert told(*started, ("Exited", 12.0, {"Ended": 12.0}), ("Ended", 12.0, {})) == [("Run", 10.0, 12.0)]


def test_one_that_is_under_way():
    assert told(CREATED) == [("Queued", 10.0, None)]
    assert told(CREATED, ("Preparing", 12.0, {})) == [("Image", 10.0, None)]
    assert told(CREATED, PREPARED) == [("Queued", 10.0, 20.0), ("Inputs", 20.0, None)]


def test_ends_of_other_kinds():
    assert told(CREATED, ("StopRequested", 11.0, {}), ("Ended", 12.0, {})) == [("Queued", 10.0, 12.0)]
    lost = told(CREATED, PREPARED, STARTED, ("Exited", 50.0, {"Lost": "power"}), ("Ended", 50.0, {}))
    assert lost[-1] == ("Run", 26.0, 50.0)
    assert told(("Started", 1.0, {}), ("Ended", 2.0, {})) == []
    assert told() == []
