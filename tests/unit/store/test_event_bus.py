import json

import pytest

from modelwright.store.event_bus import RULE, EventBus
from modelwright.store.history import History
from modelwright.store.resources import insert_resource, replace_resource


@pytest.fixture
def history():
    return History("test")


@pytest.fixture
def bus(history):
    return EventBus(history, "111122223333")


def rule(transaction, bus, name, pattern, *targets, state="ENABLED", of="default"):
    document = {
        "Name": name,
        "Arn": f"arn:rule/{name}",
        "EventBusName": of,
        "EventPattern": json.dumps(pattern),
        "State": state,
        "_Targets": [{"Id": target, "Arn": f"arn:{target}"} for target in targets],
    }
    insert_resource(transaction, RULE, f"{of}/{name}", document, created=1.0, status=state)
    bus.changed(transaction)


def emit(database, events, **more):
    about = {"source": "aws.sagemaker", "detail_type": "T", "detail": {"x": 1}, "region": "r", "time": 5.0, **more}
    with database.write() as transaction:
        return events.emit(transaction, **about)


def deliveries(database, history):
    with database.write() as transaction:
        heads = history.claim(transaction, now=0, until=0, force=True)
        found = [(head, history.read(transaction, head.name)) for head in heads]
    assert all(head.kind == "Delivery" and head.name.startswith("delivery/") for head, _ in found)
    return [event.data for _, events in found for event in events]


def test_it_works(database, history, bus):
    with database.write() as transaction:
        rule(transaction, bus, "watch", {"source": ["aws.sagemaker"]}, "a", "b")
        rule(transaction, bus, "other", {"source": ["aws.s3"]}, "c")
    identity = emit(database, bus, resources=["arn:model"])
    found = deliveries(database, history)
    assert {each["Target"]["Id"] for each in found} == {"a", "b"}
    assert found[0]["RuleName"] == "watch"
    assert found[0]["Event"] == {
        "version": "0",
        "id": identity,
        "detail-type": "T",
        "source": "aws.sagemaker",
        "account": "111122223333",
        "time": "1970-01-01T00:00:05Z",
        "region": "r",
        "resources": ["arn:model"],
        "detail": {"x": 1},
    }


def test_what_no_rule_wants_leaves_nothing(database, history, bus):
    with database.write() as transaction:
        rule(transaction, bus, "by-detail", {"detail": {"x": [2]}}, "a")
        rule(transaction, bus, "without-targets", {"source": ["aws.sagemaker"]})
        rule(transaction, bus, "disabled", {"source": ["aws.sagemaker"]}, "b", state="DISABLED")
        rule(transaction, bus, "of-another-bus", {"source": ["aws.sagemaker"]}, "c", of="mine")
    emit(database, bus)
    assert deliveries(database, history) == []
    emit(database, bus, bus="mine")
    assert [each["Target"]["Id"] for each in deliveries(database, history)] == ["c"]


def test_a_transaction_that_fails_sends_nothing(database, history, bus):
    with database.write() as transaction:
        rule(transaction, bus, "watch", {"source": ["aws.sagemaker"]}, "a")

    def fail():
        with database.write() as transaction:
            bus.emit(transaction, source="aws.sagemaker", detail_type="T", detail={}, region="r", time=1.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert deliveries(database, history) == []


def test_a_changed_rule_counts_from_its_commit_on(database, history, bus):
    emit(database, bus)  # there is no rule: that is remembered
    with database.write() as transaction:
        rule(transaction, bus, "watch", {"detail": {"x": [2]}}, "a")
    emit(database, bus)
    assert deliveries(database, history) == []
    with database.write() as transaction:
        changed = {
            "Name": "watch", "Arn": "arn", "EventBusName": "default", "EventPattern": '{"detail": {"x": [1]}}',
            "_Targets": [{"Id": "a", "Arn": "arn:a"}],
        }  # fmt: skip
        replace_resource(transaction, RULE, "default/watch", changed, modified=2.0)
        bus.changed(transaction)
    emit(database, bus)
    assert len(deliveries(database, history)) == 1


def test_without_rules_the_database_is_not_asked_again(database, history, bus):
    emit(database, bus)

    class Untouched:
        def __getattr__(self, name):
            raise AssertionError(f"the database was asked: {name}")

    bus.emit(Untouched(), source="aws.sagemaker", detail_type="T", detail={}, region="r", time=1.0)
