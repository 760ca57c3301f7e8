"""EventBridge through boto3 on a real server: rules that start pipelines, objects that are stored, queues."""

import json
import subprocess
import uuid

import pytest
from botocore.exceptions import ClientError

from support.codepipelines import action, archive, pipeline, stage
from support.sdk import VENVS
from support.waiting import until


@pytest.fixture(scope="module")
def events(server):
    return server.client("events")


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture(scope="module")
def account(server):
    return server.client("sts").get_caller_identity()["Account"]


def unique(what):
    return f"{what}-{uuid.uuid4().hex[:8]}"


def rule(events, pattern, *targets):
    name = unique("rule")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    answer = events.put_targets(Rule=name, Targets=[{"Id": str(i), **target} for i, target in enumerate(targets)])
    assert answer["FailedEntryCount"] == 0
    return name


def queue(sqs):
    url = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def received(sqs, url):
    messages = until(lambda: sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"))
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return messages


def test_events_of_ones_own_reach_a_queue(events, sqs):
    url, arn = queue(sqs)
    source = unique("mine")
    rule(events, {"source": [source], "detail": {"n": [{"numeric": [">", 1]}]}}, {"Arn": arn})
    entries = [{"Source": source, "DetailType": "t", "Detail": json.dumps({"n": n})} for n in (1, 2)]
    sent = events.put_events(Entries=entries)
    assert sent["FailedEntryCount"] == 0
    (message,) = received(sqs, url)
    event = json.loads(message["Body"])
    assert event["detail"] == {"n": 2}
    assert event["id"] == sent["Entries"][1]["EventId"]


def test_stored_objects_are_told_when_their_bucket_says_so(server, events, sqs):
    s3, bucket = server.client("s3"), unique("bucket")
    url, arn = queue(sqs)
    s3.create_bucket(Bucket=bucket)
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "in/"}]}},
    }
    rule(events, pattern, {"Arn": arn})
    s3.put_object(Bucket=bucket, Key="in/early", Body=b"x")
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    assert s3.get_bucket_notification_configuration(Bucket=bucket)["EventBridgeConfiguration"] == {}
    s3.put_object(Bucket=bucket, Key="out/other", Body=b"x")
    s3.put_object(Bucket=bucket, Key="in/one", Body=b"hello")
    (message,) = received(sqs, url)
    event = json.loads(message["Body"])
    assert event["resources"] == [f"arn:aws:s3:::{bucket}"]
    assert event["detail"]["object"]["key"] == "in/one"
    assert event["detail"]["object"]["size"] == 5
    assert event["detail"]["object"]["etag"] == "5d41402abc4b2a76b9719d911017c592"
    assert event["detail"]["reason"] == "PutObject"
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_an_approval_starts_a_deployment_pipeline_once(server, events, account):
    s3, bucket = server.client("s3"), unique("deploy")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="source.zip", Body=archive(hello="world"))
    configuration = {"S3Bucket": bucket, "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}
    name, group = unique("p"), unique("group")
    made = pipeline(
        stage("Source", action("Get", "Source", outputs=["Code"], configuration=configuration)),
        stage("Approve", action("Ask", "Approval")),
        name=name,
    )
    deploy = server.client("codepipeline")
    deploy.create_pipeline(pipeline={**made, "artifactStore": {"type": "S3", "location": bucket}})
    before = len(deploy.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"])
    arn = f"arn:aws:codepipeline:us-east-1:{account}:{name}"
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"]},
    }
    rule(events, pattern, {"Arn": arn, "RoleArn": f"arn:aws:iam::{account}:role/R"})
    sagemaker = server.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    image = f"{account}.dkr.ecr.us-east-1.amazonaws.com/x:1"
    specification = {
        "Containers": [{"Image": image, "ModelDataUrl": f"s3://{bucket}/m.tar.gz"}],
        "SupportedContentTypes": ["a/b"],
        "SupportedResponseMIMETypes": ["a/b"],
    }
    package = sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=specification)
    sagemaker.update_model_package(ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved")

    def started():
        found = deploy.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        return found if len(found) > before else None

    assert len(until(started)) == before + 1


def test_errors_are_awss(events):
    with pytest.raises(ClientError) as error:
        events.put_rule(Name="x", EventPattern="{")
    assert error.value.response["Error"]["Code"] == "InvalidEventPatternException"
    with pytest.raises(events.exceptions.ResourceNotFoundException):
        events.describe_rule(Name=unique("none"))


def test_the_aws_cli(server, sqs, tmp_path):
    aws = VENVS / "sdk2" / "bin" / "aws"
    if not aws.exists():
        pytest.skip("no AWS CLI in .venvs/sdk2")

    def cli(*words):
        done = subprocess.run(
            [aws, "events", *words, "--output", "json"],
            cwd=tmp_path, env=server.client_environ(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    (url, arn), source, name = queue(sqs), unique("cli"), unique("rule")
    pattern = json.dumps({"source": [source]})
    put = ("--event-pattern", pattern, "--schedule-expression", "cron(0 3 ? * SUN *)")
    assert cli("put-rule", "--name", name, *put)["RuleArn"].endswith(f":rule/{name}")
    targets = json.dumps([{"Id": "1", "Arn": arn, "InputPath": "$.detail"}])
    assert cli("put-targets", "--rule", name, "--targets", targets)["FailedEntryCount"] == 0
    (tmp_path / "entries.json").write_text(json.dumps([{"Source": source, "DetailType": "t", "Detail": '{"n": 1}'}]))
    assert cli("put-events", "--entries", "file://entries.json")["FailedEntryCount"] == 0
    assert json.loads(received(sqs, url)[0]["Body"]) == {"n": 1}
    event = {
        "id": "1", "account": "1", "source": source, "time": "2026-01-01T00:00:00Z", "region": "r", "resources": [],
        "detail-type": "t", "detail": {},
    }  # fmt: skip
    assert cli("test-event-pattern", "--event-pattern", pattern, "--event", json.dumps(event))["Result"] is True
    (rule,) = cli("list-rules", "--name-prefix", name)["Rules"]
    assert rule["ScheduleExpression"] == "cron(0 3 ? * SUN *)"
    assert rule["EventPattern"] == pattern
