"""`modelwright deployments` on a real server."""

import json
import uuid

import pytest

from support.cli import CommandLine
from support.codepipelines import action, archive, pipeline, stage


@pytest.fixture(scope="module")
def modelwright(server):
    return CommandLine(server.settings.home)


@pytest.fixture
def deployment(server):
    """A pipeline whose source must be put into the bucket of its name first."""
    name = f"cli-{uuid.uuid4().hex[:8]}"
    server.client("s3").create_bucket(Bucket=name)
    configuration = {"S3Bucket": name, "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}
    made = pipeline(
        stage("Source", action("Get", "Source", outputs=["Code"], configuration=configuration)),
        stage("Staging", action("Approve", "Approval")),
        name=name,
        pipelineType="V2",
        variables=[{"name": "where", "defaultValue": "here"}],
    )
    client = server.client("codepipeline")
    client.create_pipeline(pipeline={**made, "artifactStore": {"type": "S3", "location": name}})
    return name


def test_it_works(server, modelwright, deployment):
    failed = modelwright("deployments", "start", deployment, "--wait", code=1)
    assert "Source/Get: Failed" in failed.stderr
    shown = modelwright.out("deployments", "show", deployment)
    assert f"s3://{deployment}/source.zip" in shown
    server.client("s3").put_object(Bucket=deployment, Key="source.zip", Body=archive(a="b"))
    waiting = modelwright("deployments", "retry", deployment, "--wait")
    assert "Staging/Approve: InProgress" in waiting.stderr
    assert "waits for approval" in waiting.stdout
    assert f"deployments approve {deployment} --action Staging/Approve" in waiting.stdout
    listed = json.loads(modelwright.out("deployments", "list", "--json"))
    (found,) = [each for each in listed if each["name"] == deployment]
    assert (found["status"], found["waitsFor"]) == ("InProgress", "Staging/Approve")
    assert deployment in modelwright.out("deployments", "list")
    said = modelwright.out("deployments", "approve", deployment, "--comment", "looks good")
    assert said == f"{deployment}: Staging/Approve is Approved\n"
    state = json.loads(modelwright.out("deployments", "show", deployment, "--json"))
    approved = state["stageStates"][1]["actionStates"][0]["latestExecution"]
    assert (approved["status"], approved["summary"]) == ("Succeeded", "looks good")
    assert "does not wait" not in modelwright.err("deployments", "approve", deployment, code=2)
    modelwright("deployments", "start", deployment, "--variable", "where=there", "--wait")
    assert modelwright.out("deployments", "reject", deployment, "-m", "no").endswith("is Rejected\n")
    assert "by admin: no" in modelwright.out("deployments", "show", deployment)
    modelwright("deployments", "start", deployment, "--wait")
    first = json.loads(modelwright.out("deployments", "show", deployment, "--json"))
    assert "No earlier execution" not in modelwright.err("deployments", "rollback", deployment, "Other", code=2)
    gone = modelwright.out("deployments", "rollback", deployment, "Staging", "--json")
    assert json.loads(gone)["pipelineExecutionId"] != first["stageStates"][1]["latestExecution"]["pipelineExecutionId"]
    assert "is stopping" in modelwright.out("deployments", "stop", deployment, "--abandon", "-m", "enough")


def test_what_is_not_there(modelwright, deployment):
    assert "There is no pipeline 'nothing'" in modelwright.err("deployments", "show", "nothing", code=2)
    assert "does not wait for approval" in modelwright.err(
        "deployments", "approve", deployment, "--action", "Staging/Other", code=2
    )
    assert "The stage 'Other'" in modelwright.err("deployments", "retry", deployment, "--stage", "Other", code=2)
    assert "must be NAME=VALUE" in modelwright.err("deployments", "start", deployment, "--variable", "x", code=2)
    said = modelwright.err("deployments", "start", deployment, "--variable", "x=y", code=1)
    assert "does not declare the variable 'x'" in said
