"""Signed requests for metadata at 10,000 resources, beside moto's server.

A raw keep-alive connection replays requests signed by botocore, so that the client's own cost stays small and equal.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.report import Report
from benchmarks.servers import Endpoint, modelwright, moto

TITLE = "Control plane: signed requests at 10,000 resources"
JOBS = 10_000
REQUESTS = 2_000
ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"


def run() -> Report:
    report = Report(["call", "Modelwright, requests/s (p99 ms)", "moto, requests/s (p99 ms)", "ratio"])
    figures = {}
    for name, server in (("ours", modelwright), ("moto", moto)):
        with server() as endpoint:
            figures[name] = measure(endpoint)
    for call in figures["ours"]:
        ours, theirs = figures["ours"][call], figures["moto"][call]
        report.add(
            call, f"{ours[0]:.0f} ({ours[1]:.1f})", f"{theirs[0]:.0f} ({theirs[1]:.1f})", f"{ours[0] / theirs[0]:.1f}x"
        )
    report.note = (
        "One connection. ListTrainingJobs is a page of 10 of 10,000 ended jobs, newest first; the "
        "pipeline has one execution. Moto checks neither signatures nor parameters. Aim: at least 10x."
    )
    return report


def measure(endpoint: Endpoint) -> dict[str, tuple[float, float]]:
    execution = fill(endpoint)
    calls = {
        "DescribePipelineExecution": {"PipelineExecutionArn": execution},
        "DescribeTrainingJob": {"TrainingJobName": "job-5000"},
        "ListTrainingJobs": {"MaxResults": 10},
        "ListTrainingJobs, by name and status": {
            "NameContains": "job-99",
            "StatusEquals": "Completed",
            "MaxResults": 10,
        },
    }
    return {call: replay(endpoint, call.split(",")[0], parameters) for call, parameters in calls.items()}


def replay(endpoint: Endpoint, operation: str, parameters: dict[str, object]) -> tuple[float, float]:
    """(requests a second, p99 in milliseconds)"""
    address = urlsplit(endpoint.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    body = json.dumps(parameters).encode()
    headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", endpoint.url + "/", data=body, headers=headers)
    SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "sagemaker", "us-east-1").add_auth(request)
    signed = dict(request.prepare().headers)
    took = []
    for _ in range(REQUESTS):
        begin = time.perf_counter()
        connection.request("POST", "/", body, signed)
        answer = connection.getresponse()
        text = answer.read()
        took.append(time.perf_counter() - begin)
        if answer.status != 200:
            raise RuntimeError(f"{operation}: {answer.status} {text[:500]!r}")
    return len(took) / sum(took), statistics.quantiles(took, n=100)[98] * 1000


def fill(endpoint: Endpoint) -> str:
    """10,000 ended training jobs and one execution, whose ARN is returned."""
    client = endpoint.client("sagemaker")
    definition = {
        "Version": "2020-12-01",
        "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}],
    }
    client.create_pipeline(
        PipelineName="bench", PipelineDefinition=json.dumps(definition), RoleArn=ROLE, ClientRequestToken="t" * 32
    )
    arn: str = client.start_pipeline_execution(PipelineName="bench", ClientRequestToken="u" * 32)[
        "PipelineExecutionArn"
    ]
    if endpoint.home is not None:
        copy_jobs(endpoint)
        return arn
    for number in range(JOBS):
        client.create_training_job(**job(number))
    return arn


def job(number: int) -> dict[str, object]:
    return {
        "TrainingJobName": f"job-{number}",
        "AlgorithmSpecification": {"TrainingImage": "bench", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bench/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "HyperParameters": {"epochs": "3", "lr": "0.1"},
    }


def copy_jobs(endpoint: Endpoint) -> None:
    """Running 10,000 jobs would take minutes: their ended documents go into the store as the engine leaves them."""
    from modelwright.store.database import Database
    from modelwright.store.resources import insert_resource

    database = Database(f"sqlite:///{endpoint.home}/modelwright.db")
    now = time.time()
    with database.write() as transaction:
        for number in range(JOBS):
            name = f"job-{number}"
            arn = f"arn:aws:sagemaker:us-east-1:111122223333:training-job/{name}"
            document = {
                **job(number),
                "TrainingJobArn": arn,
                "TrainingJobStatus": "Completed",
                "SecondaryStatus": "Completed",
                "CreationTime": now + number,
                "LastModifiedTime": now + number + 30,
                "TrainingStartTime": now + number + 1,
                "TrainingEndTime": now + number + 30,
                "ModelArtifacts": {"S3ModelArtifacts": f"s3://bench/output/{name}/output/model.tar.gz"},
                "SecondaryStatusTransitions": [
                    {"Status": status, "StartTime": now + number, "EndTime": now + number, "StatusMessage": status}
                    for status in ("Starting", "Downloading", "Training", "Uploading", "Completed")
                ],
            }
            insert_resource(
                transaction, "TrainingJob", name, document, created=now + number, arn=arn, status="Completed"
            )
    database.close()
