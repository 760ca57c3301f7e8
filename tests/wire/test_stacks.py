"""CloudFormation by its official client: a project's stack of code, build, pipeline and rule."""

import io
import json
import uuid
import zipfile

import pytest
from botocore.exceptions import ClientError

from support.doors import ROLE
from support.waiting import until


def build(name, word):
    return {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "Name": f"{name}-build",
            "ServiceRole": ROLE,
            "Artifacts": {"Type": "CODEPIPELINE"},
            "Source": {"Type": "CODEPIPELINE", "BuildSpec": "buildspec.yml"},
            "TimeoutInMinutes": "60",
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": "aws/codebuild/standard:7.0",
                "PrivilegedMode": "true",
                "EnvironmentVariables": [{"Name": "WORD", "Value": word}],
            },
        },
    }


def step(name, category, provider, configuration, **more):
    kind = {"Category": category, "Owner": "AWS", "Provider": provider, "Version": "1"}
    return {"Name": name, "Actions": [{"Name": name, "ActionTypeId": kind, "Configuration": configuration, **more}]}


def template(name, seed, word="one"):
    source = {"RepositoryName": {"Fn::GetAtt": ["Code", "Name"]}, "BranchName": "main", "PollForSourceChanges": False}
    artifact = [{"Name": "S"}]
    stages = [
        step("Source", "Source", "CodeCommit", source, OutputArtifacts=artifact),
        step("Approve", "Approval", "Manual", {"CustomData": word}, RunOrder=1),
        step("Build", "Build", "CodeBuild", {"ProjectName": {"Ref": "Build"}}, InputArtifacts=artifact),
    ]
    arn = "arn:aws:codepipeline:${AWS::Region}:${AWS::AccountId}:${Pipeline}"
    return {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
            "Group": {
                "Type": "AWS::SageMaker::ModelPackageGroup",
                "Properties": {"ModelPackageGroupName": name, "ModelPackageGroupDescription": "Models"},
            },
            "Code": {
                "Type": "AWS::CodeCommit::Repository",
                "Properties": {
                    "RepositoryName": name,
                    "RepositoryDescription": "Code",
                    "Code": {"BranchName": "main", "S3": {"Bucket": seed, "Key": "seed.zip"}},
                },
            },
            "Build": build(name, word),
            "Pipeline": {
                "Type": "AWS::CodePipeline::Pipeline",
                "DependsOn": ["Code"],
                "Properties": {
                    "Name": f"{name}-pipeline",
                    "RoleArn": ROLE,
                    "ArtifactStore": {"Type": "S3", "Location": {"Ref": "Bucket"}},
                    "Stages": stages,
                },
            },
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "Name": f"{name}-rule",
                    "EventPattern": {"source": ["aws.codecommit"], "resources": [{"Fn::GetAtt": ["Code", "Arn"]}]},
                    "Targets": [{"Id": word, "Arn": {"Fn::Sub": arn}, "RoleArn": ROLE}],
                },
            },
        },
        "Outputs": {
            "Url": {"Value": {"Fn::GetAtt": ["Code", "CloneUrlHttp"]}},
            "Group": {"Value": {"Fn::GetAtt": ["Group", "ModelPackageGroupName"]}},
        },
    }


@pytest.fixture
def seed(server):
    name = f"seed-{uuid.uuid4().hex[:8]}"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("buildspec.yml", "version: 0.2")
        archive.writestr("test/test.py", "print(1)")
    server.client("s3").create_bucket(Bucket=name)
    server.client("s3").put_object(Bucket=name, Key="seed.zip", Body=packed.getvalue())
    return name


def settled(client, name):
    def done():
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    return until(done, 60)


def tags_of_code(server, name):
    """Of the repository, the build project and the pipeline."""
    code, pipe = server.client("codecommit"), server.client("codepipeline")
    repository = code.get_repository(repositoryName=name)["repositoryMetadata"]["Arn"]
    pipeline = pipe.get_pipeline(name=f"{name}-pipeline")["metadata"]["pipelineArn"]
    project = server.client("codebuild").batch_get_projects(names=[f"{name}-build"])["projects"][0]
    lists = (project["tags"], pipe.list_tags_for_resource(resourceArn=pipeline)["tags"])
    return [
        code.list_tags_for_resource(resourceArn=repository)["tags"],
        *({tag["key"]: tag["value"] for tag in tags} for tags in lists),
    ]


def test_a_stack_of_code_build_pipeline_and_rule(server, seed):
    cloud, name = server.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
    first = [{"Key": "team", "Value": "pose"}]
    made = cloud.create_stack(StackName=name, TemplateBody=json.dumps(template(name, seed)), Tags=first)
    stack = settled(cloud, name)
    assert (stack["StackStatus"], stack.get("StackStatusReason")) == ("CREATE_COMPLETE", None)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    assert outputs["Group"] == name
    assert outputs["Url"].endswith(f"/v1/repos/{name}")
    code = server.client("codecommit")
    assert code.get_file(repositoryName=name, filePath="test/test.py")["fileContent"] == b"print(1)"
    head = code.get_branch(repositoryName=name, branchName="main")["branch"]["commitId"]
    assert tags_of_code(server, name) == 3 * [{"team": "pose"}]

    second = [{"Key": "cost", "Value": "1"}]
    cloud.update_stack(StackName=name, TemplateBody=json.dumps(template(name, seed, "two")), Tags=second)
    stack = settled(cloud, name)
    assert (stack["StackStatus"], stack.get("StackStatusReason")) == ("UPDATE_COMPLETE", None)
    assert tags_of_code(server, name) == 3 * [{"cost": "1"}]
    project = server.client("codebuild").batch_get_projects(names=[f"{name}-build"])["projects"][0]
    assert project["environment"]["environmentVariables"][0]["value"] == "two"
    assert server.client("codepipeline").get_pipeline(name=f"{name}-pipeline")["pipeline"]["version"] == 2
    events = server.client("events")
    assert [target["Id"] for target in events.list_targets_by_rule(Rule=f"{name}-rule")["Targets"]] == ["two"]
    assert code.get_branch(repositoryName=name, branchName="main")["branch"]["commitId"] == head

    statuses = [each["ResourceStatus"] for each in cloud.describe_stack_events(StackName=name)["StackEvents"]]
    assert "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS" in statuses
    bucket = server.client("s3")
    for each in bucket.list_objects_v2(Bucket=name).get("Contents", []):
        bucket.delete_object(Bucket=name, Key=each["Key"])
    cloud.delete_stack(StackName=name)
    stack = settled(cloud, made["StackId"])
    assert (stack["StackStatus"], stack.get("StackStatusReason")) == ("DELETE_COMPLETE", None)
    with pytest.raises(ClientError, match="does not exist"):
        code.get_repository(repositoryName=name)
    with pytest.raises(ClientError, match="does not exist"):
        events.describe_rule(Name=f"{name}-rule")


def test_a_project_in_a_stack(server):
    """A stack that makes a project, which is a stack of its own; and one whose project can't be made."""
    cloud, sagemaker, name = server.client("cloudformation"), server.client("sagemaker"), f"p-{uuid.uuid4().hex[:8]}"
    products = server.client("servicecatalog").search_products(PageSize=20)["ProductViewSummaries"]
    product = next(each["ProductId"] for each in products if "image" in each["Name"].lower())

    def body(repository):
        given = [{"Key": "ImageRepositoryName", "Value": repository}]
        project = {
            "Type": "AWS::SageMaker::Project",
            "Properties": {
                "ProjectName": name,
                "ServiceCatalogProvisioningDetails": {"ProductId": product, "ProvisioningParameters": given},
            },
        }
        outputs = {"Id": {"Value": {"Fn::GetAtt": ["Project", "ProjectId"]}}}
        return json.dumps({"Resources": {"Project": project}, "Outputs": outputs})

    bad = cloud.create_stack(StackName=f"{name}-bad", TemplateBody=body("NOT A NAME"))
    stack = settled(cloud, f"{name}-bad")
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = [each.get("ResourceStatusReason", "") for each in
               cloud.describe_stack_events(StackName=bad["StackId"])["StackEvents"]]  # fmt: skip
    assert any("ImageRepositoryName" in reason for reason in reasons), reasons
    until(lambda: name not in [each["ProjectName"] for each in sagemaker.list_projects()["ProjectSummaryList"]])

    made = cloud.create_stack(StackName=name, TemplateBody=body(name), Tags=[{"Key": "team", "Value": "pose"}])
    stack = settled(cloud, name)
    assert (stack["StackStatus"], stack.get("StackStatusReason")) == ("CREATE_COMPLETE", None)
    project = sagemaker.describe_project(ProjectName=name)
    assert project["ProjectStatus"] == "CreateCompleted"
    assert stack["Outputs"][0]["OutputValue"] == project["ProjectId"]
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=project["ProjectArn"])["Tags"]}
    assert tags["team"] == "pose"
    cloud.update_stack(StackName=name, UsePreviousTemplate=True, Tags=[{"Key": "team", "Value": "other"}])
    assert settled(cloud, name)["StackStatus"] == "UPDATE_COMPLETE"
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=project["ProjectArn"])["Tags"]}
    assert (tags["team"], tags["sagemaker:project-name"]) == ("other", name)
    cloud.delete_stack(StackName=name)
    stack = settled(cloud, made["StackId"])
    assert (stack["StackStatus"], stack.get("StackStatusReason")) == ("DELETE_COMPLETE", None)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_project(ProjectName=name)
