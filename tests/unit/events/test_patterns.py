import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright.events import wildcards
from modelwright.events.patterns import compile_pattern
from modelwright.events.problems import InvalidEventPattern

EVENT = {
    "version": "0",
    "id": "1",
    "detail-type": "SageMaker Model Package State Change",
    "source": "aws.sagemaker",
    "account": "111122223333",
    "time": "2026-11-23T10:00:00Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:sagemaker:eu-west-1:111122223333:model-package/poses/1", "another"],
    "detail": {
        "ModelPackageGroupName": "PoseYOLOv8",
        "ModelPackageVersion": 1,
        "ModelApprovalStatus": "Approved",
        "score": 0.75,
        "count": 300,
        "ip": "10.0.0.17",
        "ip6": "2001:db8::1",
        "nothing": None,
        "empty": "",
        "flag": True,
        "none": [],
        "path": "dir/sub/picture.PNG",
        "containers": [{"name": "a", "size": 1}, {"name": "b", "size": 2, "extra": "x"}],
        "nested": {"deep": {"deeper": "yes"}},
        "odd": 'a*b\\c"',
    },
}


def matches(event=EVENT, **detail):
    return compile_pattern(json.dumps({"detail": detail})).matches(event)


def pattern(**fields):
    return compile_pattern(json.dumps({name.replace("_", "-"): value for name, value in fields.items()}))


def test_it_works():
    text = """{
      "source": ["aws.sagemaker"],
      "detail-type": ["SageMaker Model Package State Change"],
      "detail": {"ModelPackageGroupName": ["PoseYOLOv8"], "ModelApprovalStatus": ["Approved", "Rejected"]}
    }"""
    assert compile_pattern(text).matches(EVENT)
    rejected = {**EVENT, "detail": {**EVENT["detail"], "ModelApprovalStatus": "PendingManualApproval"}}
    assert not compile_pattern(text).matches(rejected)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("count", [300], True),
        ("count", [300.0], False),  # numbers are compared as they are written
        ("count", ["300"], False),
        ("flag", [True], True),
        ("flag", [1], False),
        ("ModelPackageVersion", [True], False),
        ("nothing", [None], True),
        ("empty", [None], False),
        ("empty", [""], True),
        ("nothing", [""], False),
        ("missing", [None], False),
        ("path", [{"prefix": "dir/"}], True),
        ("path", [{"prefix": "DIR/"}], False),
        ("path", [{"prefix": {"equals-ignore-case": "DIR/"}}], True),
        ("path", [{"suffix": ".PNG"}], True),
        ("path", [{"suffix": ".png"}], False),
        ("path", [{"suffix": {"equals-ignore-case": ".png"}}], True),
        ("count", [{"prefix": "3"}], False),
        ("ModelApprovalStatus", [{"equals-ignore-case": "aPPROVED"}], True),
        ("path", [{"wildcard": "dir/*.PNG"}], True),
        ("path", [{"wildcard": "dir/*.PN"}], False),
        ("path", [{"wildcard": "*"}], True),
        ("path", [{"wildcard": "dir/sub/picture.PNG"}], True),
        ("odd", [{"wildcard": 'a\\*b\\\\*"'}], True),
        ("odd", [{"wildcard": "a\\*x*"}], False),
        ("score", [{"numeric": ["=", 0.75]}], True),
        ("score", [{"numeric": [">", 0.5, "<=", 0.75]}], True),
        ("score", [{"numeric": [">", 0.5, "<", 0.75]}], False),
        ("score", [{"numeric": [">=", 0.8]}], False),
        ("count", [{"numeric": ["=", 300.0]}], True),
        ("count", [{"numeric": ["<", 300]}], False),
        ("flag", [{"numeric": ["=", 1]}], False),
        ("path", [{"numeric": ["=", 1]}], False),
        ("ip", [{"cidr": "10.0.0.0/24"}], True),
        ("ip", [{"cidr": "10.0.0.9/24"}], True),
        ("ip", [{"cidr": "10.0.1.0/24"}], False),
        ("ip6", [{"cidr": "2001:db8::/32"}], True),
        ("ip", [{"cidr": "2001:db8::/32"}], False),
        ("path", [{"cidr": "10.0.0.0/24"}], False),
        ("count", [{"cidr": "0.0.0.0/0"}], False),
        ("path", [{"exists": True}], True),
        ("nothing", [{"exists": True}], True),
        ("missing", [{"exists": True}], False),
        ("missing", [{"exists": False}], True),
        ("path", [{"exists": False}], False),
        ("nested", [{"exists": True}], False),  # only values without structure exist
        ("nested", [{"exists": False}], True),
        ("none", [{"exists": True}], False),
        ("none", [{"exists": False}], True),
        ("path", [{"exists": False}, {"prefix": "dir"}], True),
        ("missing", [{"exists": False}, "x"], True),
        ("ModelApprovalStatus", [{"anything-but": "Rejected"}], True),
        ("ModelApprovalStatus", [{"anything-but": ["Rejected", "Approved"]}], False),
        ("count", [{"anything-but": 300}], False),
        ("count", [{"anything-but": [1, 2]}], True),
        ("count", [{"anything-but": "300"}], True),
        ("missing", [{"anything-but": "x"}], False),
        ("path", [{"anything-but": {"prefix": "dir"}}], False),
        ("path", [{"anything-but": {"prefix": ["a", "b"]}}], True),
        ("path", [{"anything-but": {"suffix": [".jpg", ".PNG"]}}], False),
        ("path", [{"anything-but": {"suffix": ".jpg"}}], True),
        ("path", [{"anything-but": {"equals-ignore-case": "DIR/SUB/PICTURE.png"}}], False),
        ("path", [{"anything-but": {"equals-ignore-case": ["a", "b"]}}], True),
        ("path", [{"anything-but": {"wildcard": "*/sub/*"}}], False),
        ("path", [{"anything-but": {"wildcard": ["*.jpg", "x*"]}}], True),
        ("path", [{"anything-but": {"prefix": {"equals-ignore-case": "DIR"}}}], False),
    ],
)
def test_values(field, value, expected):
    assert matches(**{field: value}) is expected


def test_of_an_array_one_element_has_to_match():
    assert pattern(resources=[{"prefix": "arn:aws:sagemaker"}]).matches(EVENT)
    assert pattern(resources=["another", "unheard of"]).matches(EVENT)
    assert not pattern(resources=["unheard of"]).matches(EVENT)
    assert pattern(resources=[{"anything-but": "another"}]).matches(EVENT)  # the first one is
    assert not pattern(resources=["x"]).matches({**EVENT, "resources": []})
    assert pattern(a=[2]).matches({"a": [[1], [2, 3]]})


def test_fields_of_objects_in_an_array_must_match_in_the_same_element():
    assert matches(containers={"name": ["a"], "size": [1]})
    assert matches(containers={"name": ["b"], "size": [2], "extra": ["x"]})
    assert not matches(containers={"name": ["a"], "size": [2]})


def test_a_field_of_no_element_is_absent():
    assert matches(containers={"name": ["a"], "unknown": [{"exists": False}]})
    assert not matches(containers={"name": ["a"], "extra": [{"exists": False}]})  # another element has it


def test_fields_below_what_is_missing_may_be_absent_too():
    assert matches(missing={"deep": {"deeper": [{"exists": False}]}})
    assert not matches(missing={"deep": {"deeper": [{"exists": True}]}})
    assert matches(path={"deep": [{"exists": False}]})


def test_or():
    either = {"$or": [{"count": [{"numeric": [">", 1000]}]}, {"nested": {"deep": {"deeper": ["yes"]}}}]}
    assert matches(**either)
    assert matches(**either, flag=[True])
    assert not matches(**either, flag=[False])
    assert not matches(**{"$or": [{"count": [1]}, {"count": [2]}]})
    inner = {"$or": [{"flag": [True], "$or": [{"count": [1]}, {"count": [300]}]}, {"missing": ["x"]}]}
    assert matches(**inner)
    whole = compile_pattern('{"$or": [{"source": ["x"]}, {"detail": {"flag": [true]}}]}')
    assert whole.matches(EVENT)
    assert not whole.matches({**EVENT, "detail": {}})


def test_several_ors_must_each_have_one():
    both = {"nested": {"$or": [{"deep": {"deeper": ["yes"]}}, {"x": [1]}]}, "$or": [{"count": [1]}, {"count": [300]}]}
    assert matches(**both)
    assert not matches(**{**both, "$or": [{"count": [1]}, {"count": [2]}]})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "Filter is not an object"),
        ('"x"', "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        ('{"detail": {}}', "Empty objects are not allowed (at detail)"),
        ('{"source": "aws.sagemaker"}', '"source" must be an object or an array'),
        ('{"source": []}', "Empty arrays are not allowed"),
        ('{"source": [["x"]]}', "Match value must be String, number, true, false, or null"),
        ('{"source": [{}]}', "Match expression name not found"),
        ('{"source": [{"begins": "x"}]}', "Unrecognized match type begins (at source)"),
        ('{"source": [{"prefix": "x", "suffix": "y"}]}', "Only one key allowed"),
        ('{"source": [{"prefix": 1}]}', "prefix match pattern must be a string"),
        ('{"source": [{"prefix": {"x": "y"}}]}', "prefix match pattern must be a string"),
        ('{"source": [{"suffix": null}]}', "suffix match pattern must be a string"),
        ('{"source": [{"equals-ignore-case": 1}]}', "must be a string"),
        ('{"source": [{"wildcard": "a**b"}]}', "Consecutive wildcard characters at pos 1"),
        ('{"source": [{"wildcard": "a\\\\b"}]}', "Invalid escape character at pos 1"),
        ('{"source": [{"wildcard": "a\\\\"}]}', "Invalid escape character at pos 1"),
        ('{"source": [{"exists": "yes"}]}', "either true or false"),
        ('{"source": [{"cidr": "10.0.0.0"}]}', "one '/' required"),
        ('{"source": [{"cidr": "10.0.0.0/33"}]}', "Malformed CIDR"),
        ('{"source": [{"numeric": []}]}', "must be an array"),
        ('{"source": [{"numeric": [">"]}]}', "an operator and a number"),
        ('{"source": [{"numeric": ["!", 1]}]}', "Unrecognized numeric range operator: !"),
        ('{"source": [{"numeric": [">", "1"]}]}', "must be numeric"),
        ('{"source": [{"numeric": [">", true]}]}', "must be numeric"),
        ('{"source": [{"numeric": ["<", 5, ">", 1]}]}', "bottom first"),
        ('{"source": [{"numeric": [">", 5, "<", 5]}]}', "Bottom must be less than top"),
        ('{"source": [{"numeric": ["=", 6e9]}]}', "between -5.0E9 and 5.0E9"),
        ('{"source": [{"numeric": ["=", NaN]}]}', "between -5.0E9 and 5.0E9"),
        ('{"source": [{"anything-but": []}]}', "Empty arrays"),
        ('{"source": [{"anything-but": ["x", 1]}]}', "all values are number or all are string"),
        ('{"source": [{"anything-but": null}]}', "all values are number or all are string"),
        ('{"source": [{"anything-but": {"numeric": ["=", 1]}}]}', "Unsupported anything-but pattern: numeric"),
        ('{"source": [{"anything-but": {"prefix": []}}]}', "Empty arrays"),
        ('{"source": [{"anything-but": {"prefix": [1]}}]}', "must be a string"),
        ('{"$or": {"source": ["x"]}}', "must be an Array"),
        ('{"$or": [{"source": ["x"]}]}', "at least 2 Objects"),
        ('{"$or": [{"source": ["x"]}, "y"]}', "Only JSON object"),
        ('{"$or": [{"prefix": ["x"]}, {"source": ["y"]}]}', "reserved field name"),
        ('{"$or": [{"source": ["x"]}, {}]}', "Empty objects"),
    ],
)
def test_what_is_refused(text, reason):
    with pytest.raises(InvalidEventPattern) as error:
        compile_pattern(text)
    assert reason in error.value.message
    assert error.value.code == "InvalidEventPatternException"


def test_too_many_combinations_are_refused():
    choice = {"$or": [{"x": [i]} for i in range(10)]}
    assert compile_pattern(json.dumps({"a": choice, "b": choice, "c": choice}))
    with pytest.raises(InvalidEventPattern, match="too complex"):
        compile_pattern(json.dumps({"a": choice, "b": choice, "c": choice, "d": {"$or": [{"x": [1]}, {"y": [1]}]}}))


def test_wildcards_take_no_longer_than_the_text():
    parts = wildcards.parse("*".join("a" * 100))
    begun = time.perf_counter()
    assert not wildcards.matches(parts, "a" * 50_000 + "b")
    assert wildcards.matches(parts, "a" * 50_000)
    assert time.perf_counter() - begun < 1


def test_literals_say_which_sources_there_can_be():
    assert pattern(source=["a", "b"]).literals("source") == {"a", "b"}
    assert pattern(source=["a", {"prefix": "b"}]).literals("source") is None
    assert pattern(source=["a", {"exists": False}]).literals("source") is None
    assert pattern(detail={"x": [1]}).literals("source") is None


# Properties

scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.text(max_size=6))
names = st.sampled_from(["a", "b", "c"])
objects = st.recursive(
    st.dictionaries(names, scalars, max_size=3),
    lambda inner: st.dictionaries(names, st.one_of(scalars, inner), max_size=3),
    max_leaves=6,
)


def as_pattern(value):
    """The pattern that asks for exactly these values."""
    return {k: as_pattern(v) if isinstance(v, dict) else [v] for k, v in value.items() if v != {}}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(objects)
def test_an_event_matches_the_pattern_of_its_own_values(event):
    asked = as_pattern(event)
    if "{}" not in json.dumps(asked):
        assert compile_pattern(json.dumps(asked)).matches(event)


@given(scalars, scalars)
def test_a_literal_matches_its_like_alone(one, other):
    same = type(one) is type(other) and one == other
    assert pattern(a=[one]).matches({"a": other}) is same


@given(st.text(max_size=8), st.text(max_size=8))
def test_anything_but_is_the_opposite(text, excluded):
    for expression in ({"prefix": excluded}, {"suffix": excluded}, {"equals-ignore-case": excluded}):
        but = pattern(a=[{"anything-but": expression}])
        assert but.matches({"a": text}) is not pattern(a=[expression]).matches({"a": text})


@given(st.lists(st.text("ab*\\", max_size=4), min_size=1, max_size=4), st.text("ab*\\", max_size=12))
def test_wildcards_agree_with_a_slow_way(parts, text):
    def slow(parts, text):
        if len(parts) == 1:
            return text == parts[0]
        return text.startswith(parts[0]) and any(slow(parts[1:], text[i:]) for i in range(len(parts[0]), len(text) + 1))

    written = "*".join(part.replace("\\", "\\\\").replace("*", "\\*") for part in parts)
    if "" in parts[1:-1]:
        return  # that would be two wildcards in a row
    assert wildcards.parse(written) == tuple(parts)
    assert wildcards.matches(tuple(parts), text) is slow(parts, text)


@given(st.recursive(scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3)))
def test_anything_is_compiled_or_refused(value):
    try:
        compiled = compile_pattern(json.dumps(value))
    except InvalidEventPattern:
        return
    assert compiled.matches(EVENT) in (True, False)
