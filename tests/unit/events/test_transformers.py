import json

import pytest

from modelwright.errors import ValidationException
from modelwright.events.envelopes import envelope
from modelwright.events.paths import MISSING, parse_path
from modelwright.events.transformers import Origin, check_input, make_input

EVENT = envelope(
    id="7bf7",
    source="aws.ec2",
    detail_type="EC2 Instance State-change Notification",
    detail={
        "instance-id": "i-01",
        "state": 'say "RUN"\n',
        "sizes": [{"n": 1}, {"n": 2}],
        "deep": {"x": 1.5},
        "no": None,
    },
    resources=["arn:aws:ec2:us-east-1:123456789012:instance/i-01"],
    account="123456789012",
    region="us-east-1",
    time=1447284594.9,
)
ORIGIN = Origin("watch", "arn:aws:events:us-east-1:123456789012:rule/watch", "2015-11-11T23:29:54Z")


def made(**form):
    target = {"Id": "1", "Arn": "x", **form}
    check_input(target)
    return make_input(target, EVENT, ORIGIN)


def transformed(template, **paths):
    return made(InputTransformer={"InputPathsMap": paths, "InputTemplate": template})


def test_the_whole_event():
    assert json.loads(made()) == EVENT
    assert EVENT["time"] == "2015-11-11T23:29:54Z"
    assert list(EVENT) == [
        "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
    ]  # fmt: skip


def test_a_constant_and_a_part():
    assert made(Input='{"a": 1}') == '{"a": 1}'
    assert json.loads(made(InputPath="$.detail.deep")) == {"x": 1.5}
    assert made(InputPath="$.detail.instance-id") == '"i-01"'
    assert made(InputPath="$.nothing") == "null"
    assert json.loads(made(InputPath="$")) == EVENT


def test_a_json_template():
    text = transformed(
        '{"instance": <instance>, "text": "<instance> is <state>", "all": <sizes>, "deep": <deep>, "gone": <gone>, '
        '"in": "<gone>|<deep>"}',
        instance="$.detail.instance-id",
        state="$.detail.state",
        sizes="$.detail.sizes[*].n",
        deep="$.detail.deep",
        gone="$.detail.gone",
    )
    assert json.loads(text) == {
        "instance": "i-01",
        "text": 'i-01 is say "RUN"\n',
        "all": [1, 2],
        "deep": {"x": 1.5},
        "gone": None,
        "in": '|{"x":1.5}',
    }


def test_a_string_template_and_lines():
    assert transformed('"<a> is <b>"', a="$.detail.instance-id", b="$.region") == '"i-01 is us-east-1"'
    lines = transformed('"The <a>"\n"is in <b>"', a="$.detail.instance-id", b="$.region")
    assert lines == '"The i-01"\n"is in us-east-1"'


def test_predefined_variables():
    text = transformed(
        '{"arn": "<aws.events.rule-arn>", "name": <aws.events.rule-name>, "at": <aws.events.event.ingestion-time>, '
        '"event": <aws.events.event>, "json": <aws.events.event.json>}'
    )
    found = json.loads(text)
    assert found["arn"] == ORIGIN.rule_arn
    assert found["name"] == "watch"
    assert found["at"] == ORIGIN.ingested
    assert found["json"] == EVENT
    assert found["event"] == {name: value for name, value in EVENT.items() if name != "detail"}


def test_what_only_looks_like_a_variable_stays():
    assert json.loads(transformed('{"a": "1 < 2 > 0, <b c>", "b": "\\"<x>\\""}', x="$.region")) == {
        "a": "1 < 2 > 0, <b c>",
        "b": '"us-east-1"',
    }


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"Input": "{"}, "Input must be valid JSON"),
        ({"Input": "{}", "InputPath": "$"}, "Input and InputPath"),
        ({"InputPath": "detail"}, "must begin with '$'"),
        ({"InputPath": "$.a[x]"}, "[x]"),
        ({"InputPath": "$..a"}, "..a"),
        ({"InputTransformer": {"InputTemplate": "<a>"}}, "doesn't define: a"),
        ({"InputTransformer": {"InputTemplate": "hello <aws.events.rule-name>"}}, "must be valid JSON"),
        ({"InputTransformer": {"InputPathsMap": {"a": "x"}, "InputTemplate": '"<a>"'}}, "must begin with '$'"),
        ({"InputTransformer": {"InputPathsMap": {"AWSx": "$"}, "InputTemplate": '"x"'}}, "'AWSx'"),
        ({"InputTransformer": {"InputPathsMap": {"a b": "$"}, "InputTemplate": '"x"'}}, "'a b'"),
    ],
)
def test_what_is_refused(form, reason):
    with pytest.raises(ValidationException) as error:
        check_input({"Id": "t1", **form})
    assert reason in error.value.message
    assert "t1" in error.value.message


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a.b", 1),
        ("$.list[1]", 20),
        ("$.list[7]", MISSING),
        ("$.a.c", MISSING),
        ("$.list[*]", [10, 20]),
        ("$.a.*", [1]),
        ("$.missing[*].x", []),
        ("$.sl/ash", 3),
        ("$.a[0]", MISSING),
    ],
)
def test_paths(path, expected):
    assert parse_path(path).find({"a": {"b": 1}, "list": [10, 20], "sl/ash": 3}) == expected
