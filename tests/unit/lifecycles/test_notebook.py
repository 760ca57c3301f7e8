"""A notebook instance's states."""

from modelwright.lifecycles.notebook import Notebook, apply, decide, ended, outstanding


def after(*facts):
    state = Notebook()
    for number, fact in enumerate(facts):
        kind, data = fact if isinstance(fact, tuple) else (fact, {})
        state = apply(state, kind, data, float(number))
        for more, details in decide(state):
            state = apply(state, more, details, float(number))
    return state


def owed(state):
    return [effect.kind for effect in outstanding(state)]


STARTED = ("Created", ("Prepared", {"Port": 4711}), ("Started", {"Handle": {"name": "n"}}))
SERVING = (*STARTED, "Ready")


def test_it_starts_serves_and_stops():
    assert (after("Created").status, owed(after("Created"))) == ("Pending", ["prepare"])
    assert owed(after(*STARTED[:2])) == ["start"]
    assert (after(*STARTED).status, owed(after(*STARTED))) == ("Pending", ["watch", "check"])
    assert (after(*SERVING).status, owed(after(*SERVING))) == ("InService", ["watch"])
    stopping = after(*SERVING, "StopRequested")
    assert (stopping.status, owed(stopping)) == ("Stopping", ["watch", "stop"])
    assert owed(after(*SERVING, "StopRequested", "Signalled")) == ["watch"]
    stopped = after(*SERVING, "StopRequested", "Signalled", ("Exited", {"Reason": "signal 15"}))
    assert (stopped.status, owed(stopped), ended(stopped)) == ("Stopped", [], True)


def test_a_start_is_an_attempt_of_its_own():
    again = after(*SERVING, "StopRequested", "Exited", "StartRequested")
    assert (again.attempt, again.status, again.handle, again.stop) == (2, "Pending", {}, False)
    assert [effect.key for effect in outstanding(again)] == ["2"]


def test_how_it_fails():
    refused = after("Created", ("Failed", {"Reason": "no network"}))
    assert (refused.status, ended(refused)) == ("Failed", True)
    crashed = after(*SERVING, ("Exited", {"Reason": "exit status 1"}))
    assert (crashed.status, crashed.reason) == ("Failed", "exit status 1")
    assert after(*SERVING, "Exited").status == "Stopped", "shut down from its own menu"
    deaf = after(*STARTED, ("Sick", {"Reason": "no answer"}))
    assert (deaf.status, owed(deaf)) == ("Stopping", ["watch", "stop"])
    assert after(*STARTED, ("Sick", {"Reason": "no answer"}), "Signalled", "Exited").reason == "no answer"


def test_a_stop_before_it_was_started_ends_it_at_once():
    assert (after("Created", "StopRequested").status, ended(after("Created", "StopRequested"))) == ("Stopped", True)
    midway = after(*STARTED[:2], "StopRequested")
    assert owed(midway) == ["start"], "it may run already: that is found out first"


def test_it_goes():
    going = after(*SERVING, "StopRequested", "Exited", "DeleteRequested")
    assert (going.status, owed(going), ended(going)) == ("Deleting", ["remove"], False)
    assert ended(after(*SERVING, "StopRequested", "Exited", "DeleteRequested", "Removed"))
