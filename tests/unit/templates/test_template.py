"""Templates as text: what is read, and what is refused by name."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.templates import plan
from modelwright.templates.problems import TemplateError
from modelwright.templates.reader import read
from modelwright.templates.template import parse

GROUP = {"Type": "AWS::Logs::LogGroup"}


def text(**sections):
    return json.dumps({"Resources": {"G": GROUP}, **sections})


@pytest.mark.parametrize(
    ("given_", "problem"),
    [
        ("", "unsupported structure"),
        ("[]", "unsupported structure"),
        ("{", "JSON not well-formed"),
        ('{"Resources": {}, "Resources": {}}', "duplicate key 'Resources'"),
        ("a: 1\na: 2", "duplicate key 'a'"),
        ("a: &x 1\nb: *x", "aliases are not allowed"),
        ("a: !Nothing x", "unknown tag !Nothing"),
        ("a:\n  - b\n c", "YAML not well-formed. (line 3"),
        ("{}", "At least one Resources member must be defined"),
        (text(Things={}), "Invalid template property or properties [Things]"),
        (text(AWSTemplateFormatVersion="2020-01-01"), "Unsupported template format version"),
        (text(Transform="AWS::Serverless-2016-10-31"), "does not support Transform [AWS::Serverless-2016-10-31]"),
        (text(Transform=[{"Name": "MyMacro"}]), "does not support Transform [MyMacro]"),
        (text(Rules={"R": {}}), "does not support the section Rules"),
        (text(Hooks={"R": {}}), "does not support the section Hooks"),
        (text(Resources={"Fn::ForEach::X": []}), "Fn::ForEach::X"),
        (text(Resources={"a-b": GROUP}), "Resource name a-b is non alphanumeric"),
        (text(Resources={"A": {}}), "must contain a Type member"),
        (text(Resources={"A": {**GROUP, "Stuff": 1}}), "Invalid template resource property 'Stuff'"),
        (text(Resources={"A": {**GROUP, "DependsOn": "B"}}), "Unresolved resource dependencies [B]"),
        (text(Resources={"A": {**GROUP, "Condition": "B"}}), "Unresolved condition dependency B"),
        (text(Resources={"A": {**GROUP, "DeletionPolicy": "Snapshot"}}), "can't be snapshotted"),
        (text(Resources={"A": {**GROUP, "DeletionPolicy": "Keep"}}), "Unrecognized DeletionPolicy Keep"),
        (text(Resources={"A": {**GROUP, "UpdatePolicy": {}}}), "does not support UpdatePolicy"),
        (text(Outputs={"O": {}}), "must contain a Value member"),
        (text(Outputs={"O": {"Value": "x", "Export": "y"}}), "Export must be an object with a Name"),
        (text(Mappings={"M": {"a": {"b": {"c": 1}}}}), "must be a String or a List"),
        (text(Description="x" * 1025), "longer than 1024 bytes"),
    ],
)
def test_what_is_refused(given_, problem):
    with pytest.raises(TemplateError) as error:
        parse(given_)
    assert problem in error.value.message
    assert error.value.code == "ValidationError"


def test_types_that_there_are_not_are_named():
    found = parse(text(Resources={"A": {"Type": "AWS::EC2::VPC"}, "B": {"Type": "Custom::X"}, "C": GROUP}))
    with pytest.raises(TemplateError, match=r"Unrecognized resource types: \[AWS::EC2::VPC, Custom::X\]"):
        plan.check_types(found)


def test_yaml_s_short_forms_are_the_long_ones():
    short = """
Conditions:
  C: !And [!Equals [a, !Ref P], !Not [!Condition D]]
Resources:
  A:
    Join: !Join ["-", [!Ref X, !GetAtt B.Arn.More, !Sub "${X}", !If [C, 1, 2]]]
    Import: !ImportValue x
    Map: !FindInMap [M, a, b]
    Zones: !GetAZs ''
    Text: !Base64 80
    When: 2012-10-17
    On: yes
    80: !Select [0, !Split [",", "a,b"]]
    Cidr: !Cidr [!Ref X, 1, 8]
"""
    assert read(short) == {
        "Conditions": {"C": {"Fn::And": [{"Fn::Equals": ["a", {"Ref": "P"}]}, {"Fn::Not": [{"Condition": "D"}]}]}},
        "Resources": {
            "A": {
                "Join": {
                    "Fn::Join": [
                        "-",
                        [
                            {"Ref": "X"},
                            {"Fn::GetAtt": ["B", "Arn.More"]},
                            {"Fn::Sub": "${X}"},
                            {"Fn::If": ["C", 1, 2]},
                        ],
                    ]
                },
                "Import": {"Fn::ImportValue": "x"},
                "Map": {"Fn::FindInMap": ["M", "a", "b"]},
                "Zones": {"Fn::GetAZs": ""},
                "Text": {"Fn::Base64": 80},
                "When": "2012-10-17",
                "On": True,
                "80": {"Fn::Select": [0, {"Fn::Split": [",", "a,b"]}]},
                "Cidr": {"Fn::Cidr": [{"Ref": "X"}, 1, 8]},
            }
        },
    }


def test_language_extensions_must_be_acknowledged():
    found = parse(text(Transform="AWS::LanguageExtensions"))
    assert plan.capabilities(found) == ["CAPABILITY_AUTO_EXPAND"]
    named = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r"}}
    assert plan.capabilities(parse(text(Resources={"A": named}))) == ["CAPABILITY_NAMED_IAM"]


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(anything):
    with suppress(TemplateError):
        parse(anything)


ODD = st.sampled_from(
    ["a", "[", "5", "G", "C", 5, -1, 2.5, True, None, ["a"], ["G"], {"a": 1}, {"Ref": "G"}, "${P}", []]
)
MEMBERS = {
    "Parameters": ("Default", "AllowedValues", "AllowedPattern", "MinLength", "MaxLength", "MinValue", "NoEcho"),
    "Resources": ("DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"),
    "Outputs": ("Description", "Export", "Condition"),
}
FUNCTIONS = st.sampled_from(
    ["Ref", "Fn::Sub", "Fn::GetAtt", "Fn::If", "Fn::Join", "Fn::Select", "Fn::Cidr", "Fn::Split", "Fn::FindInMap"]
)
VALUES = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FUNCTIONS, inner, max_size=1), max_leaves=6
)


def odd(section, start):
    """A section's member that begins well."""
    return st.dictionaries(st.sampled_from(MEMBERS[section]), ODD, max_size=2).map(lambda more: {**start, **more})


@settings(max_examples=300, deadline=None)
@given(
    odd("Parameters", {"Type": "String"}) | odd("Parameters", {"Type": "List<Number>"}),
    odd("Resources", GROUP),
    odd("Outputs", {"Value": {"Ref": "G"}}),
    VALUES,
    VALUES,
)
def test_no_template_breaks_it(parameter, resource, output, value, condition):
    """Whatever the parts are: a plan or an error with a text, never another exception."""
    body = {
        "Parameters": {"P": parameter},
        "Conditions": {"C": {"Fn::Equals": [condition, "a"]}},
        "Resources": {"G": GROUP, "A": {**resource, "Properties": {"LogGroupName": value}}},
        "Outputs": {"O": output},
    }
    with suppress(TemplateError):
        plan.make(
            parse(json.dumps(body)),
            {"P": "a"},
            account="1",
            region="r",
            stack_id="arn:1",
            stack_name="s",
            imports=lambda name: name,
        )
