"""The workshop's second half: approval, staging, test, production; and its steps 9 to 11, a wrong instance type."""

import json
import threading
import time
from pathlib import Path

import boto3
import pytest

from e2e.conftest import modelwright, notebook

PROJECT = "pose-deploy"
OVER = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def deployed(good):
    assert "Deployment" in good, good
    return good["Deployment"]


@pytest.fixture(scope="module")
def client(good, home):
    """boto3 as a user has it."""
    environment = json.loads(modelwright("env", "--json", home=home).stdout)
    common = {
        "region_name": environment["AWS_DEFAULT_REGION"],
        "endpoint_url": environment["AWS_ENDPOINT_URL"],
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }
    return lambda service: boto3.client(service, **common)


def test_production_answers_with_key_points(deployed):
    assert deployed["PipelineExecutionStatus"] == "Succeeded"
    (person, *_) = deployed["Answer"]["predictions"]
    assert len(person["keypoints"]) == 17
    assert Path(deployed["Picture"]).read_bytes().startswith(b"\xff\xd8")


def test_each_action_ran_once_and_in_order(deployed, client):
    found = client("codepipeline").list_action_executions(
        pipelineName=deployed["DeploymentPipeline"], filter={"pipelineExecutionId": deployed["PipelineExecutionId"]}
    )["actionExecutionDetails"]
    assert [action["actionName"] for action in sorted(found, key=lambda each: each["startTime"])] == [
        "ModelDeployInfraCode",
        "BuildDeploymentTemplates",
        "DeployResourcesStaging",
        "TestStaging",
        "ApproveDeployment",
        "DeployResourcesProd",
    ]


def test_both_endpoints_serve(deployed, client):
    for name in deployed["Endpoints"]:
        assert client("sagemaker").describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"


def test_a_wrong_instance_type_is_told_and_can_be_mended(deployed, client):
    name = deployed["DeploymentPipeline"]
    repository, pipeline = client("codecommit"), client("codepipeline")
    good = repository.get_file(repositoryName=name, filePath="staging-config.json")["fileContent"]
    before = time.time()
    put(repository, name, good.replace(b"ml.m5.large", b"ml.m5.4xlarge"))
    failed = over(pipeline, name, since=before)
    assert failed["status"] == "Failed"
    state = {stage["stageName"]: stage for stage in pipeline.get_pipeline_state(name=name)["stageStates"]}
    action = state["DeployStaging"]["actionStates"][0]["latestExecution"]
    assert action["status"] == "Failed"
    assert "ml.m5.4xlarge" in action["errorDetails"]["message"]
    assert "ml.c5.xlarge" in action["errorDetails"]["message"], "the types that are allowed are named"
    before = time.time()
    put(repository, name, good)  # which releases the change
    waiting = approval(pipeline, name, since=before)
    pipeline.put_approval_result(
        pipelineName=name,
        stageName="DeployStaging",
        actionName="ApproveDeployment",
        token=waiting,
        result={"summary": "only a test", "status": "Rejected"},
    )
    assert over(pipeline, name, since=before)["status"] == "Failed", "production is not touched without its approval"


def test_the_second_notebook_draws_what_both_endpoints_see(deployed, home, tmp_path):
    executed = tmp_path / "test-pose-model.ipynb"
    done = notebook("test-pose-model.ipynb", executed, home, POSE_PICTURES=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    for name in deployed["Endpoints"]:
        assert (tmp_path / f"{name}.jpg").read_bytes().startswith(b"\xff\xd8")
        assert f"{name}: 1 person(s)" in executed.read_text()


def put(repository, name, content):
    parent = repository.get_branch(repositoryName=name, branchName="main")["branch"]["commitId"]
    repository.put_file(
        repositoryName=name,
        branchName="main",
        parentCommitId=parent,
        filePath="staging-config.json",
        fileContent=content,
        commitMessage="another instance type",
    )


def over(pipeline, name, since):
    def look():
        found = pipeline.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        (newest, *_) = found
        return newest if newest["startTime"].timestamp() >= since - 1 and newest["status"] in OVER else None

    return until(look)


def approval(pipeline, name, since):
    def look():
        for stage in pipeline.get_pipeline_state(name=name)["stageStates"]:
            for action in stage["actionStates"]:
                latest = action.get("latestExecution", {})
                if "token" in latest and latest["lastStatusChange"].timestamp() >= since:
                    return latest["token"]
        return None

    return until(look)


def until(look, seconds=300):
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.3)
    return found
