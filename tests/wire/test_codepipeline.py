"""CodePipeline through boto3 on a real server: a source in S3, an approval by hand."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from support.codepipelines import action, archive, pipeline, stage
from support.doors import ROLE
from support.waiting import until


@pytest.fixture(scope="module")
def deploy(server):
    return server.client("codepipeline")


@pytest.fixture(scope="module")
def bucket(server):
    s3, name = server.client("s3"), f"deployments-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="source.zip", Body=archive(hello="world"))
    return name


def make(deploy, bucket, *stages, **more):
    name = f"p-{uuid.uuid4().hex[:8]}"
    source = action(
        "Get",
        "Source",
        outputs=["Code"],
        configuration={"S3Bucket": bucket, "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"},
        namespace="SourceVariables",
    )
    made = pipeline(stage("Source", source), *stages, name=name, **more)
    deploy.create_pipeline(pipeline={**made, "artifactStore": {"type": "S3", "location": bucket}})
    return name


def ask(**more):
    return stage("Approve", action("Ask", "Approval", **more))


def token_of(deploy, name):
    def find():
        state = deploy.get_pipeline_state(name=name)["stageStates"][1]["actionStates"][0]
        return state.get("latestExecution", {}).get("token")

    return until(find)


def test_it_works(server, deploy, bucket):
    link = {"CustomData": "Look at #{SourceVariables.ObjectKey}", "ExternalEntityLink": "https://example.com/x"}
    name = make(deploy, bucket, ask(configuration=link))
    deploy.put_approval_result(
        pipelineName=name,
        stageName="Approve",
        actionName="Ask",
        token=token_of(deploy, name),
        result={"summary": "fine", "status": "Approved"},
    )
    (execution,) = deploy.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
    identity = execution["pipelineExecutionId"]

    def status():
        found = deploy.get_pipeline_execution(pipelineName=name, pipelineExecutionId=identity)["pipelineExecution"]
        return found["status"] == "Succeeded" and found

    found = until(status)
    etag = server.client("s3").head_object(Bucket=bucket, Key="source.zip")["ETag"].strip('"')
    assert found["artifactRevisions"][0]["revisionId"] == etag
    asked, got = deploy.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    place = got["output"]["outputArtifacts"][0]["s3location"]
    assert place["key"].startswith(f"{name}/Code/")
    stored = server.client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    assert stored == archive(hello="world")
    assert got["output"]["outputVariables"]["ETag"] == etag
    assert asked["input"]["resolvedConfiguration"]["CustomData"] == "Look at source.zip"
    assert asked["updatedBy"].startswith("arn:aws:")
    with pytest.raises(deploy.exceptions.PipelineNameInUseException):
        deploy.create_pipeline(pipeline=deploy.get_pipeline(name=name)["pipeline"])


def test_a_source_that_is_not_there(deploy, bucket):
    name = make(deploy, bucket, ask())
    again = deploy.get_pipeline(name=name)["pipeline"]
    again["stages"][0]["actions"][0]["configuration"]["S3ObjectKey"] = "nothing.zip"
    assert deploy.update_pipeline(pipeline=again)["pipeline"]["version"] == 2
    deploy.start_pipeline_execution(name=name)

    def error():
        state = deploy.get_pipeline_state(name=name)["stageStates"][0]["actionStates"][0]
        return state.get("latestExecution", {}).get("errorDetails")

    found = until(error)
    assert found["code"] == "RevisionUnavailable"
    assert f"s3://{bucket}/nothing.zip" in found["message"]


def test_a_source_that_changes_starts_the_pipelines_that_look_for_it(server, deploy, bucket):
    s3 = server.client("s3")
    source = {"S3Bucket": bucket, "S3ObjectKey": "looked-at.zip"}
    declared = action("Get", "Source", outputs=["Code"], configuration=source)
    made = pipeline(stage("Source", declared), ask(), name=f"looks-{uuid.uuid4().hex[:8]}")
    made["artifactStore"]["location"] = bucket
    s3.put_object(Bucket=bucket, Key="looked-at.zip", Body=archive(a="1"))
    deploy.create_pipeline(pipeline=made)

    def triggers():
        found = deploy.list_pipeline_executions(pipelineName=made["name"])["pipelineExecutionSummaries"]
        return [each["trigger"]["triggerType"] for each in found]

    assert triggers() == ["CreatePipeline"]
    s3.put_object(Bucket=bucket, Key="other.zip", Body=b"")
    s3.put_object(Bucket=bucket, Key="looked-at.zip", Body=archive(a="2"))
    assert triggers() == ["PollForSourceChanges", "CreatePipeline"]
    source["PollForSourceChanges"] = "false"
    deploy.update_pipeline(pipeline=made)
    s3.copy_object(Bucket=bucket, Key="looked-at.zip", CopySource=f"{bucket}/other.zip")
    assert len(triggers()) == 2


def test_tags_versions_and_pages(deploy, bucket):
    name = make(deploy, bucket, ask())
    metadata = deploy.get_pipeline(name=name)["metadata"]
    arn = metadata["pipelineArn"]
    assert arn == f"arn:aws:codepipeline:us-east-1:111122223333:{name}"
    deploy.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    deploy.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert deploy.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    names = [found["name"] for page in deploy.get_paginator("list_pipelines").paginate() for found in page["pipelines"]]
    assert name in names
    for _ in range(3):
        deploy.start_pipeline_execution(name=name)
    pages = deploy.get_paginator("list_pipeline_executions").paginate(
        pipelineName=name, PaginationConfig={"PageSize": 2}
    )
    found = [page["pipelineExecutionSummaries"] for page in pages]
    assert [len(page) for page in found] == [2, 2]
    with pytest.raises(deploy.exceptions.InvalidNextTokenException):
        deploy.list_pipeline_executions(pipelineName=name, nextToken="nonsense")
    with pytest.raises(deploy.exceptions.PipelineVersionNotFoundException):
        deploy.get_pipeline(name=name, version=7)
    deploy.delete_pipeline(name=name)
    with pytest.raises(deploy.exceptions.PipelineNotFoundException):
        deploy.get_pipeline(name=name)
    with pytest.raises(deploy.exceptions.ResourceNotFoundException):
        deploy.list_tags_for_resource(resourceArn=arn)


def test_the_approval_of_a_model_starts_a_pipeline(server, deploy, bucket):
    """Of two approvals within a second, the later execution supersedes the one that waits."""
    name = make(deploy, bucket, ask())
    first = token_of(deploy, name)
    arn = deploy.get_pipeline(name=name)["metadata"]["pipelineArn"]
    events, sagemaker = server.client("events"), server.client("sagemaker")
    pattern = {"source": ["aws.sagemaker"], "detail": {"ModelPackageGroupName": [name]}}
    rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "deploy", "Arn": arn, "RoleArn": ROLE}])
    sagemaker.create_model_package_group(ModelPackageGroupName=name)
    for _ in range(2):
        sagemaker.create_model_package(ModelPackageGroupName=name, ModelApprovalStatus="Approved")

    def executions():
        found = deploy.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        return [each["status"] for each in found] == ["InProgress", "Superseded", "InProgress"] and found

    found = until(executions)
    trigger = {"triggerType": "CloudWatchEvent", "triggerDetail": rule}
    assert [each["trigger"] for each in found[:2]] == [trigger, trigger]
    rejected = {"summary": "no", "status": "Rejected"}
    place = {"pipelineName": name, "stageName": "Approve", "actionName": "Ask"}
    deploy.put_approval_result(**place, token=first, result=rejected)
    with pytest.raises(deploy.exceptions.ApprovalAlreadyCompletedException):
        deploy.put_approval_result(**place, token=first, result=rejected)
    second = until(lambda: (token := token_of(deploy, name)) != first and token)
    deploy.put_approval_result(**place, token=second, result={"summary": "yes", "status": "Approved"})
    until(
        lambda: (
            deploy.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"][0]["status"] == "Succeeded"
        )
    )


def test_what_is_not_supported_is_refused_by_name(deploy):
    kind = {"category": "Build", "owner": "Custom", "provider": "x", "version": "1"}
    with pytest.raises(ClientError) as caught:
        deploy.poll_for_jobs(actionTypeId=kind)
    assert caught.value.response["Error"]["Code"] == "UnsupportedOperation"
