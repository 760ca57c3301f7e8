from hypothesis import given
from hypothesis import strategies as st

from modelwright.lifecycles.delivery import FIRST_PAUSE, LAST_PAUSE, Delivery, apply, decide, outstanding, pause


def created(**target):
    data = {"Target": {"Id": "1", "Arn": "a", **target}, "RuleName": "r", "RuleArn": "ra", "Event": {"id": "1"}}
    return apply(Delivery("delivery/1"), "Created", data, 100.0)


def failed(delivery, time=100.0, retryable=True, after=0.0):
    data = {"Code": "THROTTLING", "Message": "m", "Retryable": retryable, "After": after}
    return apply(delivery, "Failed", data, time)


def test_it_works():
    delivery = created()
    (effect,) = outstanding(delivery)
    assert (effect.kind, effect.key, effect.at) == ("deliver", "0", None)
    assert apply(delivery, "Delivered", {}, 101.0).phase == "Ended"


def test_a_failure_is_tried_again_later_and_later():
    first = failed(created())
    (effect,) = outstanding(first)
    assert effect.key == "1"
    assert 100.0 + FIRST_PAUSE / 2 <= effect.at <= 100.0 + FIRST_PAUSE
    assert decide(first) == []
    second = failed(first, 200.0, after=50.0)
    assert second.retry_at == 250.0  # the target has said so


def test_what_will_not_mend_is_given_up_at_once():
    given_up = failed(created(), retryable=False)
    assert outstanding(given_up) == []
    assert decide(given_up) == [("Buried", {})]
    assert given_up.exhausted == ""
    assert decide(apply(given_up, "Buried", {}, 101.0)) == []


def test_the_retry_policy_ends_it():
    once = created(RetryPolicy={"MaximumRetryAttempts": 0})
    assert failed(once).exhausted == "MaximumRetryAttempts"
    short = created(RetryPolicy={"MaximumEventAgeInSeconds": 60})
    assert failed(short).phase == "Pending"
    assert failed(short, 159.8).exhausted == "MaximumEventAgeInSeconds"


def test_a_delivery_ends_after_185_retries_by_itself():
    delivery, attempts = created(), 0
    while delivery.phase == "Pending":
        delivery, attempts = failed(delivery, 100.0), attempts + 1
    assert attempts == 186


@given(st.text(max_size=20), st.integers(1, 500))
def test_pauses_have_bounds_and_are_always_the_same(stream, attempts):
    assert FIRST_PAUSE / 2 <= pause(stream, attempts) <= LAST_PAUSE
    assert pause(stream, attempts) == pause(stream, attempts)


def test_the_token_is_the_streams():
    assert created().token == failed(created()).token
    assert Delivery("delivery/2").token != Delivery("delivery/1").token
    assert created().token == "1"  # the id in the stream's name, which is a UUID
