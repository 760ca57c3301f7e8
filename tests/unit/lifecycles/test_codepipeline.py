"""The state machine of pipelines under anything that may happen to it, in any order."""

from hypothesis import given, settings
from hypothesis import strategies as some

from modelwright.lifecycles import codepipeline as lifecycle
from modelwright.lifecycles.codepipeline_state import KEPT, Pipeline, action_id
from support.codepipelines import action, pipeline, stage

STAGES = (
    stage("Build", action("A", "Build", inputs=["Code"]), action("B", "Build", inputs=["Code"]), action("C", order=2)),
    stage("Approve", action("Ask", "Approval"), action("Beside")),
    stage("Prod", action("Put")),
)
COMMANDS = (
    "start",
    "stop",
    "abandon",
    "retry",
    "retry-all",
    "disable",
    "enable",
    "answer",
    "reject",
    "update",
    "rollback",
)
MOVES = some.lists(
    some.tuples(some.sampled_from((*COMMANDS, *["finish"] * 12, "fail")), some.integers(0, 99)), max_size=60
)


class Machine:
    """A pipeline that is driven by moves; it checks after each what must hold."""

    def __init__(self, mode):
        self.mode, self.log, self.time, self.count, self.approved = mode, [], 0.0, 0, set()
        self.declaration = {**pipeline(*STAGES), "version": 1, "executionMode": mode}
        self.state = Pipeline()
        self.apply("PipelineCreated", Pipeline=self.declaration, Arn="arn", Account="1", Region="r")

    def apply(self, kind, **data):
        self.time += 1
        self.log.append((kind, data))
        before = self.state
        self.state = lifecycle.apply(self.state, kind, data, self.time)
        self.check(before, kind, data)

    def settle(self):
        for _ in range(1000):
            facts = lifecycle.decide(self.state)
            if not facts:
                return
            for kind, data in facts:
                self.apply(kind, **data)
        raise AssertionError("it does not come to rest")

    def check(self, before, kind, data):
        inside = [run for run in self.state.runs.values() if run.inside]
        assert all(not run.over for run in inside)
        if self.mode != "PARALLEL":
            assert len({run.stage for run in inside}) == len(inside), "two in a stage"
        if kind == "ActionStarting":
            run = before.runs[data["id"]]
            assert run.inside
            assert run.status == "InProgress"
            if data["stage"] == "Prod":
                assert run.id in self.approved, "production without approval"
            if data["action"] == "C":
                assert {run.actions["Build", name].status for name in "AB"} == {"Succeeded"}
        if kind == "StageEntered":
            assert before.stages[data["stage"]].enabled
        if kind == "ExecutionEnded":
            assert not before.runs[data["id"]].over

    def move(self, what, number):
        runs = [run for run in self.state.runs.values() if not run.over]
        run = runs[number % len(runs)] if runs else None
        owed = lifecycle.outstanding(self.state)
        if what == "start" and len(runs) < 10:
            self.count += 1
            self.apply("ExecutionStarted", id=f"e{self.count}", trigger={}, variables={}, revisions={})
        elif what in ("stop", "abandon") and run is not None and not run.abandon:
            self.apply("StopRequested", id=run.id, abandon=what == "abandon")
        elif what in ("retry", "retry-all"):
            mode = "FAILED_ACTIONS" if what == "retry" else "ALL_ACTIONS"
            for name, found in self.state.stages.items():
                if not lifecycle.retry_problem(self.state, name, found.latest, mode):
                    if name == "Approve" and (mode == "ALL_ACTIONS" or not self.answered(found.latest)):
                        self.approved.discard(found.latest)
                    self.apply("RetryRequested", id=found.latest, stage=name, mode=mode)
                    break
        elif what in ("disable", "enable"):
            name = self.state.stage_name(number % 4)
            self.apply("TransitionChanged", stage=name, enabled=what == "enable", by="me")
        elif what == "rollback":
            for target in self.state.runs.values():
                if not lifecycle.rollback_problem(self.state, "Prod", target.id):
                    self.count += 1
                    new = f"e{self.count}"
                    self.approved.add(new)  # it was approved when it was there before
                    back = {"stage": "Prod", "target": target.id}
                    self.apply("ExecutionStarted", id=new, trigger={}, variables={}, revisions={}, rollback=back)
                    break
        elif what == "update" and number < 10:
            version = self.state.version + 1
            self.apply("PipelineUpdated", Pipeline={**self.declaration, "version": version})
        elif owed:
            self.perform(owed[number % len(owed)], what)
        self.settle()

    def answered(self, execution):
        asked = self.state.runs[execution].actions.get(("Approve", "Ask"))
        return asked is not None and asked.answered == "Approved"

    def perform(self, effect, what):
        found = self.state.action(effect.key)
        if effect.kind == "expire":
            if what in ("answer", "reject"):
                status = "Approved" if what == "answer" else "Rejected"
                if status == "Approved":
                    self.approved.add(found.execution)
                self.apply("ApprovalGiven", action=found.id, status=status, summary="", by="me")
        elif effect.kind == "start" and (found.is_approval or what == "answer"):
            self.apply("ActionStarted", action=found.id, detail={})
        elif what in ("finish", "fail"):
            status = "Succeeded" if what == "finish" else "Failed"
            self.apply("ActionEnded", action=found.id, status=status, detail={})


@settings(max_examples=300, deadline=None)
@given(some.sampled_from(("SUPERSEDED", "QUEUED", "PARALLEL")), MOVES)
def test_whatever_happens(mode, moves):
    machine = Machine(mode)
    for what, number in (("start", 0), *moves):
        machine.move(what, number)
    again = Pipeline()
    for i, (kind, data) in enumerate(machine.log):
        again = lifecycle.apply(again, kind, data, i + 1.0)
    assert again == machine.state
    for name in machine.state.stages:
        machine.apply("TransitionChanged", stage=name, enabled=True, by="me")
    machine.settle()
    for _ in range(1000):
        owed = lifecycle.outstanding(machine.state)
        if not owed:
            break
        machine.perform(owed[0], "answer" if owed[0].kind == "expire" else "finish")
        machine.settle()
    assert all(run.over for run in machine.state.runs.values()), "everything comes to an end"


def test_ids_are_a_function_of_what_they_are_of():
    one = action_id("arn", "e", "s", "a", 1)
    assert one == action_id("arn", "e", "s", "a", 1)
    assert one != action_id("arn", "e", "s", "a", 2)


def test_old_executions_are_forgotten():
    machine = Machine("SUPERSEDED")
    for i in range(3 * KEPT):
        machine.apply("ExecutionStarted", id=f"x{i}", trigger={}, variables={}, revisions={})
        machine.settle()
    assert len(machine.state.runs) <= KEPT + 1
    assert sum(not run.over for run in machine.state.runs.values()) == 2
