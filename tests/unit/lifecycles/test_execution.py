"""The execution's state machine, driven by a small engine that has no engine: `Run` plays the world."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.lifecycles import execution
from modelwright.lifecycles.execution import ENDED, RUNNING, STEPS_FAILED
from support.definitions import condition, fail, get, text, training

FAILED = "the job failed"


@dataclass
class Run:
    """An execution whose time is a counter. Every event goes through `tell`, so a fold of all of them is checked."""

    definition: str
    about: dict = field(default_factory=dict)
    events: list = field(default_factory=list)
    state: execution.Execution | None = None

    def __post_init__(self):
        self.tell("ExecutionStarted", **{**about(self.definition), **self.about})

    def tell(self, kind, **data):
        event = (kind, data, 1000.0 + len(self.events))
        self.events.append(event)
        self.state = execution.apply(self.state, *event)
        while facts := execution.decide(self.state):
            for fact in facts:
                self.events.append((*fact, 1000.0 + len(self.events)))
                self.state = execution.apply(self.state, *self.events[-1])

    def started(self, step):
        self.tell("StepStarted", step=step, metadata={"TrainingJob": {"Arn": f"arn:{step}"}})

    def ended(self, step, status="Succeeded", **data):
        if status == "Failed":
            data.setdefault("failure_reason", FAILED)
        self.tell("StepEnded", step=step, status=status, **data)

    @property
    def statuses(self):
        return {name: run.status for name, run in self.state.runs.items()}

    @property
    def owed(self):
        return {(effect.kind, effect.key) for effect in execution.outstanding(self.state)}

    @property
    def documents(self):
        return {document["StepName"]: document for document in execution.step_documents(self.state)}


def about(definition):
    arn = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p"
    return {
        "PipelineDefinition": definition,
        "PipelineName": "P",
        "PipelineArn": arn,
        "PipelineExecutionId": "abc",
        "PipelineExecutionArn": f"{arn}/execution/abc",
        "RoleArn": "arn:aws:iam::111122223333:role/R",
        "Account": "111122223333",
        "Region": "us-east-1",
        "Parameters": {"N": 3},
        "StartTime": 1000.0,
    }


def run(*steps, **about):
    return Run(text(*steps), about)


CHAIN = (training("A"), training("B", after=["A"]), training("C", after=["B"]))


def test_it_works():
    chain = run(*CHAIN)
    assert chain.owed == {("start", "A")}
    for step in "ABC":
        chain.started(step)
        assert chain.owed == {("watch", step)}
        chain.ended(step)
    assert chain.state.status == "Succeeded"
    assert chain.statuses == dict.fromkeys("ABC", "Succeeded")
    assert chain.owed == set()
    assert chain.events[-1][:2] == ("ExecutionEnded", {"status": "Succeeded"})
    assert chain.state.parameters == {"N": 3}


def test_what_listing_the_steps_tells():
    chain = run(training("A", DisplayName="the first", Description="of two"), training("B", after=["A"]))
    chain.started("A")
    assert execution.step_documents(chain.state) == [
        {
            "StepName": "A",
            "StepDisplayName": "the first",
            "StepDescription": "of two",
            "StartTime": 1001.0,
            "StepStatus": "Executing",
            "Metadata": {"TrainingJob": {"Arn": "arn:A"}},
            "AttemptCount": 1,
        }
    ]
    chain.ended("A")
    chain.ended("B", "Failed", failure_reason="x" * 2000)
    first, second = execution.step_documents(chain.state)
    assert (first["StepStatus"], first["EndTime"]) == ("Succeeded", 1003.0)
    assert "FailureReason" not in first
    assert (second["StepStatus"], second["FailureReason"]) == ("Failed", "x" * 1024)
    assert "Metadata" not in second


def test_the_execution_s_own_times_and_reason():
    chain = run(*CHAIN)
    assert chain.state.started == 1000.0
    chain.ended("A", "Failed")
    assert chain.state.status == "Failed"
    assert chain.state.failure_reason == STEPS_FAILED
    assert chain.state.ended == chain.state.modified == chain.events[-1][2]


def test_a_failure_puts_out_what_depends_on_it_and_leaves_the_rest():
    tree = run(training("A"), training("A2", after=["A"]), training("B"), training("B2", after=["B"]))
    tree.started("B")
    tree.ended("A", "Failed")
    assert execution.prospects(tree.state)["A2"] == "out"
    tree.ended("B")
    assert tree.statuses["B2"] == "Starting"
    tree.ended("B2")
    assert tree.state.status == "Failed"
    assert "A2" not in tree.statuses


@pytest.mark.parametrize(("outcome", "taken", "other"), [(True, "Yes", "No"), (False, "No", "Yes")])
def test_one_branch_of_a_condition_runs(outcome, taken, other):
    fork = run(condition("If", [training("Yes")], [training("No")]), training("After", after=["Yes"]))
    fork.ended("If", outcome=outcome, metadata={"Condition": {"Outcome": str(outcome)}})
    assert set(fork.statuses) == {"If", taken}
    assert fork.documents["If"]["Metadata"] == {"Condition": {"Outcome": str(outcome)}}
    fork.ended(taken)
    if outcome:
        fork.ended("After")
    assert fork.state.status == "Succeeded"
    assert other not in fork.statuses
    assert ("After" in fork.statuses) is outcome


def test_a_condition_inside_a_branch_that_is_not_taken_is_out_with_all_its_steps():
    fork = run(condition("If", [condition("Inner", [training("X")], [training("Y")])], [training("No")]))
    fork.ended("If", outcome=False)
    fork.ended("No")
    assert fork.state.status == "Succeeded"
    assert set(fork.statuses) == {"If", "No"}


def test_nested_branches():
    fork = run(condition("If", [condition("Inner", [training("X")], [training("Y", after=["Z"])]), training("Z")]))
    fork.ended("If", outcome=True)
    assert set(fork.statuses) == {"If", "Inner", "Z"}
    fork.ended("Inner", outcome=False)
    assert "Y" not in fork.statuses
    fork.ended("Z")
    fork.ended("Y")
    assert fork.state.status == "Succeeded"


def test_an_empty_branch_succeeds():
    fork = run(condition("If", [training("Yes")]))
    fork.ended("If", outcome=False)
    assert fork.state.status == "Succeeded"


def test_what_waits_for_a_condition_runs_whichever_branch_is_taken():
    fork = run(condition("If", [training("Yes")]), training("After", Arguments={"x": get("Steps.If.Outcome")}))
    fork.ended("If", outcome=False)
    assert execution.properties(fork.state, "If") == {"Outcome": "false"}
    assert fork.statuses["After"] == "Starting"


def test_a_condition_that_can_t_be_evaluated_fails():
    fork = run(condition("If", [training("Yes")], [training("No")]))
    fork.ended("If", "Failed")
    assert fork.state.status == "Failed"
    assert set(fork.statuses) == {"If"}


def test_a_fail_step_lets_nothing_new_start_and_what_runs_end():
    race = run(fail("F"), training("A"), training("B", after=["A"]), RoleArn="r")
    race.started("A")
    race.ended("F", "Failed", failure_reason="told so", metadata={"Fail": {"ErrorMessage": "told so"}})
    assert race.owed == {("watch", "A")}
    race.ended("A")
    assert race.state.status == "Failed"
    assert "B" not in race.statuses
    assert race.documents["F"]["FailureReason"] == "told so"


def test_no_more_steps_at_once_than_allowed():
    wide = run(*(training(name) for name in "ABCDE"), MaxParallelExecutionSteps=2)
    assert wide.owed == {("start", "A"), ("start", "B")}
    wide.started("A")
    wide.ended("B")
    assert set(wide.statuses) == {"A", "B", "C"}
    wide.tell("ParallelismUpdated", MaxParallelExecutionSteps=3)
    assert set(wide.statuses) == {"A", "B", "C", "D"}
    wide.tell("ParallelismUpdated", MaxParallelExecutionSteps=1)
    wide.ended("A")
    wide.ended("C")
    assert set(wide.statuses) == {"A", "B", "C", "D"}
    wide.ended("D")
    wide.ended("E")
    assert wide.state.status == "Succeeded"


def test_stop_stops_what_runs_and_starts_nothing():
    tree = run(training("A"), training("B"), training("C", after=["B"]))
    tree.started("A")
    tree.tell("StopRequested")
    assert tree.state.status == "Stopping"
    assert tree.statuses == {"A": "Stopping", "B": "Stopping"}
    assert tree.owed == {("stop", "A"), ("stop", "B")}
    tree.ended("B", "Stopped")
    assert tree.state.status == "Stopping"
    tree.ended("A", "Stopped")
    assert tree.state.status == "Stopped"
    assert tree.state.failure_reason is None
    assert "C" not in tree.statuses
    assert [document["StepStatus"] for document in execution.step_documents(tree.state)] == ["Stopped", "Stopped"]


def test_a_job_that_was_created_while_the_stop_came_stays_stopping():
    one = run(training("A"))
    one.tell("StopRequested")
    one.started("A")
    assert one.statuses == {"A": "Stopping"}
    assert one.documents["A"]["Metadata"] == {"TrainingJob": {"Arn": "arn:A"}}


@pytest.mark.parametrize(("status", "expected"), [("Succeeded", "Stopped"), ("Failed", "Failed")])
def test_a_job_may_end_in_its_own_way_while_it_is_stopped(status, expected):
    one = run(training("A"))
    one.started("A")
    one.tell("StopRequested")
    one.ended("A", status)
    assert one.state.status == expected


def test_stop_twice_and_after_the_end_changes_nothing():
    one = run(training("A"))
    one.tell("StopRequested")
    one.tell("StopRequested")
    one.ended("A", "Stopped")
    before = one.state.status
    one.tell("StopRequested")
    assert one.state.status == before == "Stopped"


def test_a_step_stopped_from_outside_stops_the_execution_at_its_end():
    pair = run(training("A"), training("B"), training("C", after=["A"]))
    pair.ended("A", "Stopped")
    pair.ended("B")
    assert pair.state.status == "Stopped"
    assert "C" not in pair.statuses


def test_retry_runs_what_failed_and_what_it_put_out():
    chain = run(*CHAIN, training("D"))
    chain.ended("D")
    chain.ended("A")
    chain.ended("B", "Failed")
    assert chain.state.status == "Failed"
    chain.tell("RetryRequested")
    assert chain.state.status == "Executing"
    assert chain.state.failure_reason is None
    assert chain.state.ended is None
    assert chain.statuses == {"A": "Succeeded", "D": "Succeeded", "B": "Starting"}
    assert chain.state.runs["B"].attempt == 2
    assert chain.documents["B"]["AttemptCount"] == 2
    assert "FailureReason" not in chain.documents["B"]
    chain.ended("B")
    chain.ended("C")
    assert chain.state.status == "Succeeded"


def test_attempts_count_on_over_retries():
    one = run(training("A"))
    for attempt in (1, 2, 3):
        assert one.state.runs["A"].attempt == attempt
        one.ended("A", "Failed")
        one.tell("RetryRequested")
    assert one.state.runs["A"].attempt == 4


def test_retry_of_a_stopped_execution_may_change_the_parallelism():
    wide = run(*(training(name) for name in "ABC"), MaxParallelExecutionSteps=1)
    wide.tell("StopRequested")
    wide.ended("A", "Stopped")
    assert wide.state.status == "Stopped"
    wide.tell("RetryRequested", MaxParallelExecutionSteps=2)
    assert wide.owed == {("start", "A"), ("start", "B")}


def test_a_retried_condition_keeps_its_outcome():
    fork = run(condition("If", [training("Yes")], [training("No")]))
    fork.ended("If", outcome=True)
    fork.ended("Yes", "Failed")
    fork.tell("RetryRequested")
    assert fork.statuses == {"If": "Succeeded", "Yes": "Starting"}


def dependent(trigger, *others):
    return run(training("A"), training("N", after=[{"Step": "A", "Trigger": trigger}]), *others)


@pytest.mark.parametrize(
    ("trigger", "status", "runs"),
    [
        ("Completed", "Succeeded", True),
        ("Completed", "Failed", False),
        ("Completed", "Stopped", False),
        ("Failed", "Succeeded", False),
        ("Failed", "Failed", True),
        ("Failed", "Stopped", False),
        ("Stopped", "Failed", False),
        ("Stopped", "Stopped", True),
        ("Any", "Succeeded", True),
        ("Any", "Failed", True),
        ("Any", "Stopped", True),
    ],
)
def test_triggers(trigger, status, runs):
    pair = dependent(trigger)
    pair.ended("A", status)
    assert ("N" in pair.statuses) is runs
    if runs:
        pair.ended("N")
    expected = "CompletedWithFailures" if runs and status != "Succeeded" else status
    assert pair.state.status == expected


def test_a_failure_that_nobody_waited_for_is_still_one():
    pair = dependent("Failed", training("B"))
    pair.ended("A", "Failed")
    pair.ended("N")
    pair.ended("B", "Failed")
    assert pair.state.status == "Failed"
    assert pair.state.failure_reason == STEPS_FAILED


def test_a_stop_stands_above_a_failure_that_somebody_waited_for():
    pair = dependent("Failed")
    pair.ended("A", "Failed")
    pair.tell("StopRequested")
    pair.ended("N")
    assert pair.state.status == "Stopped"


def test_who_waits_for_a_step_that_never_runs_never_runs():
    chain = run(*CHAIN, training("Clean", after=[{"Step": "C", "Trigger": "Any"}]))
    chain.ended("A", "Failed")
    assert "Clean" not in chain.statuses
    assert chain.state.status == "Failed"


POLICY = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 10, "BackoffRate": 2, "MaxAttempts": 2}


def lost(target, step="A"):
    target.ended(step, "Failed", exception="SageMaker.JOB_INTERNAL_ERROR")


def test_a_retry_policy_starts_the_step_again():
    pair = run(training("A", RetryPolicies=[POLICY]), training("B", after=["A"]))
    pair.started("A")
    lost(pair)
    effect = execution.outstanding(pair.state)[0]
    assert (effect.kind, effect.key, effect.at) == ("start", "A", pair.events[-1][2] + 10)
    document = pair.documents["A"]
    assert (document["StepStatus"], document["AttemptCount"]) == ("Starting", 2)
    assert "Metadata" not in document
    pair.started("A")
    lost(pair)
    assert execution.outstanding(pair.state)[0].at == pair.events[-1][2] + 20
    lost(pair)
    assert pair.state.status == "Failed"
    assert pair.state.runs["A"].attempt == 3


def test_a_retry_policy_without_limits_tries_five_times_more():
    one = run(training("A", RetryPolicies=[{"ExceptionType": "SageMaker.JOB_INTERNAL_ERROR"}]))
    for _ in range(5):
        lost(one)
        assert one.state.status == "Executing"
    lost(one)
    assert one.state.status == "Failed"


def test_a_retry_policy_may_expire():
    policy = {"ExceptionType": "SageMaker.JOB_INTERNAL_ERROR", "ExpireAfterMin": 1}
    one = run(training("A", RetryPolicies=[policy]))
    while one.state.status == "Executing":
        lost(one)
    assert one.state.runs["A"].ended - one.state.runs["A"].started == 60


@pytest.mark.parametrize("exception", [None, "SageMaker.CAPACITY_ERROR"])
def test_other_failures_are_failures(exception):
    one = run(training("A", RetryPolicies=[POLICY]))
    one.ended("A", "Failed", exception=exception)
    assert one.state.status == "Failed"


def test_a_stop_ends_the_tries():
    one = run(training("A", RetryPolicies=[POLICY]))
    one.tell("StopRequested")
    lost(one)
    assert one.state.status == "Failed"
    one = run(training("A", RetryPolicies=[POLICY]))
    lost(one)
    one.tell("StopRequested")
    assert one.owed == {("stop", "A")}


def test_a_selective_execution_runs_the_chosen_steps_with_the_others_results():
    reused = {"A": {"metadata": {"TrainingJob": {"Arn": "arn:old"}}}}
    part = run(*CHAIN, SelectedSteps=["B"], SourcePipelineExecutionArn="arn:source", Reused=reused)
    assert part.owed == {("start", "B")}
    part.ended("B")
    assert part.state.status == "Succeeded"
    assert set(part.statuses) == {"A", "B"}
    assert part.documents["A"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": "arn:source"}
    assert part.documents["A"]["Metadata"] == {"TrainingJob": {"Arn": "arn:old"}}
    assert "AttemptCount" not in part.documents["A"]


def test_a_reused_condition_keeps_its_outcome():
    reused = {"If": {"metadata": {}, "outcome": False}}
    for step, runs in (("Yes", False), ("No", True)):
        part = run(
            condition("If", [training("Yes")], [training("No")]),
            SelectedSteps=[step],
            SourcePipelineExecutionArn="arn:source",
            Reused=reused,
        )
        assert (step in part.statuses) is runs


def test_a_cached_result_names_its_source():
    one = run(training("A"))
    one.ended("A", metadata={"TrainingJob": {"Arn": "arn:old"}}, cache_hit="arn:source")
    assert one.state.status == "Succeeded"
    assert one.documents["A"]["CacheHitResult"] == {"SourcePipelineExecutionArn": "arn:source"}
    assert one.documents["A"]["Metadata"] == {"TrainingJob": {"Arn": "arn:old"}}


def test_execution_variables():
    values = execution.variables(run(training("A")).state)
    assert values == {
        "PipelineName": "P",
        "PipelineArn": "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p",
        "PipelineExecutionId": "abc",
        "PipelineExecutionArn": "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/abc",
        "StartDateTime": "1970-01-01T00:16:40.000Z",
    }


def test_events_that_can_t_follow_are_defects():
    state = run(training("A")).state
    with pytest.raises(ValueError, match="ExecutionStarted is the first"):
        execution.apply(None, "StopRequested", {}, 0.0)
    with pytest.raises(ValueError, match="ExecutionStarted is the first"):
        execution.apply(state, "ExecutionStarted", about(text(training("A"))), 0.0)
    with pytest.raises(ValueError, match="without events"):
        execution.fold([])
    ended = execution.apply(state, "StepEnded", {"step": "A", "status": "Succeeded"}, 0.0)
    with pytest.raises(ValueError, match="has ended before"):
        execution.apply(ended, "StepEnded", {"step": "A", "status": "Succeeded"}, 0.0)


@st.composite
def pipelines(draw):
    """Steps that wait for earlier ones by any trigger, some in branches of earlier conditions, some Fail steps."""
    count = draw(st.integers(1, 9))
    triggers = st.sampled_from(["Completed", "Completed", "Completed", "Failed", "Stopped", "Any"])
    steps, branches, fails = [], [], set()
    for number in range(count):
        name = f"S{number}"
        earlier = [f"S{n}" for n in range(number) if f"S{n}" not in fails]
        after = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        waits = [{"Step": step, "Trigger": draw(triggers)} for step in after]
        kind = draw(st.sampled_from(["Training", "Training", "Training", "Condition", "Fail"]))
        home = draw(st.sampled_from([steps, *branches]))
        if kind == "Condition":
            step = condition(name, [], [], DependsOn=waits)
            branches += [step["Arguments"]["IfSteps"], step["Arguments"]["ElseSteps"]]
        elif kind == "Fail":
            step = fail(name, DependsOn=waits)
            fails.add(name)
        else:
            policies = [POLICY] if draw(st.booleans()) else []
            step = training(name, after=waits, RetryPolicies=policies)
        home.append(step)
    return text(*steps) if steps else None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_run_of_every_pipeline_ends_and_keeps_the_rules(data):
    definition = data.draw(pipelines().filter(bool))
    limit = data.draw(st.none() | st.integers(1, 3))
    played = Run(definition, {} if limit is None else {"MaxParallelExecutionSteps": limit})
    retries = 2
    for _ in range(400):
        _check(played, limit)
        if played.state.status in ENDED:
            if played.state.status in ("Failed", "Stopped") and retries and data.draw(st.booleans()):
                retries -= 1
                played.tell("RetryRequested")
                continue
            break
        _play(played, data)
    assert played.state.status in ENDED
    assert played.owed == set()
    assert execution.fold(played.events) == played.state
    assert all(fate in ("begun", "out") for fate in _final_fates(played))


def _play(played, data):
    """The world does one thing: a job begins, a step ends somehow, or somebody stops the execution."""
    effect = data.draw(st.sampled_from(execution.outstanding(played.state)))
    step = played.state.step(effect.key)
    if effect.kind == "start" and step.type == "Condition":
        played.ended(effect.key, outcome=data.draw(st.booleans()))
    elif effect.kind == "start" and step.type == "Fail":
        played.ended(effect.key, "Failed")
    elif not played.state.stopping and data.draw(st.integers(0, 19)) == 19:
        played.tell("StopRequested")
    elif effect.kind == "start" and data.draw(st.booleans()):
        played.started(effect.key)
    else:
        status = data.draw(st.sampled_from(["Succeeded", "Succeeded", "Succeeded", "Failed", "Stopped"]))
        exception = data.draw(st.sampled_from([None, *POLICY["ExceptionType"]])) if status == "Failed" else None
        played.ended(effect.key, status, exception=exception)


def _check(played, limit):
    """What holds after every event."""
    state = played.state
    running = [run for run in state.runs.values() if run.status in RUNNING]
    assert {effect.key for effect in execution.outstanding(state)} == {run.name for run in running}
    if limit is not None:
        assert len(running) <= limit
    if state.status in ENDED:
        assert not running
    else:
        assert running, "somebody must be waited for"
    for name, run in state.runs.items():
        assert (run.ended is None) == (run.status in RUNNING)
        branch = state.step(name).branch
        for wait in state.definition.graph[name]:
            before = state.runs[wait.step]
            if branch is not None and branch.condition == wait.step:
                assert (before.status, before.outcome) == ("Succeeded", branch.outcome)
            elif before.attempt == state.attempts[wait.step] == 1:
                outcome = {"Succeeded": "Completed"}.get(before.status, before.status)
                assert wait.trigger in (outcome, "Any")
                assert before.ended <= run.started


def _final_fates(played):
    """At an end by itself nothing could still run; a stop or a Fail step leaves what was ready."""
    stopped = any(kind == "StopRequested" for kind, _, _ in played.events)
    halted = any(
        run.status == "Failed" and played.state.step(run.name).type == "Fail" for run in played.state.runs.values()
    )
    return [] if stopped or halted else execution.prospects(played.state).values()
