"""A job's state machine and what it makes of the document."""

from itertools import product

import pytest

from modelwright.lifecycles import job as lifecycle
from modelwright.lifecycles.job import Effect, Job, algorithm_error, apply, decide, outstanding, verdict
from modelwright.lifecycles.job_document import processing, training

PREPARED = ("Prepared", {"Began": 5.0, "MaxRuntime": 60, "Continuous": False})
STARTED = ("Started", {"Handle": {"runtime": "process", "name": "a"}, "Began": 5.0, "Inputs": True})
EXITED = ("Exited", {"Code": 0, "Ended": 20.0})
ENDED = ("Ended", {"Status": "Completed"})
LIFE = [("Created", {}), PREPARED, STARTED, EXITED, ENDED]


def fold(*facts, start=None):
    state = start or Job()
    for time, (kind, data) in enumerate(facts):
        state = apply(state, kind, data, float(time * 10))
    return state


def settle(state):
    """Append what follows until nothing does; the facts."""
    found = []
    for _ in range(10):
        facts = decide(state)
        if not facts:
            return state, found
        found += facts
        state = fold(*facts, start=state)
    pytest.fail("it never settles")


@pytest.mark.parametrize(
    ("facts", "phase", "owed"),
    [
        (LIFE[:1], "Waiting", [Effect("prepare")]),
        (LIFE[:2], "Starting", [Effect("start")]),
        (LIFE[:3], "Running", [Effect("watch"), Effect("limit", at=80.0)]),
        (LIFE[:4], "Exited", [Effect("collect")]),
        (LIFE[:5], "Ended", []),
    ],
)
def test_each_phase_owes_one_thing(facts, phase, owed):
    state = fold(*facts)
    assert state.phase == phase
    assert decide(state) == []
    assert outstanding(state) == owed


def test_what_is_uploaded_while_it_runs_is_owed_while_it_runs():
    prepared = ("Prepared", {"Began": 0.0, "Continuous": True})
    assert outstanding(fold(prepared, STARTED)) == [Effect("watch"), Effect("sync")]
    assert outstanding(fold(prepared, STARTED, EXITED)) == [Effect("collect")]


def test_a_stop_before_the_start_ends_it_at_once():
    state, facts = settle(fold(("Created", {}), ("StopRequested", {})))
    assert facts == [("Stopping", {"Why": "Stopped"}), ("Ended", {"Status": "Stopped", "Why": "Stopped"})]
    assert outstanding(state) == []


def test_a_stop_while_it_starts_waits_for_the_start():
    state, facts = settle(fold(PREPARED, ("StopRequested", {})))
    assert [kind for kind, _ in facts] == ["Stopping"]
    assert outstanding(state) == [Effect("start")]
    state = fold(STARTED, start=state)
    assert outstanding(state) == [Effect("watch"), Effect("stop")]
    assert outstanding(fold(("Signalled", {}), start=state)) == [Effect("watch")]


def test_the_time_limit_stops_it_and_the_first_reason_counts():
    state, facts = settle(fold(PREPARED, STARTED, ("TimedOut", {})))
    assert facts == [("Stopping", {"Why": "MaxRuntimeExceeded"})]
    assert outstanding(state) == [Effect("watch"), Effect("stop")]
    assert fold(("StopRequested", {}), start=state).stop == "MaxRuntimeExceeded"
    assert verdict(fold(EXITED, start=state), "", []).why == "MaxRuntimeExceeded"


@pytest.mark.parametrize(("moment", "stop"), list(product(range(1, 5), ["StopRequested", "TimedOut"])))
def test_whenever_the_stop_comes_it_settles_and_ends(moment, stop):
    state = fold(*LIFE[:moment], (stop, {}), *LIFE[moment:4])
    state, _ = settle(state)
    if state.phase != "Ended":
        assert outstanding(state) == [Effect("collect")]


@pytest.mark.parametrize(
    ("exited", "expected"),
    [
        ({"Code": 0}, ("Completed", "")),
        ({"Code": 7}, ("Failed", "AlgorithmError: last line, exit code: 7")),
        ({"Lost": "the machine went down"}, ("Failed", "InternalServerError: the machine went down")),
    ],
)
def test_verdicts(exited, expected):
    found = verdict(fold(PREPARED, STARTED, ("Exited", exited)), "", ["last line"])
    assert (found.status, found.reason) == expected


def test_the_failure_file_is_the_reason_by_its_beginning_and_a_log_by_its_end():
    long = "begin" + "x" * 2000 + "end"
    by_file, by_log = algorithm_error({"Code": 1}, long, "log"), algorithm_error({"Code": 1}, "", long)
    assert len(by_file) == len(by_log) == lifecycle.REASON_LIMIT
    assert by_file.startswith("AlgorithmError: beginx")
    assert by_log.endswith("xend, exit code: 1")
    assert algorithm_error({"Code": 1}, "", "") == "AlgorithmError: , exit code: 1"
    assert "OutOfMemoryError" in algorithm_error({"Code": 137, "OutOfMemory": True}, "", "")


def document():
    first = {"Status": "Starting", "StartTime": 0.0, "StatusMessage": "Starting the training job"}
    return {
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "SecondaryStatusTransitions": [first],
        "CreationTime": 0.0,
    }


def told(fold_document, start, *facts):
    for time, (kind, data) in enumerate(facts):
        start = fold_document(start, kind, data, float(time * 10))
    return start


def statuses(found):
    return [transition["Status"] for transition in found["SecondaryStatusTransitions"]]


def test_a_training_jobs_document_tells_every_status_with_its_times():
    begun = document()
    model = {"S3ModelArtifacts": "s3://b/model.tar.gz"}
    found = told(training, begun, *LIFE[:4], ("Ended", {"Status": "Completed", "ModelArtifacts": model}))
    assert statuses(found) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    times = [(each["StartTime"], each["EndTime"]) for each in found["SecondaryStatusTransitions"]]
    assert times == [(0.0, 5.0), (5.0, 20.0), (20.0, 30.0), (30.0, 40.0), (40.0, 40.0)]
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Completed"
    assert (found["TrainingStartTime"], found["TrainingEndTime"]) == (5.0, 40.0)
    assert found["TrainingTimeInSeconds"] == found["BillableTimeInSeconds"] == 35
    assert found["ModelArtifacts"] == model
    assert begun == document()


def test_waiting_preparing_and_stopping_are_told():
    message = "Waiting for 2 vCPU"
    found = told(training, document(), ("Queued", {"Message": message}))
    assert (found["SecondaryStatus"], found["SecondaryStatusTransitions"][-1]["StatusMessage"]) == ("Pending", message)
    found = told(training, document(), ("Preparing", {"Message": "one"}), ("Preparing", {"Message": "two"}))
    assert statuses(found) == ["Starting"]
    assert found["SecondaryStatusTransitions"][0]["StatusMessage"] == "two"
    found = told(training, document(), ("Stopping", {}), ("Ended", {"Status": "Stopped", "Why": "Stopped"}))
    assert statuses(found) == ["Starting", "Stopping", "Stopped"]
    assert "TrainingStartTime" not in found


def test_the_time_limit_is_a_status_of_its_own():
    ended = ("Ended", {"Status": "Stopped", "Why": "MaxRuntimeExceeded"})
    found = told(training, document(), PREPARED, STARTED, ("Stopping", {}), EXITED, ended)
    assert found["TrainingJobStatus"] == "Stopped"
    assert found["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_a_lost_job_uploads_nothing():
    lost = ("Exited", {"Lost": "gone"})
    found = told(training, document(), PREPARED, STARTED, lost, ("Ended", {"Status": "Failed", "FailureReason": "why"}))
    assert statuses(found) == ["Starting", "Downloading", "Training", "Failed"]
    assert found["FailureReason"] == "why"


def test_a_processing_jobs_document():
    begun = {"ProcessingJobStatus": "InProgress", "CreationTime": 0.0}
    ended = ("Ended", {"Status": "Failed", "FailureReason": "why", "ExitMessage": "bye"})
    found = told(processing, begun, *LIFE[:4], ended)
    assert found == {
        "ProcessingJobStatus": "Failed",
        "CreationTime": 0.0,
        "LastModifiedTime": 40.0,
        "ProcessingStartTime": 20.0,
        "ProcessingEndTime": 40.0,
        "FailureReason": "why",
        "ExitMessage": "bye",
    }
    never = told(processing, begun, ("Stopping", {}), ("Ended", {"Status": "Stopped", "Why": "Stopped"}))
    assert never["ProcessingJobStatus"] == "Stopped"
    assert "ProcessingEndTime" not in never
