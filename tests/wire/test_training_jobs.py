"""Training and processing jobs by boto3: from the request to the artifacts, the log and the metrics."""

import io
import json
import tarfile
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from modelwright.images.library import LocalImages

DOCKERFILE = 'FROM scratch\nCOPY run /opt/program/run\nENTRYPOINT ["/bin/sh", "/opt/program/run"]\n'
PROGRAM = """#!/bin/sh
echo "called with $*"
case "$MODE" in
    fail) echo "what a pity" >&2; exit 7 ;;
    wait) echo "waiting"; trap 'exit 0' TERM; while :; do sleep 0.05; done ;;
esac
echo "epoch=1 mAP50=0.25"
echo "epoch=2 mAP50=0.75"
test -d /opt/ml/processing && cat /opt/ml/processing/input/data/* > /opt/ml/processing/report/joined.txt && exit
cp /opt/ml/input/config/hyperparameters.json /opt/ml/model/
cp /opt/ml/input/data/train/a.txt /opt/ml/output/data/
"""
PATIENCE = 60


@pytest.fixture(scope="module")
def image(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "run").write_text(PROGRAM)
    uri = "111122223333.dkr.ecr.us-east-1.amazonaws.com/wire-jobs:1"
    LocalImages(server.settings).build(folder, uri, lambda line: None)
    return uri


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture(scope="module")
def logs(server):
    return server.client("logs")


@pytest.fixture(scope="module")
def s3(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="wire-jobs")
    for name in ("a", "b"):
        s3.put_object(Bucket="wire-jobs", Key=f"data/{name}.txt", Body=f"content of {name}\n".encode())
    return s3


@pytest.fixture
def train(sagemaker, image, s3):
    def train(mode="", **changes):
        name = f"job-{uuid.uuid4().hex[:12]}"
        request = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "mAP50", "Regex": r"mAP50=([0-9.]+)"}],
            },
            "HyperParameters": {"epochs": "2"},
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://wire-jobs/data/"}},
                }
            ],
            "OutputDataConfig": {"S3OutputPath": "s3://wire-jobs/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "RoleArn": "arn:aws:iam::111122223333:role/ModelwrightExecutionRole",
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "Environment": {"MODE": mode},
            **changes,
        }
        sagemaker.create_training_job(**request)
        return name

    return train


def until(what):
    """The first true answer. A condition to wait for, not a time."""
    pause, end = threading.Event(), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        pause.wait(0.02)
    raise AssertionError("it never happened")


@pytest.fixture
def ended(sagemaker):
    def ended(name):
        def look():
            job = sagemaker.describe_training_job(TrainingJobName=name)
            return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

        return until(look)

    return ended


def lines(logs, group, name):
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    if not streams:
        return []
    events = logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True)
    return [event["message"] for event in events["events"]]


def test_a_job_runs(train, ended, s3, logs):
    job = ended(train())
    name = job["TrainingJobName"]
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["SecondaryStatus"] == "Completed"
    assert job["SecondaryStatusTransitions"][0]["Status"] == "Starting"
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    (metric,) = job["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("mAP50", 0.75)
    artifacts = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifacts == f"s3://wire-jobs/out/{name}/output/model.tar.gz"
    body = s3.get_object(Bucket="wire-jobs", Key=artifacts.removeprefix("s3://wire-jobs/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert json.load(archive.extractfile("hyperparameters.json")) == {"epochs": "2"}
    said = lines(logs, "/aws/sagemaker/TrainingJobs", name)
    assert "called with train" in said
    assert "epoch=2 mAP50=0.75" in said


def test_a_failure_says_why(train, ended):
    job = ended(train("fail"))
    assert job["TrainingJobStatus"] == "Failed"
    assert "exit code: 7" in job["FailureReason"].lower(), job["FailureReason"]
    assert "what a pity" in job["FailureReason"]
    assert "ModelArtifacts" not in job


def test_a_job_is_stopped(train, ended, logs, sagemaker):
    name = train("wait")
    until(lambda: "waiting" in _lines_or_none(logs, name))  # its log shows while it runs
    sagemaker.stop_training_job(TrainingJobName=name)
    job = ended(name)
    assert job["TrainingJobStatus"] == "Stopped"
    with pytest.raises(ClientError) as caught:
        sagemaker.stop_training_job(TrainingJobName=name)
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "The request was rejected because the training job is in status Stopped.",
    }


def _lines_or_none(logs, name):
    try:
        return lines(logs, "/aws/sagemaker/TrainingJobs", name)
    except logs.exceptions.ResourceNotFoundException:
        return []


def test_a_deleted_job_s_name_can_be_used_again(train, ended, sagemaker):
    name = train("fail")
    ended(name)
    sagemaker.delete_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName=name)
    train(TrainingJobName=name)
    assert ended(name)["TrainingJobStatus"] == "Completed"


def test_lists_tags_and_search(train, ended, sagemaker):
    names = [train(Tags=[{"Key": "batch", "Value": "wire"}]) for _ in range(3)]
    jobs = [ended(name) for name in names]
    paginator = sagemaker.get_paginator("list_training_jobs")
    pages = paginator.paginate(StatusEquals="Completed", SortOrder="Ascending", PaginationConfig={"PageSize": 2})
    listed = [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]
    assert [name for name in listed if name in names] == names
    found = sagemaker.search(
        Resource="TrainingJob",
        SearchExpression={
            "Filters": [
                {
                    "Name": "ModelArtifacts.S3ModelArtifacts",
                    "Operator": "Equals",
                    "Value": jobs[1]["ModelArtifacts"]["S3ModelArtifacts"],
                },
                {"Name": "Tags.batch", "Operator": "Equals", "Value": "wire"},
            ]
        },
    )["Results"]
    assert [each["TrainingJob"]["TrainingJobName"] for each in found] == [names[1]]
    arn = jobs[0]["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "more", "Value": ""}])
    assert [tag["Key"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]] == ["batch", "more"]


def test_refusals_are_not_retried_and_name_the_cause(train, sagemaker, image):
    for changes, code, message in (
        ({"TensorBoardOutputConfig": {"S3OutputPath": "s3://b/t"}}, "UnsupportedOperation", "TensorBoardOutputConfig"),
        ({"RoleArn": "arn:aws:iam::nobody:role/me"}, "ValidationException", "roleArn"),
        (
            {"AlgorithmSpecification": {"TrainingImage": "nowhere/no:1", "TrainingInputMode": "File"}},
            "ValidationException",
            "nowhere/no:1",
        ),
    ):
        with pytest.raises(ClientError) as caught:
            train(**changes)
        error = caught.value.response
        assert error["Error"]["Code"] == code
        assert message in error["Error"]["Message"]
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_processing_job_runs(sagemaker, image, s3, logs):
    name = f"job-{uuid.uuid4().hex[:12]}"
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        AppSpecification={"ImageUri": image, "ContainerArguments": ["--quick"]},
        RoleArn="arn:aws:iam::111122223333:role/ModelwrightExecutionRole",
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        ProcessingInputs=[
            {
                "InputName": "data",
                "S3Input": {
                    "S3Uri": "s3://wire-jobs/data",
                    "LocalPath": "/opt/ml/processing/input/data",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "report",
                    "S3Output": {
                        "S3Uri": f"s3://wire-jobs/reports/{name}",
                        "LocalPath": "/opt/ml/processing/report",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    )

    def look():
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] != "InProgress" else None

    job = until(look)
    assert job["ProcessingJobStatus"] == "Completed", job
    body = s3.get_object(Bucket="wire-jobs", Key=f"reports/{name}/joined.txt")["Body"].read()
    assert body == b"content of a\ncontent of b\n"
    assert "called with --quick" in lines(logs, "/aws/sagemaker/ProcessingJobs", name)
