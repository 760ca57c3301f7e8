"""CloudWatch Logs by boto3."""

import time
import uuid

import pytest


@pytest.fixture(scope="module")
def logs(server):
    return server.client("logs")


@pytest.fixture
def group(logs):
    name = f"/wire/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=name, tags={"a": "b"})
    logs.create_log_stream(logGroupName=name, logStreamName="s/1")
    return name


@pytest.fixture
def put(logs, group):
    def put(*messages):
        now = int(time.time() * 1000)
        events = [{"timestamp": now + i, "message": message} for i, message in enumerate(messages)]
        return logs.put_log_events(logGroupName=group, logStreamName="s/1", logEvents=events)

    return put


def test_lines_come_back_in_pages(logs, group, put):
    put(*(f"zeile {i} — 줄" for i in range(5)))
    found, token = [], {}
    while True:
        page = logs.get_log_events(logGroupName=group, logStreamName="s/1", startFromHead=True, limit=2, **token)
        found += [event["message"] for event in page["events"]]
        if token == {"nextToken": page["nextForwardToken"]}:
            break
        token = {"nextToken": page["nextForwardToken"]}
    assert found == [f"zeile {i} — 줄" for i in range(5)]
    put("later")
    page = logs.get_log_events(logGroupName=group, logStreamName="s/1", startFromHead=True, **token)
    assert [event["message"] for event in page["events"]] == ["later"]


def test_a_filter(logs, group, put):
    put("ERROR one", "fine", "ERROR two")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, filterPattern="ERROR", PaginationConfig={"PageSize": 1}
    )
    assert [event["message"] for page in pages for event in page["events"]] == ["ERROR one", "ERROR two"]


def test_streams_and_groups(logs, group, put):
    put("x")
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="s/")["logStreams"]
    assert stream["logStreamName"] == "s/1"
    assert stream["lastEventTimestamp"] >= stream["creationTime"] - 1000
    (found,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["storedBytes"] == 1 + 26
    assert logs.list_tags_for_resource(resourceArn=found["logGroupArn"])["tags"] == {"a": "b"}


def test_no_logs_yet(logs):
    """The SDK waits on this very code; any other ends its wait."""
    with pytest.raises(logs.exceptions.ResourceNotFoundException) as caught:
        logs.describe_log_streams(logGroupName="/aws/sagemaker/None", logStreamNamePrefix="job/")
    assert caught.value.response["Error"]["Message"] == "The specified log group does not exist."
