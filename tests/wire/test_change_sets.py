"""Change sets by their clients: `aws cloudformation deploy` and `package`, boto3 and its waiters, CodePipeline."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, WaiterError

from support.codepipelines import action, pipeline, stage
from support.doors import ROLE
from support.waiting import until

AWS = Path(__file__).parents[2] / ".venvs" / "sdk2" / "bin" / "aws"

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Days: {Type: Number, Default: 3}
  Name: {Type: String}
Resources:
  Group:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Ref Name
      RetentionInDays: !Ref Days
  Models:
    Type: AWS::SageMaker::ModelPackageGroup
    Properties:
      ModelPackageGroupName: !Select [1, !Split ["/", !Ref Group]]
Outputs:
  Where:
    Value: !Ref Group
"""


@pytest.fixture
def name():
    return f"set-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def cloud(server):
    return server.client("cloudformation")


@pytest.fixture
def aws(server, tmp_path):
    if not AWS.exists():
        pytest.skip("no AWS CLI in .venvs/sdk2")

    def run(*words, fails=False):
        environ = {**server.client_environ(), "AWS_PAGER": ""}
        command = [str(AWS), "cloudformation", *words, "--region", "us-east-1"]
        done = subprocess.run(
            command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def forget_change_sets(cloud, stack):
    """The CLI names them by the second, and two of a name collide."""
    for left in cloud.list_change_sets(StackName=stack)["Summaries"]:
        cloud.delete_change_set(ChangeSetName=left["ChangeSetId"])


def test_the_command_line_deploys(aws, server, cloud, name, tmp_path):
    (tmp_path / "t.yml").write_text(TEMPLATE)
    words = ("deploy", "--template-file", "t.yml", "--stack-name", name)
    assert "Parameters: [Name] must have values" in aws(*words, fails=True)
    cloud.delete_stack(StackName=name)
    cloud.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    named = ("--parameter-overrides", f"Name=/{name}/log", "--tags", "team=pose")
    assert "Successfully created/updated stack" in aws(*words, *named)
    stack = cloud.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert ":changeSet/awscli-cloudformation-package-deploy-" in stack["ChangeSetId"]
    assert cloud.describe_change_set(ChangeSetName=stack["ChangeSetId"])["ExecutionStatus"] == "EXECUTE_COMPLETE"
    assert server.client("logs").list_tags_log_group(logGroupName=f"/{name}/log")["tags"] == {"team": "pose"}

    assert "No changes to deploy" in aws(*words, *named, "--no-fail-on-empty-changeset")
    forget_change_sets(cloud, name)
    assert "No changes to deploy" in aws(*words, *named, "--fail-on-empty-changeset", fails=True)
    forget_change_sets(cloud, name)
    assert "Successfully created/updated stack" in aws(*words, "--parameter-overrides", "Days=7")
    stack = cloud.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]} == {
        "Days": "7",
        "Name": f"/{name}/log",
    }
    (group,) = server.client("logs").describe_log_groups(logGroupNamePrefix=f"/{name}/")["logGroups"]
    assert group["retentionInDays"] == 7
    aws("wait", "stack-update-complete", "--stack-name", name)
    aws("delete-stack", "--stack-name", name)
    aws("wait", "stack-delete-complete", "--stack-name", stack["StackId"])


def test_the_command_line_packages(aws, server, cloud, name, tmp_path):
    """What lies beside the template goes to S3, and the template too where it is deployed from there."""
    server.client("s3").create_bucket(Bucket=name)
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "train.py").write_text("print(1)\n")
    code = {"RepositoryName": name, "Code": {"BranchName": "main", "S3": "seed"}}
    template = {"Resources": {"Code": {"Type": "AWS::CodeCommit::Repository", "Properties": code}}}
    (tmp_path / "t.json").write_text(json.dumps(template))
    aws("package", "--template-file", "t.json", "--s3-bucket", name, "--output-template-file", "made.yml")
    aws("deploy", "--template-file", "made.yml", "--stack-name", name, "--s3-bucket", name)
    file = server.client("codecommit").get_file(repositoryName=name, filePath="train.py")
    assert file["fileContent"] == b"print(1)\n"


def test_a_change_set_tells_what_would_change(server, cloud, name):
    given = [{"ParameterKey": "Name", "ParameterValue": f"/{name}/log"}]
    made = cloud.create_change_set(
        StackName=name, ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=TEMPLATE, Parameters=given
    )
    cloud.get_waiter("change_set_create_complete").wait(ChangeSetName=made["Id"], WaiterConfig={"Delay": 1})
    found = cloud.describe_change_set(StackName=name, ChangeSetName="first")
    assert (found["Status"], found["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert [each["ResourceChange"]["Action"] for each in found["Changes"]] == ["Add", "Add"]
    assert cloud.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert cloud.get_template(ChangeSetName=made["Id"])["TemplateBody"] == TEMPLATE
    assert server.client("logs").describe_log_groups(logGroupNamePrefix=f"/{name}/")["logGroups"] == []
    cloud.execute_change_set(StackName=name, ChangeSetName="first")
    cloud.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    def change(label, **more):
        cloud.create_change_set(StackName=name, ChangeSetName=label, UsePreviousTemplate=True, **more)
        return cloud.describe_change_set(StackName=name, ChangeSetName=label)

    same = {"ParameterKey": "Name", "UsePreviousValue": True}
    empty = change("empty", Parameters=[same])
    assert (empty["Status"], empty["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in empty["StatusReason"]
    with pytest.raises(WaiterError):
        cloud.get_waiter("change_set_create_complete").wait(
            StackName=name, ChangeSetName="empty", WaiterConfig={"Delay": 1}
        )
    with pytest.raises(ClientError, match=r"cannot be executed in its current status of \[FAILED\]"):
        cloud.execute_change_set(StackName=name, ChangeSetName="empty")

    days = change("days", Parameters=[same, {"ParameterKey": "Days", "ParameterValue": "5"}])
    (one,) = [each["ResourceChange"] for each in days["Changes"]]
    assert (one["Action"], one["LogicalResourceId"], one["Replacement"]) == ("Modify", "Group", "False")
    assert one["Details"][0]["Target"] == {
        "Attribute": "Properties",
        "Name": "RetentionInDays",
        "RequiresRecreation": "Never",
    }
    other = change("other", Parameters=[{"ParameterKey": "Name", "ParameterValue": f"/{name}-2/log"}])
    replaced = {each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"] for each in other["Changes"]}
    assert (replaced["Group"]["Replacement"], replaced["Models"]["Replacement"]) == ("True", "Conditional")
    assert replaced["Models"]["Details"][0]["CausingEntity"] == "Group"
    assert {each["ChangeSetName"] for each in cloud.list_change_sets(StackName=name)["Summaries"]} == {
        "empty",
        "days",
        "other",
    }
    cloud.delete_change_set(StackName=name, ChangeSetName="days")
    with pytest.raises(ClientError, match="does not exist"):
        cloud.describe_change_set(StackName=name, ChangeSetName="days")
    cloud.execute_change_set(StackName=name, ChangeSetName="other")
    cloud.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    groups = server.client("logs").describe_log_groups(logGroupNamePrefix=f"/{name}")["logGroups"]
    assert [group["logGroupName"] for group in groups] == [f"/{name}-2/log"]
    assert cloud.list_change_sets(StackName=name)["Summaries"] == []


def test_what_change_sets_refuse(cloud, name):
    body = json.dumps({"Resources": {"G": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}}}})
    with pytest.raises(ClientError, match="does not exist"):
        cloud.create_change_set(StackName=name, ChangeSetName="c", TemplateBody=body)
    with pytest.raises(ClientError, match="importing"):
        cloud.create_change_set(StackName=name, ChangeSetName="c", TemplateBody=body, ChangeSetType="IMPORT")
    create = {"StackName": name, "ChangeSetName": "c", "ChangeSetType": "CREATE", "TemplateBody": body}
    first = cloud.create_change_set(**create, ClientToken="one")
    assert cloud.create_change_set(**create, ClientToken="one")["Id"] == first["Id"]
    with pytest.raises(ClientError, match="already exists") as error:
        cloud.create_change_set(**create, ClientToken="two")
    assert error.value.response["Error"]["Code"] == "AlreadyExistsException"
    with pytest.raises(ClientError, match="REVIEW_IN_PROGRESS"):
        cloud.update_stack(StackName=name, TemplateBody=body)
    cloud.delete_stack(StackName=name)
    cloud.get_waiter("stack_delete_complete").wait(StackName=first["StackId"], WaiterConfig={"Delay": 1})
    cloud.create_stack(StackName=name, TemplateBody=body)
    cloud.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match="already exists and cannot be created again"):
        cloud.create_change_set(**create)
    tagged = {"StackName": name, "UsePreviousTemplate": True}
    cloud.create_change_set(**tagged, ChangeSetName="late", Tags=[{"Key": "a", "Value": "1"}])
    cloud.update_stack(**tagged, Tags=[{"Key": "a", "Value": "2"}])
    cloud.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert cloud.describe_change_set(StackName=name, ChangeSetName="late")["ExecutionStatus"] == "OBSOLETE"
    with pytest.raises(ClientError, match="OBSOLETE"):
        cloud.execute_change_set(StackName=name, ChangeSetName="late")


def test_a_pipeline_makes_executes_and_deletes(server, cloud, name):
    """CHANGE_SET_REPLACE, CHANGE_SET_EXECUTE, and after a release without changes DELETE_ONLY, by stages."""
    server.client("s3").create_bucket(Bucket=name)
    server.client("codecommit").create_repository(repositoryName=name)
    template = {"Resources": {"G": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/{name}"}}}}
    server.client("codecommit").put_file(
        repositoryName=name, branchName="main", filePath="t.json", fileContent=json.dumps(template).encode()
    )
    source = action("Get", "Source", outputs=["Code"], configuration={"RepositoryName": name, "BranchName": "main"})
    source["actionTypeId"] = {**source["actionTypeId"], "provider": "CodeCommit"}

    def put(label, mode, order=1, **more):
        configuration = {"ActionMode": mode, "StackName": name, **more}
        inputs = ["Code"] if "TemplatePath" in more else []
        return action(label, order=order, inputs=inputs, configuration=configuration)

    declared = pipeline(
        stage("Source", source),
        stage(
            "Deploy",
            put("Make", "CHANGE_SET_REPLACE", 1, ChangeSetName="c", TemplatePath="Code::t.json", RoleArn=ROLE),
            put("Execute", "CHANGE_SET_EXECUTE", 2, ChangeSetName="c"),
        ),
        stage("Remove", put("Delete", "DELETE_ONLY", 1, RoleArn=ROLE)),
        name=name,
    )
    deploy = server.client("codepipeline")
    deploy.create_pipeline(pipeline={**declared, "artifactStore": {"type": "S3", "location": name}})
    deploy.disable_stage_transition(pipelineName=name, stageName="Remove", transitionType="Inbound", reason="later")

    def deployed(identity):
        def look():
            stages = deploy.get_pipeline_state(name=name)["stageStates"]
            latest = stages[1].get("latestExecution", {})
            if latest.get("pipelineExecutionId") != identity or latest["status"] == "InProgress":
                return None
            return stages[1]

        found = until(look, 120)
        assert found["latestExecution"]["status"] == "Succeeded", found

    first = until(lambda: deploy.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"])[0]
    deployed(first["pipelineExecutionId"])
    assert cloud.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    deployed(deploy.start_pipeline_execution(name=name)["pipelineExecutionId"])
    assert cloud.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    deploy.enable_stage_transition(pipelineName=name, stageName="Remove", transitionType="Inbound")

    def gone():
        try:
            cloud.describe_stacks(StackName=name)
        except ClientError:
            return True
        return False

    until(gone, 120)
    assert server.client("logs").describe_log_groups(logGroupNamePrefix=f"/{name}")["logGroups"] == []
