"""Projects by their official clients, on a server that is killed: `model-deploy` from an approval to production.

The model only answers and says which version it is; everything else is the real thing.
"""

import threading

import pytest
from botocore.exceptions import ClientError

from support.cli import CommandLine
from support.deployments import Deployment, make_image
from support.server import serving
from support.waiting import until

pytestmark = pytest.mark.timeout(900)

ACTIONS = (
    "ModelDeployInfraCode",
    "BuildDeploymentTemplates",
    "DeployResourcesStaging",
    "TestStaging",
    "ApproveDeployment",
    "DeployResourcesProd",
)
TINY = """\
Description: A bucket for {words}
Parameters:
  SageMakerProjectName: {{Type: String}}
  Suffix: {{Type: String, AllowedPattern: "[a-z]+", Default: data}}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {{BucketName: !Sub "${{SageMakerProjectName}}-${{Suffix}}"}}
  Log:
    Type: AWS::Logs::LogGroup
    Properties: {{LogGroupName: !Sub "/projects/${{SageMakerProjectName}}", RetentionInDays: {days}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("projects") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def project(server):
    """Made by a server that is killed twice meanwhile; its pipeline has run once, before there was a version."""
    project = Deployment(server).make(wait=False)
    for wanted in ("bucket", "pipeline"):
        until(lambda wanted=wanted: wanted in made(project))
        again(server)
    assert project.settled()["ProjectStatus"] == "CreateCompleted", project.describe()
    yield project
    project.clean()


def made(project):
    """What the project's stack has begun to make, in words."""
    words = {"AWS::S3::Bucket": "bucket", "AWS::CodePipeline::Pipeline": "pipeline"}
    stacks = project.client("cloudformation").describe_stacks()["Stacks"]
    tagged = [each for each in stacks if {"Key": "sagemaker:project-id", "Value": project.id} in each["Tags"]]
    if not tagged:
        return set()
    found = project.client("cloudformation").describe_stack_resources(StackName=tagged[0]["StackId"])["StackResources"]
    return {words.get(each["ResourceType"]) for each in found}


def again(server):
    """Kill it, and start it in the same place."""
    port = server.running.port
    server.kill()
    server.start(port)


@pytest.fixture(scope="module")
def developer(server):
    iam = server.client("iam")
    iam.create_user(UserName="dev")
    iam.add_user_to_group(UserName="dev", GroupName="developer")
    made = iam.create_access_key(UserName="dev")["AccessKey"]
    return Key(made["AccessKeyId"], made["SecretAccessKey"])


class Key:
    def __init__(self, identity, secret):
        self.id, self.secret = identity, secret


def refused(code, call, *given, says=""):
    with pytest.raises(ClientError) as error:
        call(*given)
    assert error.value.response["Error"]["Code"] == code
    assert says in error.value.response["Error"]["Message"]


def test_it_goes_on_after_a_kill_at_every_stage(project, server):
    """Each action runs once, each stack is made once, and production is not there before its approval."""
    first = project.first_over()
    assert "There is no approved version" in project.log(first, "BuildDeploymentTemplates")
    project.put("A question for staging", {
        "test/requests/a.json": b'{"a": [1, 2]}',
        "test/requests/a.json.expected.json": b'{"a": [1, {"atLeast": 2}]}',
    })  # fmt: skip
    project.ended(project.newer({first}))
    before = project.ids()
    project.approve_version(project.version("v1"))
    execution = project.newer(before)
    for name in ACTIONS[:4]:
        project.reaches(execution, name)
        again(server)
    token = project.token(execution)
    assert project.endpoints() == {f"{project.name}-staging": "InService"}
    again(server)
    assert project.token(execution) == token
    assert project.serves("staging") == "v1"
    assert project.stacks("prod") == []
    project.answer(token)
    project.reaches(execution, ACTIONS[5])
    again(server)
    assert project.ended(execution) == "Succeeded", project.problems()
    assert project.serves("prod") == "v1"
    actions = project.actions(execution)
    assert sorted(actions) == sorted(ACTIONS)
    assert {each["status"] for each in actions.values()} == {"Succeeded"}
    assert project.builds(execution) == 2
    for stage in ("staging", "prod"):
        assert project.stacks(stage) == ["CREATE_COMPLETE"]
        assert project.made_once(stage)


def test_an_approval_that_comes_twice_or_from_a_developer(project, developer):
    before = project.ids()
    project.client("codepipeline").start_pipeline_execution(name=project.pipeline)
    execution = project.newer(before)
    token = project.token(execution)
    refused("AccessDeniedException", project.of(developer).answer, token, says="an admin may")
    refused("AccessDeniedException", project.of(developer).answer, token, "Rejected", says="an admin may")
    assert project.token(execution) == token
    project.answer(token, "Rejected", "not this one")
    refused("ApprovalAlreadyCompletedException", project.answer, token, says="rejected already, by")
    assert project.ended(execution) == "Failed"
    refused("ApprovalAlreadyCompletedException", project.answer, token)
    assert project.serves("prod") == "v1"


def test_a_wrong_instance_type_and_a_push_during_its_build(project):
    """Each execution builds the commit that it began with; an approval that comes too late is refused."""
    good = project.file("staging-config.json")
    before = project.ids()
    wrong = project.put("Larger", {"staging-config.json": good.replace(b"ml.m5.large", b"ml.m5.4xlarge")})
    failing = project.newer(before)
    project.reaches(failing, "BuildDeploymentTemplates")
    mended = project.put("As it was", {"staging-config.json": good})
    passing = project.newer(before | {failing})
    assert project.ended(failing) == "Failed"
    reason = project.problem(failing, "DeployResourcesStaging")
    assert "ml.m5.4xlarge is not supported" in reason
    assert "Supported instance types: ml.m5.large, ml.c5.xlarge" in reason
    token = project.token(passing)
    assert [project.revision(each) for each in (failing, passing)] == [wrong, mended]
    assert project.serves("staging") == "v1"
    project.client("codepipeline").stop_pipeline_execution(
        pipelineName=project.pipeline, pipelineExecutionId=passing, abandon=True, reason="enough"
    )
    assert project.ended(passing) == "Stopped"
    refused("InvalidApprovalTokenException", project.answer, token, says="not that of an approval")
    assert project.serves("prod") == "v1"


def test_versions_that_are_approved_within_a_second(project, server, developer):
    """One holds staging; of two that come at once the newer goes on and reaches production, as it was approved: also
    when its image's name has come to mean another."""
    before = project.ids()
    project.client("codepipeline").start_pipeline_execution(name=project.pipeline)
    holding = project.newer(before)
    token = project.token(holding)
    arns = [project.version(name) for name in ("v2", "v3")]
    threads = [threading.Thread(target=project.approve_version, args=(arn,)) for arn in arns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(project.ids() - before) == 3)
    known = [each["pipelineExecutionId"] for each in project.executions()]
    newer, older = (each for each in known if each not in before and each != holding)
    assert project.ended(older) == "Superseded"
    project.answer(token, "Rejected", "there is a newer one")
    token = project.token(newer)
    make_image(server, "#!/bin/sh\nexit 1\n")
    template, data = project.artifact(newer, "BuildDeploymentTemplates"), (project.name, "models/v3/model.tar.gz")
    with project.of(developer).swapped(*template, b"another"):
        project.answer(token)
        assert project.ended(newer) == "Failed"
    assert "is not what was made in this execution" in project.newest_problem("DeployProd")
    with project.of(developer).swapped(*data, b"another"):
        project.retry(newer, "DeployProd")
        assert project.ended(newer) == "Failed"
    assert "is not what the model package was registered with" in project.newest_problem("DeployProd")
    assert project.serves("prod") == "v1"
    project.retry(newer, "DeployProd")
    assert project.ended(newer) == "Succeeded"
    assert {name: project.serves(name) for name in ("staging", "prod")} == {"staging": "v3", "prod": "v3"}
    assert "DeployResourcesStaging" not in project.actions(older)
    assert "DeployResourcesProd" not in project.actions(holding)


def test_delete_takes_all_that_it_made(project, server, developer):
    """Also in the middle of a deployment, and when the server is killed meanwhile."""
    refused("AccessDeniedException", project.of(developer).delete, says="which has a manual approval")
    before, versions = project.ids(), project.versions()
    project.client("codepipeline").start_pipeline_execution(name=project.pipeline)
    project.reaches(project.newer(before), "BuildDeploymentTemplates")
    project.delete()
    again(server)
    project.gone()
    assert project.endpoints() == {}
    left = [(service, name) for service, names in project.everything().items() for name in names if project.id in name]
    assert left == [], left
    assert project.versions() == versions, "models are kept"


def test_a_template_of_ones_own(server, tmp_path):
    own = server.settings.home / "project-templates"
    own.mkdir()
    project = Deployment(server, "own")
    (own / "tiny.yml").write_text(TINY.format(words="data", days=7))
    project.create("tiny", Suffix="logs")
    found = project.settled()
    assert found["ProjectStatus"] == "CreateCompleted", found
    assert project.buckets() == ["own-logs"]
    assert project.retention() == 7
    project.client("s3").put_object(Bucket="own-logs", Key="a", Body=b"b")

    (own / "tiny.yml").write_text(TINY.format(words="data", days=14))
    client = project.client("sagemaker")
    client.update_project(ProjectName="own", ProjectDescription="new words")
    assert (project.describe()["ProjectDescription"], project.retention()) == ("new words", 7)
    update = {"ProvisioningParameters": [{"Key": "Suffix", "Value": "logs"}]}
    client.update_project(ProjectName="own", ServiceCatalogProvisioningUpdateDetails=update)
    assert project.settled()["ProjectStatus"] == "UpdateCompleted"
    assert project.retention() == 14
    wrong = {"ProvisioningParameters": [{"Key": "Nothing", "Value": "x"}]}
    with pytest.raises(ClientError, match=r"has no parameter .Nothing.\. It has Suffix"):
        client.update_project(ProjectName="own", ServiceCatalogProvisioningUpdateDetails=wrong)
    wrong = {"ProvisioningParameters": [{"Key": "Suffix", "Value": "Capital"}]}
    client.update_project(ProjectName="own", ServiceCatalogProvisioningUpdateDetails=wrong)
    found = project.settled()
    assert found["ProjectStatus"] == "UpdateFailed"
    assert "Suffix" in found["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductStatusMessage"]
    project.delete()
    project.gone()
    assert project.buckets() == []


def test_a_project_that_can_not_be_made(server):
    project = Deployment(server, "impossible")
    project.client("s3").create_bucket(Bucket="impossible-taken")
    (server.settings.home / "project-templates" / "tiny.yml").write_text(TINY.format(words="data", days=7))
    with pytest.raises(ClientError, match="There is no project template 'nothing'"):
        project.create("nothing")
    with pytest.raises(ClientError, match="needs a value for: SourceModelPackageGroupName"):
        project.create("model-deploy")
    assert project.names() == []
    project.create("tiny", Suffix="taken")
    found = project.settled()
    assert found["ProjectStatus"] == "CreateFailed"
    reason = found["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductStatusMessage"]
    assert "Bucket" in reason
    assert "impossible-taken already exists" in reason
    project.delete()
    project.gone()
    assert project.buckets() == ["impossible-taken"], "it was there before"
    assert project.client("cloudformation").describe_stacks()["Stacks"] == []


def test_image_build_pushes_what_the_dockerfile_says(server):
    project = Deployment(server, "imaging")
    project.create("image-build", ImageRepositoryName="imaging/trainer")
    assert project.settled()["ProjectStatus"] == "CreateCompleted", project.describe()
    pipeline = project.uses("imagebuild")
    (first,) = project.ids()
    commit = project.put("No packages", {"Dockerfile": b"FROM python:3.11-slim\nCOPY train.py /train.py\n"})
    second = project.newer({first})
    for execution in (first, second):
        assert project.ended(execution) == "Succeeded", project.log(execution, "BuildAndPushImage")
    assert project.revision(second) == commit
    ecr = server.client("ecr")
    described = ecr.describe_images(repositoryName="imaging/trainer")["imageDetails"]
    by_tag = {tag: each["imageDigest"] for each in described for tag in each["imageTags"]}
    assert set(by_tag) == {"latest", project.revision(first), commit}
    assert by_tag["latest"] == by_tag[commit] != by_tag[project.revision(first)]
    image = f"imaging-{project.id}"
    newest = project.client("sagemaker").describe_image_version(ImageName=image, Alias="latest")
    assert (newest["Version"], newest["BaseImage"].rpartition(":")[2]) == (2, commit)
    project.delete()
    project.gone()
    assert pipeline not in project.everything()["codepipeline"]


RUN = """\
import json, os, boto3
client, name = boto3.client("sagemaker"), os.environ["SAGEMAKER_PIPELINE_NAME"]
role = os.environ["SAGEMAKER_PIPELINE_ROLE_ARN"]
group = os.environ["MODEL_PACKAGE_GROUP_NAME"]
data = "s3://" + os.environ["ARTIFACT_BUCKET"] + "/model.tar.gz"
boto3.client("s3").put_object(Bucket=os.environ["ARTIFACT_BUCKET"], Key="model.tar.gz", Body=b"a model")
containers = [{"Image": "scikit-learn", "ModelDataUrl": data}]
specification = {"Containers": containers, "SupportedContentTypes": ["text/csv"],
                 "SupportedResponseMIMETypes": ["text/csv"]}
step = {"Name": "Register", "Type": "RegisterModel", "Arguments": {
    "ModelPackageGroupName": group, "ModelApprovalStatus": "PendingManualApproval",
    "InferenceSpecification": specification}}
definition = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})
tags = [{"Key": "sagemaker:project-name", "Value": os.environ["SAGEMAKER_PROJECT_NAME"]},
        {"Key": "sagemaker:project-id", "Value": os.environ["SAGEMAKER_PROJECT_ID"]}]
client.create_pipeline(PipelineName=name, PipelineDefinition=definition, RoleArn=role, Tags=tags,
                       ClientRequestToken="a" * 32)
arn = client.start_pipeline_execution(PipelineName=name, ClientRequestToken="b" * 32)["PipelineExecutionArn"]
open("execution.json", "w").write(json.dumps({"PipelineExecutionArn": arn}))
"""


def test_model_build_runs_its_pipeline_and_registers(server):
    """With a pipeline of one step; the seed's own, by the SDK, is in `wire/test_project_seeds.py`."""
    project = Deployment(server, "building")
    project.create("model-build")
    assert project.settled()["ProjectStatus"] == "CreateCompleted", project.describe()
    project.uses("modelbuild")
    (first,) = project.ids()
    project.client("codepipeline").stop_pipeline_execution(
        pipelineName=project.pipeline, pipelineExecutionId=first, abandon=True, reason="the seed takes longer"
    )
    project.put("One step", {"run_pipeline.py": RUN.encode(), "requirements.txt": b"# nothing\n"})
    second = project.newer({first})
    assert project.ended(second) == "Succeeded", project.problems()
    client, group = project.client("sagemaker"), f"building-{project.id}"
    (execution,) = client.list_pipeline_executions(PipelineName="sagemaker-building")["PipelineExecutionSummaries"]
    arn = execution["PipelineExecutionArn"]
    until(
        lambda: client.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Succeeded"
    )
    (version,) = client.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert version["ModelApprovalStatus"] == "PendingManualApproval"
    found = client.describe_model_package(ModelPackageName=version["ModelPackageArn"])
    assert found["InferenceSpecification"]["Containers"][0]["ModelDataETag"]
    project.delete()
    project.gone()
    assert client.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"], "models are kept"


def test_a_template_in_s3(server):
    project = Deployment(server, "provided")
    project.client("s3").create_bucket(Bucket="templates")
    body = TINY.format(words="data", days=3).replace("Resources:", "  SageMakerProjectId: {Type: String}\nResources:")
    project.client("s3").put_object(Bucket="templates", Key="tiny.yml", Body=body.encode())
    provider = {"TemplateName": "tiny", "TemplateURL": "https://templates.s3.amazonaws.com/tiny.yml"}
    client = project.client("sagemaker")
    client.create_project(ProjectName="provided", TemplateProviders=[{"CfnTemplateProvider": provider}])
    found = project.settled()
    assert found["ProjectStatus"] == "CreateCompleted", found
    detail = found["TemplateProviderDetails"][0]["CfnTemplateProviderDetail"]
    assert (detail["TemplateName"], detail["StackDetail"]["Name"]) == (
        "tiny",
        f"sagemaker-provided-{found['ProjectId']}",
    )
    assert project.buckets() == ["provided-data"]
    project.delete()
    project.gone()


def test_the_command_line(server):
    modelwright, own = CommandLine(server.settings.home), server.settings.home / "project-templates"
    own.mkdir(exist_ok=True)
    (own / "tiny.yml").write_text(TINY.format(words="words", days=7).replace(", Default: data", ""))
    (own / "odd.yml").write_text("Parameters: {A: 5}\nResources: {B: {Type: 'AWS::S3::Bucket'}}")
    listed = modelwright("projects", "templates")
    assert "A bucket for words" in listed.stdout
    assert "odd.yml can't be made into a stack" in listed.stderr
    said = modelwright.err("projects", "create", "cli", "--template", "tiny", code=2)
    assert said.startswith("modelwright: The template 'tiny' needs --parameter Suffix=...")
    wrong = modelwright("projects", "create", "cli", "--template", "tiny", "--parameter", "Suffix", code=2)
    assert "write KEY=VALUE" in wrong.stderr
    failed = modelwright("projects", "create", "cli", "--template", "tiny", "--parameter", "Suffix=NO", code=1)
    assert "cli is CreateFailed" in failed.stderr
    assert "Suffix" in failed.stderr
    modelwright("projects", "delete", "cli", "--yes")
    made = modelwright.out("projects", "create", "cli", "--template", "tiny", "--parameter", "Suffix=logs")
    assert "cli  CreateCompleted" in made
    assert "from the template tiny" in made
    assert "\ncli " in modelwright.out("projects", "list")
    modelwright("projects", "delete", "cli", "--yes")
    assert "There is no project 'cli'" in modelwright.err("projects", "show", "cli", code=2)
