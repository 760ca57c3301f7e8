"""The properties that real templates give: each type with many of them, made, changed and taken away again."""

import copy
import json
import uuid

import pytest

from support.doors import ROLE
from support.waiting import until

DEFINITION = {
    "Version": "2020-12-01",
    "Metadata": {},
    "Parameters": [{"Name": "P", "Type": "String"}],
    "Steps": [{"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}],
}
TAGS = [{"Key": "a", "Value": "b"}]


def stage(name, category, provider, configuration, **more):
    kind = {"Category": category, "Owner": "AWS", "Provider": provider, "Version": 1}
    action = {"Name": name, "ActionTypeId": kind, "Configuration": configuration, "RunOrder": 1, **more}
    return {"Name": name, "Actions": [action]}


def of(kind, **properties):
    return {"Type": kind, "Properties": properties}


def resources(name):
    encryption = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    source = {"RepositoryName": {"Fn::GetAtt": ["Repo", "Name"]}, "BranchName": "main", "PollForSourceChanges": False}
    here = "arn:aws:{}:${{AWS::Region}}:${{AWS::AccountId}}:{}"
    return {
        "Bucket": of(
            "AWS::S3::Bucket",
            BucketName=name,
            BucketEncryption={"ServerSideEncryptionConfiguration": [encryption]},
            OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": "true"}},
        ),
        "Build": of(
            "AWS::CodeBuild::Project",
            Name=name,
            Description="Builds",
            ServiceRole=ROLE,
            Artifacts={"Type": "S3", "Location": {"Ref": "Bucket"}, "Name": "o.zip", "Packaging": "ZIP", "Path": "p"},
            Environment={
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": "aws/codebuild/standard:7.0",
                "ImagePullCredentialsType": "CODEBUILD",
                "PrivilegedMode": True,
                "EnvironmentVariables": [{"Name": "A", "Type": "PLAINTEXT", "Value": 1}],
            },
            Source={"Type": "NO_SOURCE", "BuildSpec": "version: 0.2\nphases: {build: {commands: [ls]}}"},
            TimeoutInMinutes=60,
            QueuedTimeoutInMinutes=60,
            Cache={"Type": "NO_CACHE"},
            LogsConfig={"CloudWatchLogs": {"Status": "ENABLED", "GroupName": name}},
            BadgeEnabled=False,
            Visibility="PRIVATE",
            Tags=TAGS,
        ),
        "Repo": of("AWS::CodeCommit::Repository", RepositoryName=name, Tags=TAGS),
        "Pipe": of(
            "AWS::CodePipeline::Pipeline",
            Name=name,
            RoleArn=ROLE,
            PipelineType="V2",
            ExecutionMode="QUEUED",
            Variables=[{"Name": "v", "DefaultValue": "x", "Description": "A variable"}],
            ArtifactStore={"Type": "S3", "Location": {"Ref": "Bucket"}},
            RestartExecutionOnUpdate=True,
            Stages=[
                stage("Get", "Source", "CodeCommit", source, OutputArtifacts=[{"Name": "S"}], Namespace="N"),
                stage("Make", "Build", "CodeBuild", {"ProjectName": {"Ref": "Build"}}, InputArtifacts=[{"Name": "S"}]),
            ],
        ),
        "Rule": of(
            "AWS::Events::Rule",
            Name=name,
            Description="Starts all of them",
            EventBusName="default",
            State="ENABLED",
            EventPattern={"source": ["nobody"]},
            Targets=[
                {
                    "Id": "pipe",
                    "Arn": {"Fn::Sub": here.format("codepipeline", "${Pipe}")},
                    "RoleArn": ROLE,
                    "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 60},
                },
                {
                    "Id": "build",
                    "Arn": {"Fn::GetAtt": ["Build", "Arn"]},
                    "RoleArn": ROLE,
                    "InputTransformer": {"InputPathsMap": {"n": "$.detail"}, "InputTemplate": '{"x": <n>}'},
                },
                {
                    "Id": "train",
                    "Arn": {"Fn::Sub": here.format("sagemaker", "pipeline/${Train}")},
                    "RoleArn": ROLE,
                    "SageMakerPipelineParameters": {"PipelineParameterList": [{"Name": "P", "Value": "x"}]},
                },
            ],
        ),
        "Clock": of("AWS::Events::Rule", ScheduleExpression="rate(1 day)", State="DISABLED"),
        "Train": of(
            "AWS::SageMaker::Pipeline",
            PipelineName=name,
            PipelineDisplayName="Train",
            PipelineDescription="first",
            PipelineDefinition={"PipelineDefinitionBody": json.dumps(DEFINITION)},
            RoleArn=ROLE,
            ParallelismConfiguration={"MaxParallelExecutionSteps": 2},
            Tags=TAGS,
        ),
    }


@pytest.fixture
def stack(server):
    name, cloud = f"many-{uuid.uuid4().hex[:8]}", server.client("cloudformation")

    def put(operation, resources):
        getattr(cloud, operation)(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

        def look():
            found = cloud.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
            return None if found.endswith("IN_PROGRESS") else found

        events = lambda: cloud.describe_stack_events(StackName=name)["StackEvents"]  # noqa: E731 - told when it fails
        status = until(look, 60)
        return status, [
            f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}"
            for each in events()
            if each["ResourceStatus"].endswith("FAILED")
        ]

    put.name, put.cloud = name, cloud
    return put


def test_it_works(server, stack):
    first = resources(stack.name)
    assert stack("create_stack", first) == ("CREATE_COMPLETE", [])
    clock = stack.cloud.describe_stack_resource(StackName=stack.name, LogicalResourceId="Clock")
    clock = clock["StackResourceDetail"]["PhysicalResourceId"]
    second = copy.deepcopy(first)
    del second["Build"]["Properties"]["Description"]
    del second["Build"]["Properties"]["TimeoutInMinutes"]
    second["Pipe"]["Properties"]["ExecutionMode"] = "SUPERSEDED"
    second["Clock"]["Properties"] = {"ScheduleExpression": "rate(2 days)", "State": "ENABLED"}
    second["Rule"]["Properties"]["Targets"].pop()
    second["Train"]["Properties"]["PipelineDescription"] = "second"
    assert stack("update_stack", second) == ("UPDATE_COMPLETE", [])
    rule = server.client("events").describe_rule(Name=clock)
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(2 days)", "ENABLED")
    targets = server.client("events").list_targets_by_rule(Rule=stack.name)["Targets"]
    assert {target["Id"] for target in targets} == {"pipe", "build"}
    project = server.client("codebuild").batch_get_projects(names=[stack.name])["projects"][0]
    assert (project.get("description", ""), project["timeoutInMinutes"]) == ("", 60)
    assert server.client("sagemaker").describe_pipeline(PipelineName=stack.name)["PipelineDescription"] == "second"
    assert server.client("codepipeline").get_pipeline(name=stack.name)["pipeline"]["executionMode"] == "SUPERSEDED"

    third = copy.deepcopy(second)
    third["Build"]["Properties"]["Cache"] = {"Type": "LOCAL", "Modes": ["LOCAL_SOURCE_CACHE"]}
    third["Train"]["Properties"]["PipelineDescription"] = "third"
    status, reasons = stack("update_stack", third)
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert any("cache.type = 'LOCAL'" in reason for reason in reasons)
    assert server.client("sagemaker").describe_pipeline(PipelineName=stack.name)["PipelineDescription"] == "second"
