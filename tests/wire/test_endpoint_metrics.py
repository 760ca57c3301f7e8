"""Metrics and captured data of an endpoint, by boto3 and by the SDK."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from modelwright.images.library import LocalImages
from support.hosting import SERVE
from support.sdk import python

URI = "111122223333.dkr.ecr.us-east-1.amazonaws.com/wire-metrics:1"
DOCKERFILE = 'FROM python:3.11\nCOPY serve /opt/program/serve\nENV PATH="/opt/program:$PATH"\n'
ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
PATIENCE = 90
BUCKET = "wire-captured"


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture(scope="module")
def image(server, sagemaker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "serve").write_text(SERVE.format(python="/usr/bin/env python3"))
    (folder / "serve").chmod(0o755)
    LocalImages(server.settings).build(folder, URI, lambda line: None)
    yield URI
    for endpoint in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]:
        sagemaker.delete_endpoint(EndpointName=endpoint["EndpointName"])
        waiter = sagemaker.get_waiter("endpoint_deleted")
        waiter.config.delay = 0.1
        waiter.wait(EndpointName=endpoint["EndpointName"])


def until(look):
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def configure(sagemaker, name, model, **capture):
    variant = {"VariantName": "v", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.t2.medium"}
    config = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/here",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        **capture,
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant], DataCaptureConfig=config
    )  # fmt: skip


def in_service(sagemaker, name):
    found = until(lambda: (one := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] in (
        "InService", "Failed") and one)  # fmt: skip
    assert found["EndpointStatus"] == "InService", found
    return found


def captured(server):
    s3 = server.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    lines = [line for key in keys for line in s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().splitlines()]
    return keys, [json.loads(line) for line in lines]


def test_metrics_and_capture(server, sagemaker, image):
    server.client("s3").create_bucket(Bucket=BUCKET)
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": image}, ExecutionRoleArn=ROLE)
    configure(sagemaker, "first", "m")
    sagemaker.create_endpoint(EndpointName="measured", EndpointConfigName="first")
    found = in_service(sagemaker, "measured")
    summary = found["DataCaptureConfig"]
    assert (summary["EnableCapture"], summary["CaptureStatus"], summary["CurrentSamplingPercentage"]) == (
        True, "Started", 100
    )  # fmt: skip

    runtime = server.client("sagemaker-runtime")
    asked = {"EndpointName": "measured", "ContentType": "text/csv", "CustomAttributes": "from=test"}
    runtime.invoke_endpoint(Body=b"1,2", InferenceId="mine", **asked)
    list(runtime.invoke_endpoint_with_response_stream(Body=b"pieces", **asked)["Body"])
    with pytest.raises(ClientError):
        runtime.invoke_endpoint(Body=b"teapot", **asked)

    watch = server.client("cloudwatch")
    dimensions = [{"Name": "EndpointName", "Value": "measured"}, {"Name": "VariantName", "Value": "v"}]
    span = {"StartTime": datetime.now(UTC) - timedelta(minutes=30), "EndTime": datetime.now(UTC) + timedelta(minutes=5)}

    def total(name, statistic="Sum", namespace="AWS/SageMaker"):
        points = watch.get_metric_statistics(
            Namespace=namespace, MetricName=name, Dimensions=dimensions, Period=3600, Statistics=[statistic],
            **span,
        )["Datapoints"]  # fmt: skip
        return points[0][statistic] if points else None

    until(lambda: total("Invocations") == 3)
    assert [total(name) for name in (
        "InvocationsPerInstance", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors"
    )] == [3, 1, 0, 1]  # fmt: skip
    assert total("ModelLatency", "Minimum") > 0
    assert total("OverheadLatency", "SampleCount") == 3
    until(lambda: total("MemoryUtilization", "Average", "/aws/sagemaker/Endpoints"))
    metric = {"Namespace": "AWS/SageMaker", "Dimensions": dimensions}
    answer = watch.get_metric_data(MetricDataQueries=[
        *({"Id": identity, "ReturnData": False, "MetricStat": {
            "Metric": {**metric, "MetricName": name}, "Period": 3600, "Stat": "Sum"}}
          for identity, name in (("all", "Invocations"), ("bad", "Invocation4XXErrors"))),
        {"Id": "rate", "Expression": "bad / all"},
        {"Id": "slow", "MetricStat": {
            "Metric": {**metric, "MetricName": "ModelLatency"}, "Period": 3600, "Stat": "p99"}},
    ], **span)["MetricDataResults"]  # fmt: skip
    assert answer[0]["Values"] == [pytest.approx(1 / 3)]
    assert answer[1]["Values"][0] > 0

    until(lambda: len(captured(server)[1]) == 2)
    keys, documents = captured(server)
    assert all(key.startswith("here/measured/v/20") and key.endswith(".jsonl") for key in keys)
    first = next(each for each in documents if each["eventMetadata"].get("inferenceId"))
    assert first["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV"
    }  # fmt: skip
    assert first["captureData"]["endpointOutput"]["data"] == "1,2"
    assert first["eventMetadata"]["inferenceId"] == "mine"
    assert first["eventMetadata"]["customAttributes"] == ["from=test"]
    streamed = next(each for each in documents if not each["eventMetadata"].get("inferenceId"))
    assert streamed["captureData"]["endpointInput"]["data"] == "pieces"

    # An update that retains, and one that doesn't.
    configure(sagemaker, "second", "m", EnableCapture=False)
    sagemaker.update_endpoint(
        EndpointName="measured", EndpointConfigName="second", RetainAllVariantProperties=True
    )  # fmt: skip
    assert in_service(sagemaker, "measured")["DataCaptureConfig"]["EnableCapture"] is True
    sagemaker.update_endpoint(
        EndpointName="measured", EndpointConfigName="second", RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DataCaptureConfig"}],
    )  # fmt: skip
    summary = in_service(sagemaker, "measured")["DataCaptureConfig"]
    assert (summary["EnableCapture"], summary["CaptureStatus"]) == (False, "Stopped")


def test_what_is_refused(sagemaker, image):
    with pytest.raises(ClientError, match="KmsKeyId"):
        configure(sagemaker, "encrypted", "m", KmsKeyId="alias/mine")
    with pytest.raises(ClientError, match="not a valid S3 URI"):
        configure(sagemaker, "elsewhere", "m", DestinationS3Uri="https://example.com/x")


def test_sdk_v2_turns_capture_on_and_reads_it(server, image):
    lines = python(server, "sdk2", f"""
import json, time
import sagemaker
from sagemaker.model import Model
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.predictor import Predictor
from sagemaker.s3 import S3Downloader
from sagemaker.serializers import CSVSerializer
session = sagemaker.Session()
session.default_bucket()
model = Model(image_uri="{URI}", role=sagemaker.get_execution_role(), sagemaker_session=session,
              predictor_cls=Predictor, name="captured-model")
config = DataCaptureConfig(enable_capture=True, sampling_percentage=100, sagemaker_session=session)
predictor = model.deploy(1, "ml.m5.large", endpoint_name="captured", wait=False, serializer=CSVSerializer(),
                         data_capture_config=config)
session.wait_for_endpoint("captured", poll=0.2)
predictor.predict([[1, 2], [3, 4]])
for _ in range(600):
    files = S3Downloader.list(config.destination_s3_uri, sagemaker_session=session)
    if files:
        break
    time.sleep(0.1)
document = json.loads(S3Downloader.read_file(files[0], sagemaker_session=session))
say(document["captureData"]["endpointInput"])
predictor.disable_data_capture()
session.wait_for_endpoint("captured", poll=0.2)
def status():
    return session.sagemaker_client.describe_endpoint(EndpointName="captured")["DataCaptureConfig"]
say(status()["CaptureStatus"])
predictor.update_data_capture_config(DataCaptureConfig(enable_capture=True, sampling_percentage=20,
                                                       sagemaker_session=session))
session.wait_for_endpoint("captured", poll=0.2)
say(status()["CaptureStatus"], status()["CurrentSamplingPercentage"])
predictor.delete_endpoint()
""")  # fmt: skip
    assert lines == [
        "{'observedContentType': 'text/csv', 'mode': 'INPUT', 'data': '1,2\\n3,4', 'encoding': 'CSV'}",
        "Stopped",
        "Started 20",
    ]
