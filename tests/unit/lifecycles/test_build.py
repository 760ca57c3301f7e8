"""A build as a state machine: where it can be, what it owes there, and what a stop or a time-out does when."""

import pytest

from modelwright.lifecycles.build import Build, apply, decide, outstanding
from modelwright.lifecycles.build_document import exported, fold, report, submitted

CREATED = ("Created", {"Limit": 600.0, "QueueLimit": 60.0})
WAY = [
    CREATED,
    ("Granted", {}),
    ("Source", {"Version": "c0ffee"}),
    ("Prepared", {}),
    ("Started", {"Handle": {"runtime": "process", "name": "b"}}),
    ("Progress", {"Phases": [{"phaseType": "BUILD", "phaseStatus": "IN_PROGRESS", "startTime": 1005.0}]}),
    ("Exited", {"Code": 0}),
    ("Ended", {"Status": "SUCCEEDED"}),
]


def after(*facts, time=1000.0):
    build = Build()
    for number, (kind, data) in enumerate(facts):
        build = apply(build, kind, data, time + number)
    return build


def owed(build):
    return {(effect.kind, effect.key): effect.at for effect in outstanding(build)}


def test_the_whole_way():
    states = [after(*WAY[:length]) for length in range(1, len(WAY) + 1)]
    assert [build.phase for build in states] == [
        *("Queued", "Provisioning", "Provisioning", "Starting", "Running", "Running", "Exited", "Ended"),
    ]
    assert [sorted(kind for kind, _ in owed(build)) for build in states] == [
        ["limit", "queue"],
        ["limit", "provision"],
        ["limit", "provision"],
        ["start"],
        ["follow", "limit", "watch"],
        ["follow", "limit", "watch"],
        ["collect"],
        [],
    ]
    assert all(decide(build) == [] for build in states)


def test_the_limits_count_from_where_they_begin():
    queued, granted = after(CREATED), after(*WAY[:2])
    assert owed(queued)["limit", "queue"] == 1060.0, "queuedTimeoutInMinutes from the start"
    assert owed(granted)["limit", ""] == 1601.0, "timeoutInMinutes from its turn"
    assert owed(after(*WAY[:5]))["limit", ""] == 1601.0, "and not from when its container runs"


@pytest.mark.parametrize(("fact", "status"), [("StopRequested", "STOPPED"), ("TimedOut", "TIMED_OUT")])
@pytest.mark.parametrize("length", range(1, len(WAY) + 1))
def test_what_ends_it_ends_it_anywhere(fact, status, length):
    build = after(*WAY[:length], (fact, {}))
    if build.phase in ("Queued", "Provisioning"):
        assert decide(build) == [("Ended", {"Status": status})], "nothing may run yet: it ends at once"
        assert outstanding(build) == []
    elif build.phase == "Starting":
        assert owed(build) == {("start", ""): None}, "it may have been started, so that is found out first"
        started = apply(build, *WAY[4], time=1.0)
        assert set(owed(started)) == {("watch", ""), ("follow", ""), ("stop", "")}
    elif build.phase == "Running":
        assert ("stop", "") in owed(build)
        signalled = apply(build, "Signalled", {}, 1.0)
        assert set(owed(signalled)) == {("watch", ""), ("follow", "")}, "one signal is enough"
    else:
        assert decide(build) == []
        assert "stop" not in {kind for kind, _ in owed(build)}


@pytest.mark.parametrize("order", [("StopRequested", "TimedOut"), ("TimedOut", "StopRequested")])
def test_of_a_stop_and_a_time_out_the_first_counts(order):
    build = after(*WAY[:5], *((kind, {}) for kind in order))
    assert build.stop == {"StopRequested": "STOPPED", "TimedOut": "TIMED_OUT"}[order[0]]
    assert ("limit", "") not in owed(build), "what is being stopped has no limit any more"


def test_no_effect_is_owed_after_the_end_whatever_comes_late():
    for kind, data in (("StopRequested", {}), ("TimedOut", {}), ("Progress", {"Phases": []}), ("Signalled", {})):
        build = after(*WAY, (kind, data))
        assert (build.phase, outstanding(build), decide(build)) == ("Ended", [], [])


def document():
    return {
        "phases": submitted(999.0),
        "buildStatus": "IN_PROGRESS",
        "currentPhase": "QUEUED",
        "buildComplete": False,
        "artifacts": {"location": ""},
    }


def folded(*facts):
    found = document()
    for number, (kind, data) in enumerate(facts):
        found = fold(found, kind, data, 1000.0 + number)
    return found


def test_the_document_tells_the_same():
    found = folded(*WAY)
    assert [phase["phaseType"] for phase in found["phases"]] == [
        *("SUBMITTED", "QUEUED", "PROVISIONING", "BUILD", "FINALIZING", "COMPLETED"),
    ]
    assert found["resolvedSourceVersion"] == "c0ffee"
    assert (found["buildStatus"], found["buildComplete"], found["currentPhase"]) == ("SUCCEEDED", True, "COMPLETED")
    assert all(phase["endTime"] >= phase["startTime"] for phase in found["phases"][:-1])


@pytest.mark.parametrize("length", range(1, len(WAY) - 1))
def test_a_stopped_build_closes_its_last_phase(length):
    found = folded(*WAY[:length], ("Ended", {"Status": "STOPPED"}))
    *_, last, completed = found["phases"]
    assert (last["phaseStatus"], completed["phaseType"]) == ("STOPPED", "COMPLETED")
    assert found["buildStatus"] == "STOPPED"


@pytest.mark.parametrize(
    "told",
    [
        None, 7, "x", {}, [None], [{"phaseType": "QUEUED", "startTime": 1}], [{"phaseType": "BUILD"}],
        [{"phaseType": "BUILD", "startTime": "now"}], [{"phaseType": ["BUILD"], "startTime": 1}],
        [{"phaseType": "BUILD", "startTime": float("nan")}], [{"phaseType": "BUILD", "startTime": float("inf")}],
        [{"phaseType": "BUILD", "startTime": -1}], [{"phaseType": "BUILD", "startTime": 10**400}],
    ],
)  # fmt: skip
def test_a_container_may_tell_what_it_likes(told):
    assert report(told) == []


def test_what_a_container_tells_is_cut_to_size():
    contexts = [{"statusCode": "C", "message": "m" * 10_000}] * 50
    phase = {"phaseType": "BUILD", "startTime": 5, "endTime": 1, "phaseStatus": "GREAT", "contexts": contexts}
    (found,) = report([phase])
    assert (found["phaseStatus"], found["endTime"], found["durationInSeconds"]) == ("FAILED", 5.0, 0)
    assert len(found["contexts"]) == 10
    assert len(found["contexts"][0]["message"]) == 4096
    assert len(report([phase] * 100)) == 6
    odd = {**phase, "contexts": [{"statusCode": "a\0b", "message": "\ud800"}]}
    assert report([odd])[0]["contexts"] == [{"statusCode": "a\ufffdb", "message": "?"}]
    assert exported({"A": "\udfff", "B": 1, "C": 2}, ["B", "A"]) == [
        {"name": "B", "value": "1"},
        {"name": "A", "value": "?"},
    ]
