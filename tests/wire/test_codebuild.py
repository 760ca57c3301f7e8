"""CodeBuild by its official clients: boto3, and AWS's own `sm-docker`, whose image then trains."""

import subprocess

import pytest

from support.sdk import VENVS
from support.waiting import until

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
HOST = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
DOCKERFILE = """\
FROM python:3.11-slim
ARG WORD=none
ENV WORD=$WORD
COPY train.sh /opt/program/train
ENTRYPOINT ["/bin/sh", "/opt/program/train"]
"""
TRAIN = "echo word $WORD; echo model > /opt/ml/model/m"


@pytest.fixture(scope="module")
def clients(server):
    return {name: server.client(name, region="eu-west-1") for name in ("codebuild", "logs", "ecr", "sagemaker", "s3")}


def run(clients, name, commands, privileged):
    """The ended build and its log."""
    lines = "".join(f"      - |\n        {command}\n" for command in commands)
    codebuild = clients["codebuild"]
    codebuild.create_project(
        name=name,
        source={"type": "NO_SOURCE", "buildspec": f"version: 0.2\nphases:\n  build:\n    commands:\n{lines}"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "privilegedMode": privileged,
        },
        serviceRole=ROLE,
    )
    identity = codebuild.start_build(projectName=name)["build"]["id"]

    def ended():
        build = codebuild.batch_get_builds(ids=[identity])["builds"][0]
        return build if build["buildComplete"] else None

    build = until(ended, 180)
    where = build["logs"]
    found = clients["logs"].get_log_events(
        logGroupName=where["groupName"], logStreamName=where["streamName"], startFromHead=True
    )
    return build, [event["message"] for event in found["events"]]


def train(sagemaker, name, image, bucket):
    """The training job's status when it has ended."""
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        RoleArn=ROLE,
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )

    def ended():
        status = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
        return status if status in ("Completed", "Failed", "Stopped") else None

    return until(ended, 120)


def test_a_build_has_the_cli_and_boto3_and_reaches_us(clients):
    python = "python -c \"import boto3; print(boto3.client('sts').get_caller_identity()['Account'])\""
    commands = ["aws sts get-caller-identity --query Account --output text", python, "docker build -t x ."]
    build, said = run(clients, "tools-project", commands, privileged=False)
    assert said.count("111122223333") == 2, said
    assert build["buildStatus"] == "FAILED"
    assert any("Cannot connect to the Docker daemon" in line for line in said), "without privilegedMode, as on AWS"


def test_docker_builds_and_pushes_an_image_that_trains(clients):
    clients["ecr"].create_repository(repositoryName="made-by-docker")
    clients["s3"].create_bucket(
        Bucket="codebuild-docker", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    uri = f"{HOST}/made-by-docker:one"
    text = DOCKERFILE.replace("\n", "\\n")
    commands = [
        f"aws ecr get-login-password | docker login --username AWS --password-stdin {HOST}",
        f"printf '{text}' > Dockerfile; echo '{TRAIN}' > train.sh",
        "docker build -t local:one --build-arg WORD=given .",
        f"docker tag local:one {uri} && docker push {uri}",
        "docker images && docker inspect local:one",
        f"docker tag local:one {HOST}/not-there:one && docker push {HOST}/not-there:one",
    ]
    build, said = run(clients, "docker-project", commands, privileged=True)
    assert any("name unknown" in line for line in said), said
    assert build["buildStatus"] == "FAILED", "by the last push"
    images = clients["ecr"].describe_images(repositoryName="made-by-docker")["imageDetails"]
    assert images[0]["imageTags"] == ["one"]
    assert train(clients["sagemaker"], "trained-by-docker", uri, "codebuild-docker") == "Completed"


def test_sm_docker_builds_an_image_that_trains(clients, server, tmp_path):
    command = VENVS / "sdk2" / "bin" / "sm-docker"
    if not command.exists():
        pytest.skip("no sagemaker-studio-image-build in .venvs/sdk2")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "train.sh").write_text(TRAIN)
    environ = server.client_environ(AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1", PYTHONWARNINGS="ignore")
    words = ("build", ".", "--repository", "by-sm-docker:v1", "--no-logs", "--build-arg", "WORD=sm")
    done = subprocess.run(
        [command, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert "Build complete, status = SUCCEEDED" in done.stdout, done.stdout + done.stderr
    assert f"Image URI: {HOST}/by-sm-docker:v1" in done.stdout
    bucket = "sagemaker-eu-west-1-111122223333"
    assert train(clients["sagemaker"], "trained-by-sm-docker", f"{HOST}/by-sm-docker:v1", bucket) == "Completed"
