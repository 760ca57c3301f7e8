"""An endpoint's state machine: what it promises whatever happens, and what it makes of the document."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.lifecycles import endpoint_document
from modelwright.lifecycles.endpoint import ATTEMPTS, Endpoint, apply, decide, outstanding
from modelwright.lifecycles.endpoint_routes import routes


def fleet(config="c", **variants):
    made = [
        {"Name": name, "Model": "m", "InstanceType": "ml.m5.large", "Count": count, "Weight": 1.0, "Startup": 480,
         "Container": {"Image": "i"}}
        for name, count in (variants or {"a": 1}).items()
    ]  # fmt: skip
    return {"Config": config, "Variants": made}


class World:
    """An endpoint, and effects that come out as they are told."""

    def __init__(self, **variants):
        self.time = 100.0
        self.state = Endpoint("endpoint/e/1")
        self.facts = []
        self.tell("Created", Name="e", Arn="arn", Fleet=fleet(**variants))

    def tell(self, kind, **data):
        self.add(kind, data)
        while facts := decide(self.state):
            for fact in facts:
                self.add(*fact)

    def add(self, kind, data):
        self.time += 1
        self.facts.append((kind, data, self.time))
        self.state = apply(self.state, kind, data, self.time)

    def owed(self):
        """(kind, instance id) in order."""
        return [(effect.kind, effect.key.partition("/")[0]) for effect in outstanding(self.state)]

    def do(self, kind, key, ending="ok"):
        """Let an owed effect come to its end."""
        fact = {
            "launch": ("Prepared", {"Port": 1000 + len(self.facts), "Container": key, "Images": {}}),
            "start": ("Started", {"Handle": {"runtime": "r", "name": key}}),
            "check": ("Healthy", {}),
            "drain": ("Drained", {}),
            "stop": ("Signalled", {}),
            "watch": ("Exited", {"Reason": "it ended", "Log": "l"}),
        }[kind]
        if ending != "ok" and kind in ("launch", "start"):
            fact = ("Refused", {"Reason": "it is bad", "Hopeless": ending == "hopeless"})
        if ending != "ok" and kind == "check":
            fact = ("Sick", {"Reason": "no answer"})
        self.tell(fact[0], Instance=key, **fact[1])

    def run(self, *but):
        """Until nothing is owed but watching and checking what is healthy (and what `but` names)."""
        for _ in range(1000):
            todo = [
                (kind, key)
                for kind, key in self.owed()
                if kind not in but
                and not (kind == "check" and self.state.instances[key].healthy)
                and not (kind == "watch" and not self.state.instances[key].signalled)
            ]
            if not todo:
                return self
            self.do(*todo[0])
        raise AssertionError("it never settles")


def served(world):
    return {variant.name: len(variant.replicas) for variant in routes(world.state).variants}


def test_it_comes_into_service_when_all_are_healthy():
    world = World(a=2, b=1).run("check")
    assert (world.state.status, served(world)) == ("Creating", {})
    world.run()
    assert (world.state.status, served(world)) == ("InService", {"a": 2, "b": 1})


def test_an_update_serves_with_the_old_fleet_until_all_of_the_new_one_is_healthy():
    world = World(a=2).run()
    world.tell("UpdateRequested", Fleet=fleet("new", a=3))
    world.run("check")
    assert (world.state.status, served(world), world.state.live.config) == ("Updating", {"a": 2}, "c")
    while world.state.live.config == "c":
        assert served(world) == {"a": 2}
        world.do(*next(each for each in world.owed() if each[0] == "check" and is_coming(world, each[1])))
    assert (world.state.status, served(world)) == ("InService", {"a": 3})
    assert [kind for kind, key in world.owed() if kind == "drain"] == ["drain"] * 2
    world.run()
    assert len(world.state.instances) == 3


def is_coming(world, key):
    one = world.state.instances[key]
    return world.state.coming is not None and one.fleet == world.state.coming.number and not one.healthy


def test_an_instance_is_stopped_only_when_it_is_drained():
    world = World().run()
    world.tell("DeleteRequested")
    assert served(world) == {}
    assert [kind for kind, _ in world.owed()] == ["watch", "drain"]
    world.do("drain", world.owed()[0][1])
    assert [kind for kind, _ in world.owed()] == ["watch", "stop"]
    world.run()
    assert world.state.status == "Gone"


def test_one_that_is_never_healthy_fails_the_endpoint_after_some_attempts():
    world = World()
    for attempt in range(ATTEMPTS):
        assert world.state.status == "Creating", attempt
        world.run("check")
        world.do("watch", world.owed()[0][1])
    assert (world.state.status, world.state.failure) == ("Failed", "it ended")
    assert world.owed() == []


def test_pauses_between_attempts_grow_and_a_steady_one_begins_again():
    world = World().run()
    pauses = []
    for _ in range(9):
        key = next(iter(world.state.instances))
        world.do("watch", key)
        pauses.append(outstanding(world.state)[0].at - world.time)
        world.run()
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    world.time += 100
    world.do("watch", next(iter(world.state.instances)))
    assert outstanding(world.state)[0].at - world.time == 1
    assert world.state.status == "InService"


@pytest.mark.parametrize("ending", ["hopeless", "sick"])
def test_a_bad_update_is_taken_back(ending):
    world = World(a=2).run()
    world.tell("UpdateRequested", Fleet=fleet("new", a=1))
    new = next(one for one in world.state.instances.values() if one.fleet == 2)
    if ending == "hopeless":
        world.do("launch", new.id, "hopeless")
    else:
        world.run("check")
        world.do("check", new.id, "sick")
        world.do("stop", new.id)
        world.do("watch", new.id)
    world.run()
    assert (world.state.status, world.state.live.config, served(world)) == ("InService", "c", {"a": 2})
    assert world.state.failure
    world.tell("UpdateRequested", Fleet=fleet("newer", a=1))
    world.run()
    assert (world.state.live.config, world.state.failure) == ("newer", "")


def test_capacity_up_and_down_and_back():
    world = World(a=1).run()
    first = next(iter(world.state.instances))
    world.tell("CapacityRequested", Variants={"a": {"Count": 3, "Weight": 2.0}})
    assert world.state.status == "Updating"
    world.run()
    assert (world.state.status, served(world)) == ("InService", {"a": 3})
    world.tell("CapacityRequested", Variants={"a": {"Count": 1}})
    assert served(world) == {"a": 1}
    world.run()
    assert list(world.state.instances) == [first]
    world.tell("CapacityRequested", Variants={"a": {"Count": 2}})
    new = next(key for key in world.state.instances if key != first)
    world.do("launch", new, "hopeless")
    world.run()
    assert (world.state.status, world.state.live.variant("a").count) == ("InService", 1)
    assert world.state.failure == "it is bad"


def test_the_document():
    world = World(a=2).run()
    found = endpoint_document.describe({"EndpointName": "e"}, world.state, 5.0)
    counts = {"CurrentInstanceCount": 2, "DesiredInstanceCount": 2, "CurrentWeight": 1.0, "DesiredWeight": 1.0}
    assert found == {
        "EndpointName": "e",
        "EndpointConfigName": "c",
        "EndpointStatus": "InService",
        "LastModifiedTime": 5.0,
        "ProductionVariants": [{"VariantName": "a", **counts}],
    }
    world.tell("UpdateRequested", Fleet=fleet("new", a=1))
    found = endpoint_document.describe(found, world.state, 6.0)
    assert found["PendingDeploymentSummary"]["EndpointConfigName"] == "new"
    assert found["EndpointConfigName"] == "c"
    world.run()
    found = endpoint_document.describe(found, world.state, 7.0)
    assert "PendingDeploymentSummary" not in found
    assert found["EndpointConfigName"] == "new"


REQUESTS = st.sampled_from(["update", "capacity", "delete", "effect", "effect", "effect", "effect", "effect"])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_happens(data):
    """In service something serves; what serves is never stopped; the end is always reached; a fold is a fold."""
    world = World(a=data.draw(st.integers(1, 2)), b=1)
    for number in range(data.draw(st.integers(0, 60))):
        request, before = data.draw(REQUESTS), world.state
        if request == "effect" and (owed := world.owed()):
            world.do(
                *data.draw(st.sampled_from(owed)), data.draw(st.sampled_from(["ok", "ok", "ok", "bad", "hopeless"]))
            )
        elif before.status == "InService" and request == "update":
            world.tell("UpdateRequested", Fleet=fleet(f"c{number}", a=data.draw(st.integers(1, 3)), b=1))
        elif before.status == "InService" and request == "capacity":
            world.tell("CapacityRequested", Variants={"a": {"Count": data.draw(st.integers(1, 3))}})
        elif request == "delete" and data.draw(st.integers(0, 9)) == 0:
            world.tell("DeleteRequested")
        state = world.state
        if state.status not in ("Creating", "Failed", "Deleting", "Gone"):
            assert state.live is not None
        serving = {replica.id for variant in routes(state).variants for replica in variant.replicas}
        stopping = {key for kind, key in world.owed() if kind in ("stop", "drain")}
        assert not serving & stopping
        if request == "update" and before.status == "InService":
            assert serving == {replica.id for variant in routes(before).variants for replica in variant.replicas}
    world.run()
    assert world.state.status in ("InService", "Failed", "Gone")
    again = Endpoint("endpoint/e/1")
    for kind, facts, time in world.facts:
        again = apply(again, kind, facts, time)
    assert again == world.state
    if world.state.status != "Gone":
        world.tell("DeleteRequested")
        world.run()
    assert (world.state.status, world.owed()) == ("Gone", [])
