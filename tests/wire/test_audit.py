"""The audit log by CloudTrail and the command line; what a killed server leaves of it."""

import csv
import io
import json
import os
import uuid

import pytest
from botocore.exceptions import ClientError

from support.cli import CommandLine
from support.codebuild import create, make_image
from support.git import commit, git
from support.server import serving


def look_up(server, **attributes):
    client = server.client("cloudtrail")
    wanted = [{"AttributeKey": key, "AttributeValue": value} for key, value in attributes.items()]
    events = [
        e for page in client.get_paginator("lookup_events").paginate(LookupAttributes=wanted) for e in page["Events"]
    ]
    return [{**event, "Record": json.loads(event["CloudTrailEvent"])} for event in events]


def test_what_was_done_is_told(server):
    name = f"audited-{uuid.uuid4().hex[:8]}"
    server.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    (event,) = look_up(server, ResourceName=name)
    assert (event["EventName"], event["Username"], event["ReadOnly"]) == ("CreateModelPackageGroup", "admin", "false")
    assert event["EventSource"] == "sagemaker.amazonaws.com"
    record = event["Record"]
    assert record["requestParameters"]["modelPackageGroupName"] == name
    assert record["responseElements"]["modelPackageGroupArn"].endswith(f"/{name}")
    assert record["sourceIPAddress"] == "127.0.0.1"
    assert record["userAgent"].startswith("Boto3/")
    assert record["userIdentity"]["accessKeyId"] == server.keys.admin.id
    assert "errorCode" not in record


def test_reading_is_not_and_failing_is(server):
    name = f"missing-{uuid.uuid4().hex[:8]}"
    with pytest.raises(ClientError):
        server.client("sagemaker").describe_model(ModelName=name)
    assert look_up(server, ResourceName=name) == []
    with pytest.raises(ClientError):
        server.client("sagemaker").delete_model(ModelName=name)
    (event,) = look_up(server, ResourceName=name)
    assert event["Record"]["errorCode"] == "ValidationException"


def test_secrets_stay_out(server):
    iam, name = server.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    secret = iam.create_access_key(UserName=name)["AccessKey"]["SecretAccessKey"]
    server.client("sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn="arn:aws:iam::111122223333:role/R",
        PrimaryContainer={
            "Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
            "Environment": {"API_KEY": "very-private"},
        },
    )
    text = json.dumps(look_up(server, ResourceName=name), default=str)
    assert "CreateAccessKey" in text
    assert "CreateModel" in text
    assert secret not in text
    assert "very-private" not in text


def test_secrets_of_builds_and_connections_stay_out(server, tmp_path):
    """Neither the audit log nor a Describe call tells them."""
    name, secret = f"hidden-{uuid.uuid4().hex[:8]}", f"very-private-{uuid.uuid4().hex}"
    make_image(server, tmp_path)
    events, codebuild = server.client("events"), server.client("codebuild")
    more = {"HeaderParameters": [{"Key": "X", "Value": secret, "IsValueSecret": True}]}
    key = {"ApiKeyName": "Authorization", "ApiKeyValue": secret}
    given = {"ApiKeyAuthParameters": key, "InvocationHttpParameters": more}
    events.create_connection(Name=name, AuthorizationType="API_KEY", AuthParameters=given)
    events.update_connection(Name=name, AuthorizationType="API_KEY", AuthParameters=given)
    shown = events.describe_connection(Name=name)
    assert shown["AuthParameters"]["ApiKeyAuthParameters"] == {"ApiKeyName": "Authorization"}
    assert shown["AuthParameters"]["InvocationHttpParameters"]["HeaderParameters"] == [
        {"Key": "X", "IsValueSecret": True}
    ]
    variables = [{"name": "KEY", "value": secret}]
    create(codebuild, name, "true", environment={"environmentVariables": variables})
    codebuild.start_build(projectName=name, environmentVariablesOverride=variables)
    told = json.dumps(look_up(server, ResourceName=name), default=str)
    for what in ("CreateConnection", "UpdateConnection", "CreateProject", "StartBuild"):
        assert what in told
    for answer in (told, json.dumps([shown, events.list_connections()], default=str), server.said()):
        assert secret not in answer


def test_a_push_by_git_is_told_once(server, tmp_path):
    name = f"pushed-{uuid.uuid4().hex[:8]}"
    server.client("codecommit").create_repository(repositoryName=name)
    environ = server.client_environ()
    url = f"{server.url}/v1/repos/{name}".replace("//", f"//{server.keys.admin.id}:{server.keys.admin.secret}@", 1)
    git("clone", "-q", url, str(tmp_path / "work"), env=environ)
    commit(tmp_path / "work", env=environ, large_bin=os.urandom(2 << 20))
    git("-c", "http.postBuffer=65536", "push", "-q", "origin", "HEAD", cwd=tmp_path / "work", env=environ)
    (pushed,) = [event for event in look_up(server, ResourceName=name) if event["EventName"] == "GitPush"]
    assert pushed["Record"]["userAgent"].startswith("git/")
    assert "errorCode" not in pushed["Record"]


def test_objects_are_remembered_and_what_was_refused(server):
    bucket = f"b-{uuid.uuid4().hex}"
    iam, name = server.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    iam.add_user_to_group(UserName=name, GroupName="viewer")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    server.client("s3").create_bucket(Bucket=bucket)
    server.client("s3").put_object(Bucket=bucket, Key="a", Body=b"text")
    (event,) = look_up(server, ResourceName=f"{bucket}/a")
    assert event["Record"]["eventCategory"] == "Data"
    pair = type("Key", (), {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]})
    with pytest.raises(ClientError):
        server.client("s3", key=pair).delete_object(Bucket=bucket, Key="a")
    (event,) = look_up(server, Username=name, EventName="DeleteObject")
    assert event["Record"]["errorCode"] == "AccessDenied"
    assert event["Record"]["userIdentity"]["sessionContext"]["attributes"]["modelwrightRole"] == "viewer"


def test_pages_and_bad_questions(server):
    client = server.client("cloudtrail")
    for _ in range(3):
        server.client("sagemaker").create_model_package_group(ModelPackageGroupName=f"g-{uuid.uuid4().hex}")
    one = client.lookup_events(MaxResults=1)
    two = client.lookup_events(MaxResults=1, NextToken=one["NextToken"])
    assert one["Events"][0]["EventId"] != two["Events"][0]["EventId"]
    with pytest.raises(ClientError, match="InvalidNextToken"):
        client.lookup_events(NextToken="no")
    with pytest.raises(ClientError, match="InvalidTimeRange"):
        client.lookup_events(StartTime=2_000_000_000, EndTime=1_000_000_000)


def test_a_killed_server_loses_nothing(tmp_path):
    with serving(tmp_path / "home") as server:
        names = [f"g-{i}" for i in range(20)]
        for name in names:
            server.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
        server.kill()
        server.start()
        told = [event["Resources"][0]["ResourceName"] for event in look_up(server, EventName="CreateModelPackageGroup")]
        assert sorted(told) == sorted(names)


def test_the_command_line(server):
    modelwright = CommandLine(server.settings.home)
    name = f"told-{uuid.uuid4().hex[:8]}"
    server.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    assert name in modelwright.out(
        "audit", "--operation", "CreateModelPackageGroup", "--since", "1h", "--user", "admin"
    )
    (record,) = json.loads(modelwright.out("audit", "--resource", name, "--json"))
    assert record["eventName"] == "CreateModelPackageGroup"
    (row,) = csv.DictReader(io.StringIO(modelwright.out("audit", "--resource", name, "--csv")))
    assert (row["User"], row["Outcome"]) == ("admin", "done")
    with pytest.raises(ClientError):
        server.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    (row,) = json.loads(modelwright.out("audit", "--resource", name, "--refused", "--json"))
    assert row["errorCode"] == "ValidationException"
    assert "is no time" in modelwright.err("audit", "--since", "yesterday", code=2)
    assert modelwright.out("audit", "--resource", name, "--until", "1h") == ""
