"""Builds in a pipeline, by the real CodeBuild: artifacts in and out, variables, and a build that fails."""

import io
import json
import textwrap
import uuid
import zipfile

import pytest

from support.codepipelines import action, archive, pipeline, stage
from support.doors import ROLE
from support.waiting import until

COMPILE = """
    version: 0.2
    env:
      exported-variables: [GREETING]
    phases:
      build:
        commands:
          - export GREETING="hello $WHO"
          - cp a built.txt
          - test "$BAD" != yes
    artifacts:
      files: [built.txt]
"""
CHECK = """
    version: 0.2
    phases:
      build:
        commands:
          - cat built.txt $CODEBUILD_SRC_DIR_Code/a > both.txt
          - echo "$GREETING" >> both.txt
    artifacts:
      secondary-artifacts:
        Both: {files: [both.txt]}
        Same: {files: [built.txt]}
"""


@pytest.fixture(scope="module")
def name(server):
    """A pipeline, its bucket and its projects have the same name."""
    name, s3 = f"builds-{uuid.uuid4().hex[:8]}", server.client("s3")
    s3.create_bucket(Bucket=name)
    source = archive(**{"a": "one\n", "buildspec.yml": textwrap.dedent(COMPILE)})
    s3.put_object(Bucket=name, Key="source.zip", Body=source)
    for project, spec in ((name, {}), (f"{name}-check", {"buildspec": textwrap.dedent(CHECK)})):
        server.client("codebuild").create_project(
            name=project,
            source={"type": "CODEPIPELINE", **spec},
            artifacts={"type": "CODEPIPELINE"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
            serviceRole=ROLE,
        )
    who = [{"name": "WHO", "value": "#{variables.who}"}, {"name": "BAD", "value": "#{variables.bad}"}]
    greeting = [{"name": "GREETING", "value": "#{Compiled.GREETING}"}]
    declared = pipeline(
        stage("Source", action("Get", "Source", outputs=["Code"], configuration={**SOURCE, "S3Bucket": name})),
        stage(
            "Build",
            action(
                "Compile",
                "Build",
                inputs=["Code"],
                outputs=["Built"],
                namespace="Compiled",
                configuration={"ProjectName": name, "EnvironmentVariables": json.dumps(who)},
            ),
        ),
        stage(
            "Test",
            action(
                "Check",
                "Test",
                inputs=["Code", "Built"],
                outputs=["Both", "Same"],
                configuration={
                    "ProjectName": f"{name}-check",
                    "PrimarySource": "Built",
                    "EnvironmentVariables": json.dumps(greeting),
                },
            ),
        ),
        name=name,
        pipelineType="V2",
        variables=[{"name": "who", "defaultValue": "world"}, {"name": "bad", "defaultValue": "no"}],
    )
    declared["artifactStore"]["location"] = name
    server.client("codepipeline").create_pipeline(pipeline=declared)
    return name


SOURCE = {"S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}


def ended(server, name, execution):
    """(its status, its actions, the newest first)."""
    client = server.client("codepipeline")

    def status():
        found = client.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)["pipelineExecution"]
        return found["status"] != "InProgress" and found["status"]

    wanted = {"pipelineExecutionId": execution}
    return until(status, 120), client.list_action_executions(pipelineName=name, filter=wanted)["actionExecutionDetails"]


def test_it_works(server, name):
    (execution,) = server.client("codepipeline").list_pipeline_executions(pipelineName=name)[
        "pipelineExecutionSummaries"
    ]
    status, (check, compiled, _) = ended(server, name, execution["pipelineExecutionId"])
    assert status == "Succeeded", [check["output"], compiled["output"]]
    assert compiled["output"]["outputVariables"] == {"GREETING": "hello world"}
    places = {each["name"]: each["s3location"] for each in check["output"]["outputArtifacts"]}
    body = server.client("s3").get_object(Bucket=name, Key=places["Both"]["key"])["Body"].read()
    with zipfile.ZipFile(io.BytesIO(body)) as found:
        assert found.read("both.txt").decode() == "one\none\nhello world\n"
    result = check["output"]["executionResult"]
    build = server.client("codebuild").batch_get_builds(ids=[result["externalExecutionId"]])["builds"][0]
    assert build["buildStatus"] == "SUCCEEDED"
    assert result["logStreamARN"] == build["logs"]["cloudWatchLogsArn"]


def test_a_build_that_fails_says_where(server, name):
    client = server.client("codepipeline")
    variables = [{"name": "bad", "value": "yes"}]
    execution = client.start_pipeline_execution(name=name, variables=variables)["pipelineExecutionId"]
    status, (compiled, _) = ended(server, name, execution)
    assert status == "Failed"
    error = compiled["output"]["executionResult"]["errorDetails"]
    assert error["code"] == "JobFailed"
    assert error["message"].startswith("Build terminated with state: FAILED. Phase: BUILD")
