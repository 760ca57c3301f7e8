import pytest

from modelwright.errors import ValidationException
from modelwright.pipelines.parameters import Parameter, bind, parse_parameters
from modelwright.pipelines.problems import Problems


def parsed(*parameters):
    problems = Problems()
    return parse_parameters(list(parameters), "Parameters", problems), problems.found


def test_it_works():
    found, problems = parsed(
        {"Name": "N", "Type": "Integer", "DefaultValue": 1},
        {"Name": "S", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
        {"Name": "F", "Type": "Float", "DefaultValue": 6},
        {"Name": "B", "Type": "Boolean", "DefaultValue": False},
        {"Name": "no_default-1", "Type": "String"},
    )
    assert problems == []
    assert found["N"] == Parameter("N", "Integer", 1)
    assert found["S"].enum == ("a", "b")
    assert found["no_default-1"].default is None


@pytest.mark.parametrize(
    ("parameter", "place", "reason"),
    [
        ("x", "Parameters[0]", "Json Object"),
        ({"Type": "String"}, "Parameters[0].Name", "letters"),
        ({"Name": "a.b", "Type": "String"}, "Parameters[0].Name", "letters"),
        ({"Name": "A", "Type": "Text"}, "Parameters[0].Type", "no type"),
        ({"Name": "A", "Type": ["String"]}, "Parameters[0].Type", "no type"),
        ({"Name": "A", "Type": "Integer", "DefaultValue": "1"}, "Parameters[0].DefaultValue", "not an Integer"),
        ({"Name": "A", "Type": "Integer", "DefaultValue": True}, "Parameters[0].DefaultValue", "not an Integer"),
        ({"Name": "A", "Type": "Boolean", "DefaultValue": 0}, "Parameters[0].DefaultValue", "not a Boolean"),
        ({"Name": "A", "Type": "String", "EnumValues": [1]}, "Parameters[0].EnumValues", "type String"),
        ({"Name": "A", "Type": "String", "EnumValues": "ab"}, "Parameters[0].EnumValues", "list"),
        (
            {"Name": "A", "Type": "String", "DefaultValue": "c", "EnumValues": ["a"]},
            "Parameters[0].DefaultValue",
            "not one of EnumValues",
        ),
        ({"Name": "A", "Type": "String", "Default": "c"}, "Parameters[0].Default", "unknown member"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(parameter, place, reason):
    _, problems = parsed(parameter)
    assert [problem.path for problem in problems] == [place]
    assert reason in problems[0].reason


def test_names_are_unique_and_not_too_many():
    _, problems = parsed({"Name": "A", "Type": "String"}, {"Name": "A", "Type": "Float"})
    assert [problem.path for problem in problems] == ["Parameters[1].Name"]
    _, problems = parsed(*({"Name": f"P{number}", "Type": "String"} for number in range(201)))
    assert "201 parameters" in problems[0].reason


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("String", "", ""),
        ("String", "1", "1"),
        ("Integer", "-3", -3),
        ("Float", "3", 3.0),
        ("Float", "-1.5e-3", -0.0015),
        ("Float", ".5", 0.5),
        ("Boolean", "True", True),
        ("Boolean", "false", False),
    ],
)
def test_values_are_converted(kind, text, value):
    converted = Parameter("P", kind).convert(text)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("Integer", "1.0"), ("Integer", "1_0"), ("Integer", ""), ("Integer", "٣")]
    + [("Float", text) for text in ("nan", "inf", "1e999", "1_0", "x", "")]
    + [("Boolean", "1"), ("Boolean", "yes")],
)
def test_values_of_another_type_are_refused(kind, text):
    with pytest.raises(ValueError, match="is not a"):
        Parameter("P", kind).convert(text)


PARAMETERS = {
    "N": Parameter("N", "Integer", 1),
    "S": Parameter("S", "String", "a", ("a", "b")),
    "R": Parameter("R", "Float"),
}


def given(**values):
    return [{"Name": name, "Value": value} for name, value in values.items()]


def test_given_values_stand_above_defaults():
    assert bind(PARAMETERS, given(R="0.5", S="b")) == {"N": 1, "S": "b", "R": 0.5}
    assert bind({}, []) == {}


def test_an_empty_text_and_zero_are_values():
    parameters = {
        "S": Parameter("S", "String", ""),
        "N": Parameter("N", "Integer", 0),
        "B": Parameter("B", "Boolean", False),
    }
    assert bind(parameters, []) == {"S": "", "N": 0, "B": False}
    assert bind({"S": Parameter("S", "String", "x")}, given(S="")) == {"S": ""}


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(ValidationException) as error:
        bind(PARAMETERS, [*given(N="x", S="c", Q="1"), {"Name": "S", "Value": "a"}])
    for part in (
        "parameter 'N': 'x' is not an Integer",
        "parameter 'S': 'c' is not one of a, b",
        "unknown parameter 'Q' (the pipeline's parameters: N, S, R)",
        "parameter 'S' comes more than once",
        "parameter 'R' has no default and needs a value",
    ):
        assert part in error.value.message
