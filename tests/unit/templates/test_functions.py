"""The intrinsic functions: what each gives, what it refuses, and what waits for resources."""

import base64
import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.templates import plan
from modelwright.templates.functions import Scope, is_open, reduce
from modelwright.templates.problems import TemplateError
from modelwright.templates.template import parse

STACK = "arn:aws:cloudformation:eu-west-1:111122223333:stack/s/1"
MAPS = {"M": {"eu-west-1": {"name": "west", "list": ["a", "b"]}}}


def made(value, *, parameters=None, conditions=None, given=None, imports=None, **sections):
    """The plan of a template whose only resource has this value among its properties."""

    def imported(name):
        if name not in (imports or {}):
            raise TemplateError(f"No export named {name} found.")
        return imports[name]

    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"V": value}}
    other = {"Type": "AWS::Logs::LogGroup"}
    text = {"Resources": {"G": group, "O": other}, "Mappings": MAPS, **sections}
    if parameters:
        text["Parameters"] = parameters
    if conditions:
        text["Conditions"] = conditions
    return plan.make(
        parse(json.dumps(text)),
        given or {},
        account="111122223333",
        region="eu-west-1",
        stack_id=STACK,
        stack_name="s",
        imports=imported,
    )


def value(expression, **more):
    return made(expression, **more)["Resources"]["G"]["Properties"].get("V")


PARAMETERS = {
    "Name": {"Type": "String", "Default": "pose"},
    "Count": {"Type": "Number", "Default": 3},
    "Many": {"Type": "CommaDelimitedList", "Default": "a, b,c"},
}
CONDITIONS = {
    "Yes": {"Fn::Equals": [{"Ref": "Name"}, "pose"]},
    "No": {"Fn::Not": [{"Condition": "Yes"}]},
    "Both": {"Fn::And": [{"Condition": "Yes"}, {"Fn::Equals": ["3", {"Ref": "Count"}]}]},
    "Either": {"Fn::Or": [{"Condition": "No"}, {"Condition": "Both"}]},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"Ref": "Name"}, "pose"),
        ({"Ref": "Many"}, ["a", "b", "c"]),
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Ref": "AWS::AccountId"}, "111122223333"),
        ({"Ref": "AWS::StackName"}, "s"),
        ({"Ref": "AWS::StackId"}, STACK),
        ({"Ref": "AWS::Partition"}, "aws"),
        ({"Ref": "AWS::URLSuffix"}, "amazonaws.com"),
        ({"Ref": "AWS::NoValue"}, None),
        ({"Fn::Sub": "a-${Name}-${AWS::Region}-${!Name}"}, "a-pose-eu-west-1-${Name}"),
        ({"Fn::Sub": ["${x}/${Name}/${x}", {"x": {"Ref": "Count"}}]}, "3/pose/3"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Name"}, 1, True]]}, "a-pose-1-true"),
        ({"Fn::Join": ["", {"Ref": "Many"}]}, "abc"),
        ({"Fn::Select": ["1", {"Ref": "Many"}]}, "b"),
        ({"Fn::Select": [0, {"Fn::Split": ["/", "x/y"]}]}, "x"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::FindInMap": ["M", {"Ref": "AWS::Region"}, "name"]}, "west"),
        ({"Fn::Select": [1, {"Fn::FindInMap": ["M", "eu-west-1", "list"]}]}, "b"),
        ({"Fn::If": ["Yes", "a", "b"]}, "a"),
        ({"Fn::If": ["No", "a", "b"]}, "b"),
        ({"Fn::If": ["Both", {"Ref": "Name"}, {"Ref": "AWS::NoValue"}]}, "pose"),
        ({"Fn::If": ["Either", [1, {"Ref": "AWS::NoValue"}], 0]}, [1]),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ({"Fn::GetAZs": "us-east-1"}, ["us-east-1a", "us-east-1b", "us-east-1c"]),
        ({"Fn::Base64": {"Fn::Sub": "${Name}!"}}, base64.b64encode(b"pose!").decode()),
        ({"Fn::Cidr": ["10.0.0.0/24", 2, 5]}, ["10.0.0.0/27", "10.0.0.32/27"]),
        ({"Fn::Length": {"Ref": "Many"}}, 3),
        ({"Fn::ToJsonString": {"a": [{"Ref": "Name"}]}}, '{"a":["pose"]}'),
        ({"Fn::ImportValue": {"Fn::Sub": "${Name}-export"}}, "value"),
    ],
)
def test_what_functions_give(expression, expected):
    assert value(expression, parameters=PARAMETERS, conditions=CONDITIONS, imports={"pose-export": "value"}) == expected


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ({"Ref": "Nothing"}, "Unresolved resource dependencies [Nothing]"),
        ({"Ref": ["Name"]}, "Ref takes the name"),
        ({"Fn::GetAtt": ["Nothing", "Arn"]}, "references undefined resource Nothing"),
        ({"Fn::GetAtt": "O"}, "requires two non-empty parameters"),
        ({"Fn::GetAtt": ["O", "Size"]}, "does not support attribute type Size"),
        ({"Fn::Sub": "${O.Size}"}, "does not support attribute type Size"),
        ({"Fn::Sub": "${Nothing}"}, "Unresolved resource dependencies [Nothing]"),
        ({"Fn::Sub": "${Nothing.Arn}"}, "references invalid resource attribute Nothing.Arn"),
        ({"Fn::Sub": ["x"]}, "don't specify expected arguments"),
        ({"Fn::Join": ["-"]}, "every Fn::Join object requires two parameters"),
        ({"Fn::Join": ["-", [["a"]]]}, "a string is needed"),
        ({"Fn::Select": [3, ["a"]]}, "cannot select nonexistent value at index 3"),
        ({"Fn::Select": [-1, ["a"]]}, "cannot select nonexistent value at index -1"),
        ({"Fn::Select": ["a"]}, "Fn::Select requires a list argument"),
        ({"Fn::Split": ["", "a"]}, "every Fn::Split object requires two parameters"),
        ({"Fn::FindInMap": ["M", "eu-west-1", "none"]}, "Unable to get mapping for M::eu-west-1::none"),
        ({"Fn::FindInMap": ["M", "x"]}, "Fn::FindInMap requires three parameters"),
        ({"Fn::If": ["Nothing", 1, 2]}, "Unresolved condition dependency Nothing"),
        ({"Fn::If": ["Yes", 1]}, "Fn::If requires a list argument with three parameters"),
        ({"Fn::Equals": ["a", "b"]}, "can only be used in the Conditions"),
        ({"Fn::Cidr": ["10.0.0.0/24", 300, 5]}, "Fn::Cidr can't be evaluated"),
        ({"Fn::Cidr": ["10.0.0.0/30", 8, 1]}, "Fn::Cidr can't be evaluated"),
        ({"Fn::Cidr": ["nothing", 1, 1]}, "Fn::Cidr can't be evaluated"),
        ({"Fn::Length": "a"}, "Fn::Length takes a list"),
        ({"Fn::ToJsonString": "a"}, "Fn::ToJsonString takes an object or a list"),
        ({"Fn::ImportValue": "none"}, "No export named none found"),
        ({"Fn::Transform": {"Name": "AWS::Include"}}, "unsupported function: Fn::Transform"),
        ({"Fn::ForEach": []}, "unsupported function: Fn::ForEach"),
    ],
)
def test_what_functions_refuse(expression, text):
    with pytest.raises(TemplateError) as error:
        value(expression, parameters=PARAMETERS, conditions=CONDITIONS)
    assert text in error.value.message
    assert error.value.code == "ValidationError"


def test_what_resources_have_to_tell_waits_for_them():
    expression = {"Fn::Join": ["/", [{"Ref": "O"}, {"Fn::GetAtt": ["O", "Arn"]}, {"Fn::Sub": "x${O}y"}]]}
    plans = made(expression)
    left = plans["Resources"]["G"]["Properties"]["V"]
    assert is_open(left)
    assert plans["Resources"]["G"]["After"] == ["O"]
    known = Scope(names={"O": "/o"}, attributes={("O", "Arn"): "arn"})
    assert reduce(left, known) == "/o/arn/x/oy"


@pytest.mark.parametrize(
    "expression",
    [
        {"Fn::Base64": {"Ref": "O"}},
        {"Fn::Length": {"Fn::GetAtt": ["O", "Arn"]}},
        {"Fn::ToJsonString": {"a": {"Ref": "O"}}},
        {"Fn::Base64": {"Fn::Sub": "${O}"}},
        {"Fn::Select": [0, {"Fn::Split": ["/", {"Ref": "O"}]}]},
    ],
)
def test_a_reference_is_found_wherever_it_is(expression):
    assert made(expression)["Resources"]["G"]["After"] == ["O"]


def test_conditions_choose_resources_and_outputs():
    resources = {
        "A": {"Type": "AWS::Logs::LogGroup", "Condition": "Yes"},
        "B": {"Type": "AWS::Logs::LogGroup", "Condition": "No", "DependsOn": "A"},
        "C": {"Type": "AWS::Logs::LogGroup", "DependsOn": ["A", "B"]},
    }
    outputs = {"Out": {"Value": {"Ref": "B"}, "Condition": "No"}, "In": {"Value": {"Ref": "A"}, "Condition": "Yes"}}
    found = made("x", parameters=PARAMETERS, conditions=CONDITIONS, Resources=resources, Outputs=outputs)
    assert {name: one["After"] for name, one in found["Resources"].items()} == {"A": [], "C": ["A"]}
    assert set(found["Outputs"]) == {"In"}
    outputs["Out"].pop("Condition")
    with pytest.raises(TemplateError, match=r"Unresolved resource dependencies \[B\] in the Outputs block"):
        made("x", parameters=PARAMETERS, conditions=CONDITIONS, Resources=resources, Outputs=outputs)


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ({"A": {"Condition": "B"}, "B": {"Condition": "A"}}, "Circular dependency between conditions"),
        ({"A": {"Fn::Equals": [{"Ref": "O"}, "x"]}}, "Cannot reference resources in the Conditions block"),
        ({"A": {"Fn::Equals": ["x"]}}, "has not the arguments"),
        ({"A": {"Fn::And": [{"Fn::Equals": ["a", "a"]}]}}, "has not the arguments"),
        ({"A": {"Fn::Join": ["", []]}}, "Conditions can only be boolean operations"),
        ({"A": {"Condition": "None"}}, "Unresolved condition dependency None"),
    ],
)
def test_what_conditions_refuse(conditions, text):
    with pytest.raises(TemplateError) as error:
        made("x", conditions=conditions)
    assert text in error.value.message


def test_a_cycle_is_named():
    resources = {
        "A": {"Type": "AWS::Logs::LogGroup", "Properties": {"V": {"Ref": "B"}}},
        "B": {"Type": "AWS::Logs::LogGroup", "DependsOn": "C"},
        "C": {"Type": "AWS::Logs::LogGroup", "Properties": {"V": {"Fn::Sub": "${A.Arn}"}}},
        "D": {"Type": "AWS::Logs::LogGroup", "DependsOn": "A"},
    }
    with pytest.raises(TemplateError, match=r"Circular dependency between resources: \[A, B, C"):
        made("x", Resources=resources)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="|"), max_size=8)


@given(st.lists(TEXTS, min_size=1, max_size=5), st.data())
def test_split_and_select_undo_join(parts, data):
    place = data.draw(st.integers(0, len(parts) - 1))
    scope = Scope()
    joined = reduce({"Fn::Join": ["|", parts]}, scope)
    assert reduce({"Fn::Split": ["|", joined]}, scope) == parts
    assert reduce({"Fn::Select": [place, {"Fn::Split": ["|", joined]}]}, scope) == parts[place]
    assert base64.b64decode(reduce({"Fn::Base64": joined}, scope)).decode() == joined


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_what_has_no_functions_stays_as_it_is(plain):
    assert reduce(plain, Scope()) == plain
    if isinstance(plain, list | dict):
        assert json.loads(reduce({"Fn::ToJsonString": plain}, Scope())) == plain


@given(TEXTS.filter(lambda text: "${" not in text), TEXTS.filter(lambda text: "${" not in text))
def test_sub_puts_values_between_texts(before, after):
    if before.endswith("$"):
        return
    assert reduce({"Fn::Sub": [f"{before}${{x}}{after}", {"x": "v"}]}, Scope()) == f"{before}v{after}"


@given(st.integers(16, 28), st.integers(1, 6), st.integers(1, 8))
def test_blocks_of_addresses_lie_side_by_side(prefix, count, bits):
    block = ipaddress.ip_network(f"10.0.0.0/{prefix}")
    if 32 - bits < prefix or 2 ** (32 - bits - prefix) < count:
        with pytest.raises(TemplateError):
            reduce({"Fn::Cidr": [str(block), count, bits]}, Scope())
        return
    found = [ipaddress.ip_network(each) for each in reduce({"Fn::Cidr": [str(block), count, bits]}, Scope())]
    assert len(found) == count
    assert all(each.subnet_of(block) and each.num_addresses == 2**bits for each in found)
    assert not any(one.overlaps(other) for i, one in enumerate(found) for other in found[:i])
