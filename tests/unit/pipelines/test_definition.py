import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.errors import ValidationException
from modelwright.pipelines.definition import MAX_STEPS, parse
from modelwright.pipelines.steps import Branch, CacheConfig, Dependency, PropertyFile, RetryPolicy, duration
from support.definitions import RECORDED, condition, definition, equals, fail, for_each, get, text, training


def problems(*steps, **members):
    """The text of the error without AWS's beginning."""
    with pytest.raises(ValidationException) as error:
        definition(*steps, **members)
    start = "Unable to parse pipeline definition. "
    assert error.value.message.startswith(start)
    return error.value.message.removeprefix(start)


def test_it_works():
    found = definition(training("A"), training("B", after=["A"]), Parameters=[{"Name": "N", "Type": "Integer"}])
    assert list(found.steps) == ["A", "B"]
    assert found.graph == {"A": (), "B": (Dependency("A"),)}
    assert found.order == ("A", "B")
    assert found.parameters["N"].type == "Integer"


def test_the_same_text_gives_the_same_definition():
    assert parse(text(training("A"))) is parse(text(training("A")))


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("v2_abalone", 18),
        ("v2_repack", 5),
        ("v2_stepdecorator", 5),
        ("v3_abalone", 13),
        ("v3_newsteps", 7),
        ("v3_stepdecorator", 5),
    ],
)
def test_what_the_sdks_write_parses(name, steps):
    found = parse((RECORDED / f"{name}.json").read_text())
    assert len(found.steps) == steps
    for step, waits in found.graph.items():
        assert all(found.order.index(dependency.step) < found.order.index(step) for dependency in waits)


def test_recorded_quirks():
    v2 = parse((RECORDED / "v2_abalone.json").read_text())
    assert v2.steps["Preprocess"].cache == CacheConfig(True, 3600)
    assert v2.steps["Preprocess"].retry[0] == RetryPolicy(
        ("Step.SERVICE_FAULT", "Step.THROTTLING"), interval=5, backoff=2.0, expire_after=600
    )
    assert v2.steps["Evaluate"].property_files == {
        "EvaluationReport": PropertyFile("EvaluationReport", "evaluation", "evaluation.json")
    }
    assert v2.steps["Create-CreateModel"].branch == Branch("Nested", True)
    assert v2.steps["Nested"].branch == Branch("CheckMse", True)
    assert v2.steps["Fail"].branch == Branch("CheckMse", False)
    assert v2.steps["Notify"].extra["FunctionArn"].endswith(":notify")
    assert v2.experiment["TrialName"] == get("Execution.PipelineExecutionId")
    v3 = parse((RECORDED / "v3_abalone.json").read_text())
    assert v3.steps["Preprocess"].cache == CacheConfig(True, 30 * 86400)
    assert v3.mlflow == {}
    new = parse((RECORDED / "v3_newsteps.json").read_text())
    assert [step.name for step in new.steps["Fan"].body] == ["Body", "BodyL"]
    assert "ForEachBody" not in new.steps["Fan"].arguments
    assert new.graph["Clean"] == (Dependency("Rep", "Any"), Dependency("Preprocess"))


def test_a_step_waits_for_what_it_names_refers_to_and_is_a_branch_of():
    found = definition(
        training("A"),
        training("B"),
        training("C"),
        condition(
            "If",
            [training("D", after=["A"], Arguments={"x": {"Std:Join": {"Values": [get("Steps.B.y")]}}})],
            conditions=[equals(get("Steps.C.z"), 1)],
        ),
    )
    assert found.graph["If"] == (Dependency("C"),)
    assert found.graph["D"] == (Dependency("A"), Dependency("B"), Dependency("If"))


def test_a_trigger_stands_above_a_reference():
    found = definition(
        training("A"),
        training("B", after=[{"Step": "A", "Trigger": "Failed"}], Arguments={"x": get("Steps.A.FailureReason")}),
    )
    assert found.graph["B"] == (Dependency("A", "Failed"),)


def test_a_for_each_waits_for_what_its_body_refers_to():
    found = definition(
        training("A"),
        training("B"),
        {
            "Name": "F",
            "Type": "ForEach",
            "Arguments": {
                "IterableItems": get("Steps.A.x"),
                "MaxConcurrency": 2,
                "ForEachBody": [
                    training("X", Arguments={"v": get("ForEach.CurrentItem.a")}),
                    training("Y", Arguments={"v": get("Steps.B.x"), "w": get("Steps.X.y")}),
                ],
            },
        },
    )
    assert found.graph["F"] == (Dependency("A"), Dependency("B"))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "It is not JSON"),
        ("[1]", "Expecting start of Json Object."),
        ("{", "It is not JSON"),
        ('{"a": NaN}', "NaN is no JSON value"),
        ('{"a": 1e999}', "1e999 is too large"),
        ("[" * 100_000, "It is not JSON"),
    ],
)
def test_what_is_no_json_object_is_refused(document, reason):
    with pytest.raises(ValidationException, match="Unable to parse pipeline definition") as error:
        parse(document)
    assert reason in error.value.message


def test_what_is_nested_too_deeply_is_refused():
    arguments = {}
    for _ in range(100):
        arguments = {"a": [arguments]}
    assert problems(training("A", Arguments=arguments)).startswith("It is nested too deeply")


def test_a_problem_names_step_place_and_reason():
    assert problems(training("A", after=["B"])) == (
        "Step 'A', Steps[0].DependsOn[0]: there is no step 'B'; defined: A."
    )


def test_all_problems_come_at_once():
    found = problems(
        training("A", after=["B", "A"], Arguments={"x": get("Parameters.P"), "y": get("Execution.Q")}),
        {"Name": "a b", "Type": "Training"},
        {"Name": "C", "Type": "Traning"},
        condition("D", [training("A")], conditions=[{"Type": "Equal"}]),
        Version="2021-01-01",
        Parameter=[],
    )
    assert found.startswith("10 problems: (1) ")
    for part in (
        "Parameter: unknown member",
        "Version: '2021-01-01' must be '2020-12-01'",
        "Step 'A', Steps[0].DependsOn[0]: there is no step 'B'",
        "Step 'A', Steps[0].DependsOn[1]: a step can't wait for itself",
        "Step 'A', Steps[0].Arguments.x: 'Parameters.P': there is no parameter 'P'; defined: none",
        "Step 'A', Steps[0].Arguments.y: 'Execution.Q': there is no execution variable 'Q'",
        "Steps[1].Name: 'a b' must be",
        "Step 'C', Steps[2].Type: 'Traning' is no step type",
        "Step 'D', Steps[3].Arguments.Conditions[0].Type: 'Equal' is no condition",
        "Step 'A', Steps[3].Arguments.IfSteps[0].Name: another step has this name: Steps[0]",
    ):
        assert part in found


def test_very_many_problems_are_counted():
    found = problems(*(training(f"A{number}", after=["X"]) for number in range(30)))
    assert found.startswith("30 problems: ")
    assert found.endswith(" ... and 10 more.")


REPORT = {"PropertyFileName": "R", "OutputName": "o", "FilePath": "f"}
CASES = [
    ([], {}, "Steps: a pipeline needs at least one step"),
    ([], {"Steps": None}, "Steps: Expecting start of Json Array"),
    ([], {"Steps": {"A": 1}}, "Steps: Expecting start of Json Array"),
    (["x"], {}, "Steps[0]: Expecting start of Json Object"),
    ([training("A", Arguments=[])], {}, "Steps[0].Arguments: Expecting start of Json Object"),
    ([training("A" * 65)], {}, "must be 1 to 64 letters"),
    ([training("A", Retries=3)], {}, "Steps[0].Retries: unknown member of a Training step"),
    ([training("A", PropertyFiles=[])], {}, "unknown member of a Training step"),
    ([{"Name": "A", "Type": ["Training"]}], {}, "is no step type"),
    ([training("A", DependsOn="B")], {}, "Steps[0].DependsOn: Expecting start of Json Array"),
    ([training("A", after=[1])], {}, "Steps[0].DependsOn[0]: must be a step's name"),
    ([training("A"), training("B", after=[{"Step": "A", "Trigger": "Never"}])], {}, "'Never' is no trigger"),
    ([training("A", DisplayName=3)], {}, "Steps[0].DisplayName: must be a text of at most 256"),
    ([training("A", Description="x" * 3073)], {}, "Steps[0].Description: must be a text of at most 3072"),
    ([training("A", CacheConfig={"Enabled": "yes"})], {}, "Steps[0].CacheConfig.Enabled: 'yes' is not a Boolean"),
    ([training("A", CacheConfig={"Enabled": True, "ExpireAfter": "soon"})], {}, "not an ISO 8601 duration"),
    ([training("A", CacheConfig=1)], {}, "Steps[0].CacheConfig: must be"),
    ([training("A", RetryPolicies=1)], {}, "Steps[0].RetryPolicies: Expecting start of Json Array"),
    ([training("A", RetryPolicies=[{}])], {}, "Steps[0].RetryPolicies[0].ExceptionType: must be"),
    (
        [training("A", RetryPolicies=[{"ExceptionType": "E", "MaxAttempts": 21}])],
        {},
        "21 must be a number from 0 to 20",
    ),
    ([training("A", RetryPolicies=[{"ExceptionType": "E", "BackoffRate": True}])], {}, "True must be a number"),
    (
        [training("A", RetryPolicies=[{"ExceptionType": "E", "MaxAttempts": 2, "ExpireAfterMin": 3}])],
        {},
        "can't have both MaxAttempts and ExpireAfterMin",
    ),
    ([{"Name": "A", "Type": "Processing", "PropertyFiles": [{"PropertyFileName": "R"}]}], {}, "must have the texts"),
    (
        [
            {
                "Name": "A",
                "Type": "Processing",
                "PropertyFiles": [REPORT] * 2,
            }
        ],
        {},
        "PropertyFiles[1]: there is a property file 'R' before it",
    ),
    ([condition("A", conditions="x")], {}, "Steps[0].Arguments.Conditions: must be a list"),
    ([{"Name": "A", "Type": "Condition"}], {}, "Steps[0].Arguments.Conditions: must be a list"),
    ([condition("A", "x")], {}, "Steps[0].Arguments.IfSteps[0]: Expecting start of Json Object"),
    ([for_each("A", ForEachBody=[])], {}, "Steps[0].Arguments.ForEachBody: must be a list"),
    ([for_each("A", ForEachBody=[fail("F")])], {}, "ForEachBody[0].Type: a Fail step can't be in a ForEachBody"),
    ([for_each("A", IterableItems=[])], {}, "must be an expression or a list of 1 to 100 items"),
    ([for_each("A", IterableItems=[[1]])], {}, "IterableItems[0]: [1] is neither a plain value nor an expression"),
    ([for_each("A", MaxConcurrency=51)], {}, "51 must be an Integer from 1 to 50"),
    ([for_each("A", Order="x")], {}, "Steps[0].Arguments.Order: unknown member"),
    ([for_each("A", Selector={"Pick": "MaxBy"})], {}, "Steps[0].Arguments.Selector: must be"),
    ([for_each("A", Selector={"Pick": "Best", "Field": get("IterationOutput.X.y")})], {}, "'Best' is not one of"),
    (
        [for_each("A", Selector={"Pick": "MaxBy", "Field": get("IterationOutput.X")})],
        {},
        "a member of a step",
    ),
    ([for_each("A", Selector={"Pick": "MaxBy", "Field": get("Steps.X.y")})], {}, "a member of a step"),
    ([for_each("A"), training("X-3")], {}, "Step 'X-3', Steps[1].Name: runs of the ForEach step 'A' are named so"),
    (
        [for_each("A"), training("B", Arguments={"x": get("Steps.A.IterationOutputs.X.y")})],
        {},
        "must name an iteration",
    ),
    ([for_each("A"), training("B", Arguments={"x": get("Steps.A.IterationOutputs[0].Z.y")})], {}, "'Z' is no step of"),
    ([for_each("A"), training("B", Arguments={"x": get("Steps.A.IterationOutputs[0].X.y")})], {}, None),
    ([training("A"), training("B", after=["A", {"Step": "A", "Trigger": "Any"}])], {}, "triggers Completed and Any"),
    ([{"Name": "A", "Type": "Lambda"}], {}, "Steps[0].FunctionArn: a Lambda step needs it"),
    (
        [{"Name": "A", "Type": "Callback", "SqsQueueUrl": "u", "OutputParameters": 1}],
        {},
        "Expecting start of Json Array",
    ),
    (
        [{"Name": "A", "Type": "Callback", "SqsQueueUrl": "u", "OutputParameters": [{"OutputName": "x"}]}],
        {},
        "OutputParameters[0]: must have OutputName",
    ),
    ([training("A", Arguments={"x": get("ForEach.CurrentItem")})], {}, "only inside a ForEachBody"),
    ([training("A", Arguments={"x": get("IterationOutput.B.y")})], {}, "only in the Selector"),
    ([training("A", Arguments={"x": get("Steps.B.y")})], {}, "Steps[0].Arguments.x: there is no step 'B'"),
    ([training("A", Arguments={"x": [{"Std:Join": {"Values": [get("Steps.A.y")]}}]})], {}, "can't wait for itself"),
    ([training("A"), training("B", Arguments={"x": get("Steps.A.PropertyFiles.R")})], {}, "is read by Std:JsonGet"),
    (
        [
            training("A"),
            training(
                "B", Arguments={"x": {"Std:JsonGet": {"PropertyFile": get("Steps.A.PropertyFiles.R"), "Path": "a"}}}
            ),
        ],
        {},
        "step 'A' has no property file 'R'; it has: none",
    ),
    ([training("A")], {"Metadata": []}, None),
    ([training("A")], {"Metadata": [1]}, "Metadata: Expecting start of Json Object"),
    ([training("A")], {"PipelineExperimentConfig": {"TrialName": get("Steps.A.x")}}, "there is no step 'A'"),
    ([training("A")], {"Parameters": {"N": 1}}, "Parameters: Expecting start of Json Array"),
]


@pytest.mark.parametrize(("steps", "members", "reason"), CASES)
def test_refusals(steps, members, reason):
    if reason is None:
        definition(*steps, **members)
    else:
        assert reason in problems(*steps, **members)


def test_nothing_waits_for_a_fail_step():
    assert "CondStep can not depends on FailStep" in problems(
        condition("CondStep", DependsOn=["FailStep"]), fail("FailStep")
    )


def test_a_step_may_wait_for_a_condition_and_its_outcome():
    found = definition(condition("C"), fail("F", {"Std:Join": {"On": ": ", "Values": ["x", get("Steps.C.Outcome")]}}))
    assert found.graph["F"] == (Dependency("C"),)


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([training("A", after=["B"]), training("B", after=["A"])], "A -> B -> A"),
        (
            [
                training("A", Arguments={"x": get("Steps.C.y")}),
                training("B", after=["A"]),
                training("C", after=["B"]),
                training("D", after=["C"]),
            ],
            "A -> C -> B -> A",
        ),
        ([condition("C", [training("X")], conditions=[equals(get("Steps.X.y"), 1)])], "C -> X -> C"),
    ],
)
def test_cycles_are_shown(steps, cycle):
    assert f"steps wait for each other: {cycle}." in problems(*steps)


def test_a_body_does_not_wait_for_its_own_for_each():
    inside = training("X", Arguments={"x": get("Steps.A.Status")})
    assert "nor a body for its ForEach step" in problems(for_each("A", ForEachBody=[inside]))
    assert "nor a body for its ForEach step" in problems(for_each("A", ForEachBody=[training("X", after=["A"])]))


def test_a_parameter_may_be_named_like_a_step():
    step = for_each("A", IterableItems=get("Parameters.A"))
    definition(step, Parameters=[{"Name": "A", "Type": "String"}])


def test_as_many_steps_as_aws_allows():
    nested = condition("C", [training(f"A{number}") for number in range(MAX_STEPS - 1)])
    assert len(definition(nested).steps) == MAX_STEPS
    assert f"{MAX_STEPS + 1} steps; a pipeline can have {MAX_STEPS}" in problems(nested, training("B"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("PT1H", 3600),
        ("p30d", 30 * 86400),
        ("30d", 30 * 86400),
        ("P4DT12H", 4 * 86400 + 12 * 3600),
        ("T12H", 12 * 3600),
        ("P1W", 7 * 86400),
        ("PT1M30S", 90),
        ("P1Y2M", 365 * 86400 + 2 * 30 * 86400),
    ],
)
def test_durations(value, seconds):
    assert duration(value) == seconds


@pytest.mark.parametrize("value", ["", "P", "PT", "T", "30", "1H", "P1H", "D30", "P-1D", 30, None, "P1.5D"])
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match="ISO 8601"):
        duration(value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["A", "Get", "Steps.A.x", "Parameters.N", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Get", "Std:Join", "Std:JsonGet", "Values", "Path", "A"]), inner, max_size=3)
    ),
    max_leaves=8,
)
RECORDINGS = [json.loads(path.read_text()) for path in sorted(RECORDED.glob("*.json"))]


@given(st.data())
def test_whatever_a_definition_holds_it_parses_or_is_refused(data):
    document = copy.deepcopy(data.draw(st.sampled_from(RECORDINGS)))
    place = document
    while True:  # put anything at any place of a real definition
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 4)) == 0:
            break
        place = place[key]
    place[key] = data.draw(JSON)
    with contextlib.suppress(ValidationException):
        parse(json.dumps(document))
