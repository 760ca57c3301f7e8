"""Parameters: their types, their constraints, and the values that they get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.templates.parameters import declaration, typed, values_of
from modelwright.templates.problems import TemplateError


def value(given_, **declared):
    one = declaration("P", {"Type": "String", **declared})
    return values_of({"P": one}, {} if given_ is None else {"P": given_})["P"]


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("a", {}),
        ("", {"Type": "String"}),
        (None, {"Default": "x"}),
        ("1.5e3", {"Type": "Number"}),
        ("-2", {"Type": "Number", "MaxValue": -1}),
        ("1,2", {"Type": "List<Number>"}),
        ("b", {"AllowedValues": ["a", "b"]}),
        ("true", {"AllowedValues": [True, False]}),
        ("ml.m5.large", {"AllowedPattern": "ml[.].*"}),
        ("ab", {"MinLength": "2", "MaxLength": 2}),
        ("5", {"Type": "Number", "MinValue": 5, "MaxValue": "5"}),
        ("a, b", {"Type": "CommaDelimitedList", "AllowedValues": ["a", "b"]}),
    ],
)
def test_what_is_allowed(text, declared):
    assert value(text, **declared) == ("x" if text is None else text)


@pytest.mark.parametrize(
    ("text", "declared", "problem"),
    [
        (None, {}, "Parameters: [P] must have values"),
        ("a", {"Type": "Number"}, "Parameter 'P' must be a number"),
        ("1,a", {"Type": "List<Number>"}, "Parameter 'P' must be a number"),
        ("c", {"AllowedValues": ["a", "b"]}, "Parameter 'P' must be one of AllowedValues [a, b]"),
        ("xml.m5", {"AllowedPattern": "ml[.].*"}, "must match pattern ml[.].*"),
        ("a", {"MinLength": 2}, "must contain at least 2 characters"),
        ("abc", {"MaxLength": 2}, "must contain at most 2 characters"),
        ("4", {"Type": "Number", "MinValue": 5}, "must be a number not less than 5"),
        ("6", {"Type": "Number", "MaxValue": 5}, "must be a number not greater than 5"),
        ("a,x", {"Type": "CommaDelimitedList", "AllowedValues": ["a"]}, "must be one of AllowedValues"),
        ("no", {"AllowedPattern": "y.*", "ConstraintDescription": "say yes"}, "failed to satisfy constraint: say yes"),
        ("a" * 80 + "!", {"AllowedPattern": "(a|aa)+"}, "the regular expression '(a|aa)+' takes too long"),
    ],
)
def test_what_is_not(text, declared, problem):
    with pytest.raises(TemplateError) as error:
        value(text, **declared)
    assert problem in error.value.message


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"Type": "AWS::SSM::Parameter::Value<String>"}, "AWS::SSM::Parameter::Value<String>"),
        ({"Type": "List<AWS::EC2::Subnet::Id>"}, "List<AWS::EC2::Subnet::Id>"),
        ({"Type": "Text"}, "Unrecognized parameter type: Text"),
        ({"Type": "String", "Size": 1}, "Invalid template parameter property 'Size'"),
        ({"Default": "a"}, "must contain a Type member"),
        ({"Type": "String", "Default": {"a": 1}}, "Default member must be a string"),
        ({"Type": "Number", "Default": "a"}, "must be a number"),
        ("String", "must be an object"),
        ({"Type": "String", "AllowedPattern": "["}, "AllowedPattern is not a regular expression"),
        ({"Type": "String", "AllowedPattern": 5}, "AllowedPattern is not a regular expression"),
        ({"Type": "String", "AllowedPattern": "(" * 5000}, "AllowedPattern is not a regular expression"),
        ({"Type": "String", "AllowedValues": "a"}, "Every AllowedValues member must be a list"),
        ({"Type": "String", "AllowedValues": [["a"]]}, "Every AllowedValues member must be a list"),
        ({"Type": "String", "MinLength": "a"}, "MinLength must be a whole number"),
        ({"Type": "Number", "MaxValue": None}, "MaxValue must be a number"),
    ],
)
def test_what_can_not_be_declared(declared, problem):
    with pytest.raises(TemplateError) as error:
        declaration("P", declared)
    assert problem in error.value.message


def test_one_that_the_template_has_not():
    with pytest.raises(TemplateError, match=r"Parameters: \[Q\] do not exist in the template"):
        values_of({"P": declaration("P", {"Type": "String"})}, {"P": "a", "Q": "b"})


WORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"], exclude_characters=","), min_size=1)


@given(st.lists(WORDS, min_size=1))
def test_a_list_is_what_lies_between_the_commas(items):
    one = declaration("P", {"Type": "CommaDelimitedList"})
    assert typed(one, ",".join(items)) == items
    assert typed(one, " , ".join(items)) == items


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_numbers_are_numbers(number):
    assert value(str(number), Type="Number") == str(number)
