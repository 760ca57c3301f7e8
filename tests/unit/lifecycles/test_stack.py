"""A stack's state machine: whatever fails, in whatever order, it ends with what its status says."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.lifecycles.stack import Stack, apply, decide, outstanding

KIND = "T"


def plan(**resources):
    """`a=(identity, content, *needs)`: another identity is a replacement, another content a change in place."""
    return {
        "Resources": {
            name: {
                "Type": KIND,
                "Properties": {"identity": identity, "content": content},
                "After": sorted(each for each in needs if each in resources),
                "DeletionPolicy": "Delete",
                "UpdateReplacePolicy": "Delete",
            }
            for name, (identity, content, *needs) in resources.items()
        },
        "Outputs": {},
    }


class World:
    """The resources that there are, and effects that come out as chance has it."""

    def __init__(self, seed, failing=0.0, undoing=0.0):
        self.chance = random.Random(seed)
        self.failing, self.undoing = failing, undoing
        self.there, self.needs = {}, {}
        self.state, self.facts, self.time = Stack(), [], 0.0

    def add(self, kind, **data):
        self.time += 1
        self.facts.append((kind, data, self.time))
        self.state = apply(self.state, kind, data, self.time)

    def tell(self, kind, **data):
        self.add(kind, **data)
        while facts := decide(self.state):
            for name, data in facts:
                self.add(name, **data)

    def create(self, wanted, on_failure="ROLLBACK"):
        self.tell("CreateRequested", StackId="id", Name="s", Region="r", Plan=wanted, OnFailure=on_failure)

    def step(self):
        """One of the effects that are owed, whichever."""
        effect = self.chance.choice(outstanding(self.state))
        if effect.kind == "outputs":
            if self.chance.random() < self.failing:
                self.tell("OutputsFailed", Reason="taken")
            else:
                self.tell("Outputs", Outputs=[])
            return
        task = self.state.tasks[effect.key]
        getattr(self, effect.kind)(task)

    def prepare(self, task):
        wanted = self.state.plan["Resources"][task.logical]["Properties"]
        old = self.state.items.get(task.logical)
        name = f"{task.logical}-{wanted['identity']}"
        same = old is not None and old.name == name
        action = "Create" if not same else "Keep" if old.properties == wanted else "Update"
        if self.chance.random() < self.failing / 2:
            self.tell("Failed", Task=task.key, Status="CREATE_FAILED", Reason="no", Type=KIND)
            return
        self.tell("Prepared", Task=task.key, Action=action, Name=name, Properties=wanted, Type=KIND)

    def act(self, task):
        item = task.item
        missing = [name for name in item.after if self.state.items[name].name not in self.there]
        assert not missing, f"{task.logical} is made before {missing}"
        if self.chance.random() < self.failing:
            if self.chance.random() < 0.5:
                self.make(item)
            self.tell("Failed", Task=task.key, Status="CREATE_FAILED", Reason="no", Type=KIND)
            return
        self.make(item)
        self.tell("Made", Task=task.key, Physical=item.name, Values={"Ref": item.name}, Type=KIND, Status="X_COMPLETE")

    def make(self, item):
        self.there[item.name] = item.properties["content"]
        self.needs[item.name] = {self.state.items[each].name for each in item.after}

    def cancel(self, task):
        """It may have been made nevertheless."""
        if self.chance.random() < 0.5:
            self.make(task.item)
        self.tell("Failed", Task=task.key, Status="CREATE_FAILED", Reason="cancelled", Type=KIND)

    def delete(self, task):
        name = task.item.name
        if self.chance.random() < self.undoing:
            self.tell("Failed", Task=task.key, Status="DELETE_FAILED", Reason="in use", Type=KIND)
            return
        self.there.pop(name, None)
        self.tell("Gone", Task=task.key, Status="DELETE_COMPLETE", Type=KIND, Physical=name)

    def restore(self, task):
        if self.chance.random() < self.undoing:
            self.tell("Failed", Task=task.key, Status="UPDATE_FAILED", Reason="no", Type=KIND)
            return
        self.there[task.item.name] = task.item.properties["content"]
        name = task.item.name
        self.tell("Made", Task=task.key, Physical=name, Values={"Ref": name}, Type=KIND, Status="UPDATE_COMPLETE")

    def settle(self, meanwhile=None, at=0):
        """To the end; `meanwhile` is told after so many steps, unless it has ended by then."""
        for count in range(2_000):
            if not self.state.status.endswith("IN_PROGRESS"):
                assert outstanding(self.state) == []
                return self.state.status
            if meanwhile is not None and count == at:
                meanwhile()
                continue
            self.step()
        raise AssertionError("it never ends")

    def expected(self, wanted):
        return {
            f"{name}-{one['Properties']['identity']}": one["Properties"]["content"]
            for name, one in wanted["Resources"].items()
        }

    def replayed(self):
        state = Stack()
        for kind, data, time in self.facts:
            state = apply(state, kind, data, time)
        return state


NAMES = "abcde"


@st.composite
def plans(draw):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    number = st.integers(0, 1)
    return plan(
        **{
            name: (draw(number), draw(number), *draw(st.lists(st.sampled_from(NAMES[:i] or "a"), max_size=2)))
            if (i := NAMES.index(name))
            else (draw(number), draw(number))
            for name in names
        }
    )


@settings(deadline=None)
@given(plans(), plans(), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.4]))
def test_it_ends_with_what_its_status_says(first, second, seed, failing):
    world = World(seed, failing)
    world.create(first)
    status = world.settle()
    assert status in (("CREATE_COMPLETE",) if not failing else ("CREATE_COMPLETE", "ROLLBACK_COMPLETE"))
    assert world.there == (world.expected(first) if status == "CREATE_COMPLETE" else {})
    if status == "CREATE_COMPLETE":
        world.tell("UpdateRequested", Plan=second, OnFailure="ROLLBACK")
        status = world.settle()
        wanted = second if status == "UPDATE_COMPLETE" else first
        assert status in ("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
        assert world.there == world.expected(wanted)
        assert {name: item.name for name, item in world.state.items.items()} == {
            name: f"{name}-{one['Properties']['identity']}" for name, one in wanted["Resources"].items()
        }
        assert set(world.state.told) == set(wanted["Resources"])
    world.tell("DeleteRequested", Retain=[])
    assert world.settle() == "DELETE_COMPLETE"
    assert world.there == {}
    assert world.replayed() == world.state


@settings(deadline=None)
@given(plans(), plans(), st.integers(0, 10_000), st.integers(0, 12))
def test_a_deletion_or_a_cancellation_meanwhile(first, second, seed, at):
    world = World(seed)
    world.create(first)
    ask = lambda: world.tell("DeleteRequested", Retain=[])  # noqa: E731 - a name for what is told
    status = world.settle(ask, at)
    assert world.there == ({} if status == "DELETE_COMPLETE" else world.expected(first))

    world = World(seed)
    world.create(first)
    world.settle()

    def cancel():
        if world.state.status == "UPDATE_IN_PROGRESS":
            world.tell("CancelRequested")

    world.tell("UpdateRequested", Plan=second, OnFailure="ROLLBACK")
    status = world.settle(cancel, at)
    assert world.there == world.expected(second if status == "UPDATE_COMPLETE" else first)


@settings(deadline=None)
@given(plans(), plans(), st.integers(0, 10_000))
def test_a_rollback_that_fails_can_go_on(first, second, seed):
    world = World(seed)
    world.create(first)
    world.settle()
    world.failing, world.undoing = 0.5, 0.5
    world.tell("UpdateRequested", Plan=second, OnFailure="ROLLBACK")
    status = world.settle()
    for _ in range(100):
        if status != "UPDATE_ROLLBACK_FAILED":
            break
        world.tell("ContinueRequested", Skip=[])
        status = world.settle()
    if status == "UPDATE_ROLLBACK_FAILED":
        world.undoing = 0.0
        world.tell("ContinueRequested", Skip=[])
        status = world.settle()
    assert status in ("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
    wanted = world.expected(second if status == "UPDATE_COMPLETE" else first)
    assert {name: world.there[name] for name in wanted} == wanted  # what could not be cleaned up may be there too


@settings(deadline=None)
@given(plans(), st.integers(0, 10_000), st.sampled_from(["ROLLBACK", "DO_NOTHING", "DELETE"]))
def test_what_could_not_be_deleted_is_deleted_at_last(first, seed, on_failure):
    world = World(seed, failing=0.4, undoing=0.4)
    world.create(first, on_failure)
    status = world.settle()
    ended = {
        "ROLLBACK": ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"),
        "DO_NOTHING": ("CREATE_FAILED",),
        "DELETE": ("DELETE_COMPLETE", "DELETE_FAILED"),
    }
    assert status in ("CREATE_COMPLETE", *ended[on_failure])
    world.undoing = 0.0
    if status != "DELETE_COMPLETE":
        world.tell("DeleteRequested", Retain=[])
        assert world.settle() == "DELETE_COMPLETE"
    assert world.there == {}


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_what_is_retained(policy):
    wanted = plan(a=(0, 0), b=(0, 0, "a"))
    wanted["Resources"]["a"]["DeletionPolicy"] = policy
    world = World(1)
    world.create(wanted)
    world.settle()
    world.tell("DeleteRequested", Retain=[])
    assert world.settle() == "DELETE_COMPLETE"
    assert world.there == {"a-0": 0}
    assert world.state.told["a"]["ResourceStatus"] == "DELETE_SKIPPED"
    failing = World(1)
    failing.create(wanted)
    while "b" not in [task.logical for task in failing.state.tasks.values() if task.phase == "Ready"]:
        failing.step()
    failing.failing = 1.0
    assert failing.settle() == "ROLLBACK_COMPLETE"
    assert failing.there == ({"a-0": 0} if policy == "Retain" else {})
