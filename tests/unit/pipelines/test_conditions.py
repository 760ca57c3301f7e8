import pytest

from modelwright.errors import ValidationException
from modelwright.pipelines.conditions import check_condition, evaluate, holds
from modelwright.pipelines.problems import Problems
from support.definitions import Values


def compare(kind, left, right):
    return evaluate({"Type": kind, "LeftValue": left, "RightValue": right}, Values())


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, 2, False),
        ("a", "a", True),
        ("a", "b", False),
        ("6.0", 6, True),
        (0.5, "0.50", True),
        ("x", 3, False),
        (True, True, True),
        (True, False, False),
        (True, "true", True),
        ("False", False, True),
        ("yes", True, False),
        (True, 1, False),
        ("1", "1.0", False),
    ],
)
def test_equals(left, right, expected):
    assert compare("Equals", left, right) is expected


@pytest.mark.parametrize(
    ("kind", "results"),
    [
        ("GreaterThan", (False, False, True)),
        ("GreaterThanOrEqualTo", (False, True, True)),
        ("LessThan", (True, False, False)),
        ("LessThanOrEqualTo", (True, True, False)),
    ],
)
def test_order(kind, results):
    assert tuple(compare(kind, left, 2) for left in (1, 2, 3)) == results
    assert tuple(compare(kind, left, 2) for left in ("1.5", "2.0", "2.5")) == results
    assert tuple(compare(kind, left, "b") for left in ("a", "b", "c")) == results


@pytest.mark.parametrize(("left", "right"), [("x", 3), (True, False), (True, 1), ("a", True)])
def test_what_has_no_order_is_an_error(left, right):
    with pytest.raises(ValidationException, match="greater"):
        compare("GreaterThan", left, right)


def test_what_is_no_value_is_an_error():
    with pytest.raises(ValidationException, match="can't compare"):
        evaluate(
            {"Type": "Equals", "LeftValue": {"Get": "Steps.T.A"}, "RightValue": 1}, Values(steps={"T": {"A": [1]}})
        )


def test_in():
    condition = {"Type": "In", "QueryValue": {"Get": "Parameters.P"}, "Values": ["a", {"Get": "Parameters.Q"}, 3]}
    for value, expected in (("a", True), ("b", True), ("3", True), ("c", False)):
        assert evaluate(condition, Values(parameters={"P": value, "Q": "b"})) is expected


YES, NO = ({"Type": "Equals", "LeftValue": 1, "RightValue": value} for value in (1, 2))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Type": "Not", "Condition": YES}, False),
        ({"Type": "Not", "Condition": NO}, True),
        ({"Type": "Or", "Conditions": [NO, YES]}, True),
        ({"Type": "Or", "Conditions": [NO, NO]}, False),
        ({"Type": "And", "Conditions": [YES, YES]}, True),
        ({"Type": "And", "Conditions": [YES, NO]}, False),
        ({"Type": "Not", "Condition": {"Type": "Or", "Conditions": [NO, {"Type": "Not", "Condition": YES}]}}, True),
    ],
)
def test_nested(condition, expected):
    assert evaluate(condition, Values()) is expected


def test_a_step_wants_all_its_conditions():
    assert holds([YES, YES], Values())
    assert not holds([YES, NO], Values())


@pytest.mark.parametrize(
    ("condition", "place", "reason"),
    [
        ("x", "C", "Json Object"),
        ({}, "C.Type", "no condition"),
        ({"Type": ["Equals"]}, "C.Type", "no condition"),
        ({"Type": "Equals", "LeftValue": 1}, "C", "needs RightValue"),
        ({"Type": "Equals", "LeftValue": 1, "RightValue": 2, "Values": []}, "C.Values", "unknown member"),
        ({"Type": "Equals", "LeftValue": [1], "RightValue": 2}, "C.LeftValue", "can't compare"),
        ({"Type": "Equals", "LeftValue": {"Get": "?"}, "RightValue": 2}, "C.LeftValue.Get", "must begin"),
        ({"Type": "In", "QueryValue": 1, "Values": []}, "C.Values", "at least one"),
        ({"Type": "In", "QueryValue": 1, "Values": [None]}, "C.Values[0]", "can't compare"),
        ({"Type": "Or", "Conditions": "x"}, "C.Conditions", "at least one"),
        ({"Type": "Or", "Conditions": [{"Type": "Not", "Condition": 1}]}, "C.Conditions[0].Condition", "Json Object"),
    ],
)
def test_what_is_ill_formed_is_told_with_its_place(condition, place, reason):
    problems = Problems()
    check_condition(condition, "C", problems)
    assert [problem.path for problem in problems.found] == [place]
    assert reason in problems.found[0].reason
