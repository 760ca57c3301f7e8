"""The second half of `modelwright demo`: from an approved model version to key points from the production endpoint.

By the same calls as a user's: a project from its template, a test image committed to its repository, the approval of
the version and, when staging has been deployed and tested, the approval of production.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from modelwright.cli.console import Console
from modelwright.cli.projects import message
from modelwright.errors import ConfigurationError

PROJECT = "pose-deploy"
TEMPLATE = "model-deploy"
OVER = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
IMAGE = "person.jpg"
EXPECTED = {"predictions": [{"confidence": {"atLeast": 0.3}, "keypoints": [{"name": "nose"}]}]}
COMMENT = "approved by the demo"


@dataclass(frozen=True)
class Deployment:
    """What is deployed, and from where."""

    console: Console
    group: str
    package: str
    """The model package's ARN."""
    photo: Path
    """An image that the model has not seen."""
    draw: list[str]
    """The command that draws: IMAGE ANSWER TARGET are added."""
    folder: Path
    interactive: bool


def deploy(deployment: Deployment) -> dict[str, Any]:
    """All of it. Raises ConfigurationError, with the reason, when the deployment ends otherwise than in production."""
    console = deployment.console
    identity = project(deployment)
    pipeline = f"sagemaker-{PROJECT}-{identity}-modeldeploy"
    commit_test(console, pipeline, deployment.photo)
    settle(console, pipeline)
    begin = time.time()
    say(console, f"approve {deployment.package.rsplit('/', 2)[-2]}/{deployment.package.rsplit('/', 1)[-1]}")
    console.client("sagemaker").update_model_package(
        ModelPackageArn=deployment.package, ModelApprovalStatus="Approved", ApprovalDescription=COMMENT
    )
    execution = started(console, pipeline, begin)
    say(console, f"deployment pipeline: {pipeline}")
    told: dict[str, str] = {}
    approve(deployment, pipeline, execution, told)
    status = follow(console, pipeline, execution, told, until_waits=False)
    if status != "Succeeded":
        raise ConfigurationError(f"The deployment {status}. See: {console.command(f'deployments show {pipeline}')}")
    answer, picture = ask_production(deployment)
    return {
        "Project": PROJECT,
        "DeploymentPipeline": pipeline,
        "PipelineExecutionId": execution,
        "PipelineExecutionStatus": status,
        "Endpoints": [f"{PROJECT}-staging", f"{PROJECT}-prod"],
        "Answer": answer,
        "Picture": str(picture),
        "Seconds": round(time.time() - begin, 1),
    }


def project(deployment: Deployment) -> str:
    """The project's id; it is made where there is none yet."""
    console = deployment.console
    client = console.client("sagemaker")
    pause = threading.Event()
    try:
        found = client.describe_project(ProjectName=PROJECT)
    except ClientError:
        say(console, f"project: {PROJECT}, from the template {TEMPLATE}")
        product = console.client("servicecatalog").describe_product(Name=TEMPLATE)["ProductViewSummary"]["ProductId"]
        given = [{"Key": "SourceModelPackageGroupName", "Value": deployment.group}]
        client.create_project(
            ProjectName=PROJECT,
            ServiceCatalogProvisioningDetails={"ProductId": product, "ProvisioningParameters": given},
        )
        found = client.describe_project(ProjectName=PROJECT)
    while found["ProjectStatus"].endswith("InProgress"):
        pause.wait(0.5)
        found = client.describe_project(ProjectName=PROJECT)
    if not found["ProjectStatus"].endswith("Completed"):
        raise ConfigurationError(f"The project {PROJECT} is {found['ProjectStatus']}: {message(found)}")
    return str(found["ProjectId"])


def commit_test(console: Console, repository: str, photo: Path) -> None:
    """What the staging endpoint is asked, and what its answer must contain."""
    client = console.client("codecommit")
    parent = client.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"]
    folder = "test/requests"
    files = {IMAGE: photo.read_bytes(), f"{IMAGE}.expected.json": json.dumps(EXPECTED, indent=2).encode()}
    errors = client.exceptions
    with contextlib.suppress(errors.NoChangeException, errors.SameFileContentException):  # it was there
        client.create_commit(
            repositoryName=repository,
            branchName="main",
            parentCommitId=parent,
            commitMessage="A photo that staging is tested with",
            putFiles=[{"filePath": f"{folder}/{name}", "fileContent": content} for name, content in files.items()],
        )


def settle(console: Console, pipeline: str) -> None:
    """End what runs already: a new pipeline runs once by itself, and each commit starts it, approved version or not."""
    client = console.client("codepipeline")
    pause = threading.Event()
    stopped: set[str] = set()
    while True:
        found = client.list_pipeline_executions(pipelineName=pipeline)["pipelineExecutionSummaries"]
        running = [each["pipelineExecutionId"] for each in found if each["status"] not in OVER]
        if not running:
            return
        for identity in running:
            if identity not in stopped:
                stopped.add(identity)
                try:
                    client.stop_pipeline_execution(
                        pipelineName=pipeline,
                        pipelineExecutionId=identity,
                        abandon=True,
                        reason="the demo begins with the approval of its own model version",
                    )
                except ClientError:
                    continue  # it has just ended
        pause.wait(0.3)


def started(console: Console, pipeline: str, since: float) -> str:
    """The execution that the approval's event starts."""
    client = console.client("codepipeline")
    pause = threading.Event()
    deadline = since + 60
    while time.time() < deadline:
        for each in client.list_pipeline_executions(pipelineName=pipeline)["pipelineExecutionSummaries"]:
            if each["startTime"].timestamp() >= since - 1 and each["status"] not in OVER:
                return str(each["pipelineExecutionId"])
        pause.wait(0.3)
    raise ConfigurationError(f"The approval did not start {pipeline} within a minute. See the server's log.")


def approve(deployment: Deployment, pipeline: str, execution: str, told: dict[str, str]) -> None:
    """Staging, its test, then the approval: by us, or by who is asked to."""
    console = deployment.console
    command = console.command(f'deployments approve {pipeline} -m "looks right"')
    status = follow(console, pipeline, execution, told, until_waits=True)
    if status in OVER:
        raise ConfigurationError(f"The deployment {status}. See: {console.command(f'deployments show {pipeline}')}")
    say(console, f"production waits for an approval: {command}")
    click.echo(f"    or in Studio: {console.url}/studio/deployments/{pipeline}", err=console.as_json)
    if deployment.interactive:
        return
    client = console.client("codepipeline")
    for stage in client.get_pipeline_state(name=pipeline)["stageStates"]:
        for action in stage["actionStates"]:
            if "token" in action.get("latestExecution", {}):
                client.put_approval_result(
                    pipelineName=pipeline,
                    stageName=stage["stageName"],
                    actionName=action["actionName"],
                    token=action["latestExecution"]["token"],
                    result={"summary": COMMENT, "status": "Approved"},
                )


def follow(console: Console, pipeline: str, execution: str, known: dict[str, str], *, until_waits: bool) -> str:
    """Tell each action's changes until the execution is over, or waits for an approval. Its status.

    `known` is what has been told already: the status of each action, by its id.
    """
    client = console.client("codepipeline")
    pause = threading.Event()
    while True:
        document = client.get_pipeline_execution(pipelineName=pipeline, pipelineExecutionId=execution)
        actions = client.list_action_executions(pipelineName=pipeline, filter={"pipelineExecutionId": execution})
        waits = False
        for action in reversed(actions["actionExecutionDetails"]):
            approval = action["input"]["actionTypeId"]["category"] == "Approval"
            waits = waits or (approval and action["status"] == "InProgress")
            if known.get(action["actionExecutionId"]) != action["status"]:
                known[action["actionExecutionId"]] = action["status"]
                reason = action.get("output", {}).get("executionResult", {}).get("externalExecutionSummary", "")
                note = f" ({reason})" if reason and action["status"] == "Failed" else ""
                where = f"{action['stageName']}/{action['actionName']}"
                click.echo(f"    {where}: {action['status']}{note}", err=console.as_json)
        status = str(document["pipelineExecution"]["status"])
        if status in OVER or (waits and until_waits):
            return status
        pause.wait(0.5)


def ask_production(deployment: Deployment) -> tuple[dict[str, Any], Path]:
    """The production endpoint's answer for the photo, and a picture of it."""
    console = deployment.console
    body = deployment.photo.read_bytes()
    found = console.client("sagemaker-runtime", seconds=70).invoke_endpoint(
        EndpointName=f"{PROJECT}-prod", Body=body, ContentType="image/jpeg"
    )
    content = found["Body"].read()
    answer, picture = deployment.folder / "answer.json", deployment.folder / "keypoints.jpg"
    answer.write_bytes(content)
    drawn = subprocess.run(
        [*deployment.draw, str(deployment.photo), str(answer), str(picture)],
        check=False,
        capture_output=True,
        text=True,
    )
    if drawn.returncode:
        raise ConfigurationError(f"The answer can't be drawn: {drawn.stderr.strip()[-500:]}")
    document: dict[str, Any] = json.loads(content)
    return document, picture


def say(console: Console, text: str) -> None:
    """What is being done now; on stderr when the result is to be JSON."""
    click.secho(f"==> {text}", bold=True, err=console.as_json)
