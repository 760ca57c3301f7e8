import json

import pytest

from modelwright.errors import AwsError
from support.doors import ACCOUNT, REGION

PATTERN = json.dumps({"source": ["mine"]})
GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/x"


@pytest.fixture
def events(door):
    return door.of("events")


@pytest.fixture
def sqs(door):
    return door.of("sqs")


def refused(call, operation, code, **parameters):
    with pytest.raises(AwsError) as error:
        call(operation, **parameters)
    assert error.value.code == code
    return error.value.message


def rule(events, name="r", **more):
    return events("PutRule", Name=name, EventPattern=PATTERN, **more)["RuleArn"]


def test_rules_and_targets(events):
    arn = rule(events, Description="d", Tags=[{"Key": "a", "Value": "b"}])
    assert arn == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"
    found = events("DescribeRule", Name="r")
    assert (found["State"], found["Description"], found["EventPattern"]) == ("ENABLED", "d", PATTERN)
    assert events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": GROUP}])["FailedEntryCount"] == 0
    assert events("ListTargetsByRule", Rule="r")["Targets"] == [{"Id": "1", "Arn": GROUP}]
    assert events("ListRuleNamesByTarget", TargetArn=GROUP)["RuleNames"] == ["r"]
    assert events("ListRuleNamesByTarget", TargetArn=GROUP + "y")["RuleNames"] == []
    assert events("ListTagsForResource", ResourceARN=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    events("DisableRule", Name="r")
    assert events("DescribeRule", Name="r")["State"] == "DISABLED"
    events("EnableRule", Name="r")
    assert "targets" in refused(events, "DeleteRule", "ValidationException", Name="r")
    removed = events("RemoveTargets", Rule="r", Ids=["1", "2"])
    assert removed["FailedEntryCount"] == 1
    assert removed["FailedEntries"][0]["TargetId"] == "2"
    events("DeleteRule", Name="r")
    events("DeleteRule", Name="r")
    refused(events, "DescribeRule", "ResourceNotFoundException", Name="r")


def test_a_changed_rule_keeps_its_targets(events):
    rule(events, Description="d")
    events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": GROUP}])
    rule(events, State="DISABLED")
    found = events("DescribeRule", Name="r")
    assert found["State"] == "DISABLED"
    assert "Description" not in found
    assert len(events("ListTargetsByRule", Rule="r")["Targets"]) == 1


def test_lists_go_by_pages(events):
    for name in ("b", "a", "c"):
        rule(events, name)
    first = events("ListRules", Limit=2)
    assert [each["Name"] for each in first["Rules"]] == ["a", "b"]
    rest = events("ListRules", Limit=2, NextToken=first["NextToken"])
    assert [each["Name"] for each in rest["Rules"]] == ["c"]
    assert [each["Name"] for each in events("ListRules", NamePrefix="b")["Rules"]] == ["b"]


def test_what_of_rules_is_refused(events):
    refused(events, "PutRule", "ValidationException", Name="r")
    refused(events, "PutRule", "InvalidEventPatternException", Name="r", EventPattern="{")
    refused(events, "PutRule", "ValidationException", Name="r", ScheduleExpression="rate(5 minute)")
    refused(events, "PutRule", "ValidationException", Name="r", ScheduleExpression="cron(0 0 1 1 ? 2020)")
    events("CreateEventBus", Name="other")
    refused(events, "PutRule", "ValidationException", Name="r", EventBusName="other", ScheduleExpression="rate(1 day)")
    refused(events, "PutRule", "ResourceNotFoundException", Name="r", EventPattern=PATTERN, EventBusName="none")
    refused(events, "PutTargets", "ResourceNotFoundException", Rule="r", Targets=[{"Id": "1", "Arn": GROUP}])


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        ({"Arn": "nothing"}, "ValidationException", "not in correct format"),
        ({"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"}, "UnsupportedOperation", ":function:f"),
        ({"Arn": f"arn:aws:logs:{REGION}:999999999999:log-group:x"}, "ValidationException", "another account"),
        ({"Arn": f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:p"}, "ValidationException", "RoleArn is required"),
        ({"Arn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/m"}, "UnsupportedOperation", "model/m"),
        ({"Arn": GROUP, "Input": "{"}, "ValidationException", "valid JSON"),
        ({"Arn": GROUP, "HttpParameters": {}}, "ValidationException", "HttpParameters"),
        ({"Arn": GROUP, "EcsParameters": {"TaskDefinitionArn": "x"}}, "UnsupportedOperation", "EcsParameters"),
        ({"Arn": GROUP, "DeadLetterConfig": {"Arn": GROUP}}, "ValidationException", "standard queue"),
    ],
)
def test_what_of_targets_is_refused(events, target, code, reason):
    rule(events)
    assert reason in refused(events, "PutTargets", code, Rule="r", Targets=[{"Id": "1", **target}])
    # AWS answers an empty list, which its own model does not allow.
    assert events.dispatcher.call(events.context, "events", "ListTargetsByRule", {"Rule": "r"}) == {"Targets": []}


def test_a_rule_has_five_targets(events):
    rule(events)
    six = [{"Id": str(i), "Arn": GROUP} for i in range(6)]
    refused(events, "PutTargets", "LimitExceededException", Rule="r", Targets=six)
    events("PutTargets", Rule="r", Targets=six[:5])
    events("PutTargets", Rule="r", Targets=six[:5])
    refused(events, "PutTargets", "LimitExceededException", Rule="r", Targets=six[5:])


def test_own_buses(events):
    arn = events("CreateEventBus", Name="mine", Tags=[{"Key": "k", "Value": "v"}])["EventBusArn"]
    assert rule(events, EventBusName=arn) == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/mine/r"
    assert [bus["Name"] for bus in events("ListEventBuses")["EventBuses"]] == ["default", "mine"]
    assert events("ListRules")["Rules"] == []
    refused(events, "DeleteEventBus", "ValidationException", Name="mine")
    refused(events, "CreateEventBus", "ResourceAlreadyExistsException", Name="mine")
    events("DeleteRule", Name="r", EventBusName="mine")
    events("DeleteEventBus", Name="mine")
    refused(events, "DescribeEventBus", "ResourceNotFoundException", Name="mine")
    refused(events, "DeleteEventBus", "ValidationException", Name="default")


def test_put_events_answers_for_each_entry(events):
    good = {"Source": "mine", "DetailType": "t", "Detail": "{}"}
    answer = events(
        "PutEvents",
        Entries=[
            good,
            {**good, "Source": "aws.sagemaker"},
            {**good, "Detail": "[]"},
            {"Source": "mine", "Detail": "{}"},
            {**good, "EventBusName": "none"},
        ],
    )
    assert answer["FailedEntryCount"] == 4
    assert "EventId" in answer["Entries"][0]
    assert [entry.get("ErrorCode") for entry in answer["Entries"][1:]] == [
        "NotAuthorizedForSourceException",
        "MalformedDetail",
        "InvalidArgument",
        "InvalidArgument",
    ]
    refused(events, "PutEvents", "ValidationException", Entries=[{**good, "Detail": json.dumps("x" * 300_000)}])


def test_patterns_can_be_tried(events):
    event = {
        "id": "1",
        "account": "1",
        "source": "mine",
        "time": "t",
        "region": "r",
        "resources": [],
        "detail-type": "t",
    }
    assert events("TestEventPattern", EventPattern=PATTERN, Event=json.dumps(event))["Result"] is True
    other = json.dumps({**event, "source": "x"})
    assert events("TestEventPattern", EventPattern=PATTERN, Event=other)["Result"] is False
    refused(events, "TestEventPattern", "ValidationException", EventPattern=PATTERN, Event="{}")
    refused(events, "TestEventPattern", "ValidationException", EventPattern=PATTERN, Event="x")
    refused(events, "TestEventPattern", "InvalidEventPatternException", EventPattern="{}", Event=json.dumps(event))


def test_secrets_of_connections_are_never_told(events):
    secret = {"Key": "t", "Value": "hidden1", "IsValueSecret": True}
    parameters = {
        "ApiKeyAuthParameters": {"ApiKeyName": "X", "ApiKeyValue": "hidden2"},
        "InvocationHttpParameters": {"HeaderParameters": [secret, {"Key": "open", "Value": "shown"}]},
    }
    arn = events("CreateConnection", Name="c", AuthorizationType="API_KEY", AuthParameters=parameters)["ConnectionArn"]
    found = events("DescribeConnection", Name="c")
    assert "hidden" not in json.dumps(found)
    assert "hidden" not in json.dumps(events("ListConnections"))
    assert found["AuthParameters"]["ApiKeyAuthParameters"] == {"ApiKeyName": "X"}
    assert found["AuthParameters"]["InvocationHttpParameters"]["HeaderParameters"][1]["Value"] == "shown"
    assert found["ConnectionState"] == "AUTHORIZED"
    destination = {"ConnectionArn": arn, "InvocationEndpoint": "https://example.com/*", "HttpMethod": "POST"}
    events("CreateApiDestination", Name="d", **destination)
    assert events("DescribeApiDestination", Name="d")["InvocationRateLimitPerSecond"] == 300
    events("UpdateApiDestination", Name="d", InvocationRateLimitPerSecond=5)
    assert events("ListApiDestinations")["ApiDestinations"][0]["InvocationRateLimitPerSecond"] == 5
    refused(events, "DeleteConnection", "ValidationException", Name="c")
    events("DeleteApiDestination", Name="d")
    basic = {"BasicAuthParameters": {"Username": "u", "Password": "hidden3"}}
    events("UpdateConnection", Name="c", AuthorizationType="BASIC", AuthParameters=basic)
    found = events("DescribeConnection", Name="c")
    assert found["AuthParameters"]["BasicAuthParameters"] == {"Username": "u"}
    assert "ApiKeyAuthParameters" not in found["AuthParameters"]
    assert "hidden" not in json.dumps(found)
    assert events("DeauthorizeConnection", Name="c")["ConnectionState"] == "DEAUTHORIZED"
    events("DeleteConnection", Name="c")


def test_what_of_connections_is_refused(events):
    oauth = {
        "ClientParameters": {"ClientID": "i", "ClientSecret": "s"},
        "AuthorizationEndpoint": "https://x",
        "HttpMethod": "GET",
    }
    parameters = {"OAuthParameters": oauth}
    kind = "OAUTH_CLIENT_CREDENTIALS"
    create = {"Name": "c", "AuthParameters": parameters}
    refused(events, "CreateConnection", "UnsupportedOperation", AuthorizationType=kind, **create)
    basic = {"BasicAuthParameters": {"Username": "u", "Password": "p"}}
    refused(
        events, "CreateConnection", "ValidationException", Name="c", AuthorizationType="API_KEY", AuthParameters=basic
    )
    arn = events("CreateConnection", Name="c", AuthorizationType="BASIC", AuthParameters=basic)["ConnectionArn"]
    wrong = {"Name": "d", "ConnectionArn": arn, "HttpMethod": "POST"}
    refused(events, "CreateApiDestination", "ValidationException", InvocationEndpoint="file:///etc/passwd", **wrong)
    missing = arn.replace("connection/c", "connection/x")
    refused(
        events,
        "CreateApiDestination",
        "ResourceNotFoundException",
        **{**wrong, "ConnectionArn": missing, "InvocationEndpoint": "https://x.example"},
    )


def test_messages_of_a_queue(sqs, clock):
    url = sqs("CreateQueue", QueueName="q", Attributes={"VisibilityTimeout": "10"})["QueueUrl"]
    assert sqs("GetQueueUrl", QueueName="q")["QueueUrl"] == url
    attribute = {"A": {"DataType": "String", "StringValue": "x"}}
    sent = sqs("SendMessage", QueueUrl=url, MessageBody="hello", MessageAttributes=attribute)
    assert sent["MD5OfMessageBody"] == "5d41402abc4b2a76b9719d911017c592"
    (message,) = sqs("ReceiveMessage", QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert (message["Body"], message["MessageAttributes"]) == ("hello", attribute)
    assert "Messages" not in sqs("ReceiveMessage", QueueUrl=url)
    clock.advance(11)
    (again,) = sqs("ReceiveMessage", QueueUrl=url, MessageSystemAttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert again["Attributes"] == {"ApproximateReceiveCount": "2"}
    sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])  # it is not this one's any more
    assert sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"][
        "ApproximateNumberOfMessagesNotVisible"
    ] == "1"  # fmt: skip
    sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    clock.advance(11)
    assert "Messages" not in sqs("ReceiveMessage", QueueUrl=url)
    sqs("DeleteQueue", QueueUrl=url)
    refused(sqs, "GetQueueUrl", "AWS.SimpleQueueService.NonExistentQueue", QueueName="q")
