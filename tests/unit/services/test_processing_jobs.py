import pytest

from modelwright.errors import ResourceInUse, UnsupportedOperation, ValidationException
from modelwright.store.resources import find_resource, replace_resource
from support.doors import REGION, processing_job

INPUT = {
    "InputName": "code",
    "S3Input": {
        "S3Uri": "s3://data/code/evaluate.py",
        "LocalPath": "/opt/ml/processing/input/code",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
    },
}
OUTPUT = {
    "OutputName": "report",
    "S3Output": {
        "S3Uri": "s3://results/report",
        "LocalPath": "/opt/ml/processing/report",
        "S3UploadMode": "EndOfJob",
    },
}


def with_input(**changes):
    return {"ProcessingInputs": [{**INPUT, "S3Input": {**INPUT["S3Input"], **changes}}]}


def with_outputs(*outputs):
    return {"ProcessingOutputConfig": {"Outputs": list(outputs)}}


def test_it_works(door, clock):
    request = processing_job("Eval", ProcessingInputs=[INPUT], **with_outputs(OUTPUT), Environment={"A": "b"})
    arn = f"arn:aws:sagemaker:{REGION}:111122223333:processing-job/eval"
    assert door("CreateProcessingJob", **request) == {"ProcessingJobArn": arn}
    job = door("DescribeProcessingJob", ProcessingJobName="Eval")
    assert {key: job[key] for key in request} == request
    assert job["ProcessingJobStatus"] == "InProgress"
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert job["CreationTime"] == clock.time
    assert not {"NetworkConfig", "ExitMessage", "ProcessingStartTime"} & set(job)


def test_creation_opens_the_stream_that_the_engine_drives(door, database, history):
    door("CreateProcessingJob", **processing_job())
    with database.read() as transaction:
        assert history.head(transaction, "processing-job/job-1").kind == "Job"
        assert [event.kind for event in history.read(transaction, "processing-job/job-1")] == ["Created"]


def test_a_name_is_taken(door):
    door("CreateProcessingJob", **processing_job())
    with pytest.raises(ResourceInUse, match="name must be unique"):
        door("CreateProcessingJob", **processing_job())


def test_a_missing_job(door):
    for operation in ("DescribeProcessingJob", "StopProcessingJob", "DeleteProcessingJob"):
        with pytest.raises(ValidationException, match="Could not find requested job with name: nobody"):
            door(operation, ProcessingJobName="nobody")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {
                "ProcessingResources": {
                    "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
                }
            },
            "ProcessingResources.ClusterConfig.InstanceCount = 2",
        ),
        (with_input(S3InputMode="Pipe"), "ProcessingInputs[0].S3Input.S3InputMode = 'Pipe'"),
        (
            with_outputs({"OutputName": "f", "FeatureStoreOutput": {"FeatureGroupName": "g"}}),
            "ProcessingOutputConfig.Outputs[0].FeatureStoreOutput",
        ),
        (
            {
                "ProcessingInputs": [
                    {
                        "InputName": "q",
                        "DatasetDefinition": {
                            "AthenaDatasetDefinition": {
                                "Catalog": "c",
                                "Database": "d",
                                "QueryString": "q",
                                "OutputS3Uri": "s3://b/o",
                                "OutputFormat": "JSON",
                            }
                        },
                    }
                ]
            },
            "ProcessingInputs[0].DatasetDefinition",
        ),
    ],
)
def test_what_it_cannot_honour_is_refused_by_name(door, changes, named):
    with pytest.raises(UnsupportedOperation) as caught:
        door("CreateProcessingJob", **processing_job(**changes))
    assert f"does not support {named} in CreateProcessingJob." in caught.value.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (with_input(LocalPath="/tmp/x"), r"LocalPath = '/tmp/x': it must begin with /opt/ml/processing/"),
        (with_input(LocalPath="/opt/ml/processing/../model"), "must begin with"),
        (with_input(LocalPath="/opt/ml/processing"), "must begin with"),
        (with_input(S3Uri="https://data/x"), "must be s3://bucket/key"),
        ({"ProcessingInputs": [INPUT, INPUT]}, "InputName 'code' comes more than once"),
        ({"ProcessingInputs": [{"InputName": "x"}]}, r"ProcessingInputs\[0\]\.S3Input is missing"),
        (with_outputs(OUTPUT, OUTPUT), "OutputName 'report' comes more than once"),
        ({"AppSpecification": {"ImageUri": "unknown:1"}}, "modelwright images build"),
    ],
)
def test_bad_input_is_refused(door, changes, message):
    with pytest.raises(ValidationException, match=message):
        door("CreateProcessingJob", **processing_job(**changes))


def test_stop_asks_the_engine_once(door, database, history):
    door("CreateProcessingJob", **processing_job())
    for _ in range(2):
        door("StopProcessingJob", ProcessingJobName="job-1")
    assert door("DescribeProcessingJob", ProcessingJobName="job-1")["ProcessingJobStatus"] == "Stopping"
    with database.read() as transaction:
        kinds = [event.kind for event in history.read(transaction, "processing-job/job-1")]
    assert kinds == ["Created", "StopRequested"]


def test_the_end(door, database):
    door("CreateProcessingJob", **processing_job())
    with pytest.raises(ResourceInUse):
        door("DeleteProcessingJob", ProcessingJobName="job-1")
    with database.write() as transaction:
        job = find_resource(transaction, "ProcessingJob", "job-1")
        ended = {**job, "ProcessingJobStatus": "Failed", "FailureReason": "AlgorithmError: no"}
        replace_resource(transaction, "ProcessingJob", "job-1", ended, modified=job["CreationTime"], status="Failed")
    with pytest.raises(ValidationException, match="the processing job is in status Failed"):
        door("StopProcessingJob", ProcessingJobName="job-1")
    (summary,) = door("ListProcessingJobs", StatusEquals="Failed")["ProcessingJobSummaries"]
    assert summary["FailureReason"] == "AlgorithmError: no"
    door("DeleteProcessingJob", ProcessingJobName="job-1")
    door("CreateProcessingJob", **processing_job())


def test_pages(door, clock):
    for i in range(5):
        door("CreateProcessingJob", **processing_job(f"job-{i}"))
        clock.advance(1)
    found, token = [], {}
    while True:
        page = door("ListProcessingJobs", MaxResults=2, SortBy="Name", SortOrder="Ascending", **token)
        found += [each["ProcessingJobName"] for each in page["ProcessingJobSummaries"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert found == [f"job-{i}" for i in range(5)]
