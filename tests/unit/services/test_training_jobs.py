import time

import pytest

from modelwright.errors import AwsError, ResourceInUse, UnsupportedOperation, ValidationException
from modelwright.store.resources import find_resource, insert_resource, replace_resource
from support.doors import IMAGE, REGION, training_job

ARN = f"arn:aws:sagemaker:{REGION}:111122223333:training-job/"


def end(database, name, status="Completed"):
    """What the engine does at the end, as far as these tests need it."""
    with database.write() as transaction:
        job = find_resource(transaction, "TrainingJob", name)
        job["TrainingJobStatus"] = status
        replace_resource(transaction, "TrainingJob", name, job, modified=job["CreationTime"] + 5, status=status)


def names(answer):
    return [summary["TrainingJobName"] for summary in answer["TrainingJobSummaries"]]


def test_it_works(door, clock):
    request = training_job("Pose-1", HyperParameters={"epochs": "3"}, Environment={"A": "b"})
    assert door("CreateTrainingJob", **request) == {"TrainingJobArn": ARN + "pose-1"}
    job = door("DescribeTrainingJob", TrainingJobName="Pose-1")
    assert {key: job[key] for key in request if key != "OutputDataConfig"} == {
        key: value for key, value in request.items() if key != "OutputDataConfig"
    }
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("InProgress", "Starting")
    assert [each["Status"] for each in job["SecondaryStatusTransitions"]] == ["Starting"]
    assert job["CreationTime"] == clock.time
    for absent in ("ModelArtifacts", "TrainingStartTime", "FailureReason", "VpcConfig", "Tags"):
        assert absent not in job


def test_estimator_attach_finds_the_members_that_it_reads(door):
    door("CreateTrainingJob", **training_job())
    job = door("DescribeTrainingJob", TrainingJobName="job-1")
    assert job["OutputDataConfig"] == {"KmsKeyId": "", "CompressionType": "GZIP", "S3OutputPath": "s3://results/out"}
    assert job["EnableNetworkIsolation"] is False
    assert job["EnableManagedSpotTraining"] is False


def test_a_job_without_stopping_condition_may_run_a_day(door):
    request = training_job()
    del request["StoppingCondition"]
    door("CreateTrainingJob", **request)
    assert door("DescribeTrainingJob", TrainingJobName="job-1")["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}


def test_creation_opens_the_stream_that_the_engine_drives(door, database, history, clock):
    woken = []
    history.subscribe(woken.append)
    door("CreateTrainingJob", **training_job())
    with database.read() as transaction:
        stream = history.head(transaction, "training-job/job-1")
        events = history.read(transaction, "training-job/job-1")
    assert (stream.kind, stream.ended) == ("Job", False)
    assert [(event.kind, event.data, event.time) for event in events] == [("Created", {}, clock.time)]
    assert woken == ["training-job/job-1"]


def test_a_name_is_taken_in_any_case(door, database):
    door("CreateTrainingJob", **training_job("Job"))
    for name in ("Job", "job"):
        with pytest.raises(ResourceInUse, match=r"must be unique within an AWS account and region.*job/job\)"):
            door("CreateTrainingJob", **training_job(name))
    with database.read() as transaction:
        assert find_resource(transaction, "TrainingJob", "job") is None


def test_a_refused_job_leaves_nothing(door, database, history):
    with pytest.raises(AwsError):
        door("CreateTrainingJob", **training_job(Tags=[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]))
    assert names(door("ListTrainingJobs")) == []
    with database.read() as transaction:
        assert history.head(transaction, "training-job/job-1") is None


def test_a_missing_job(door):
    for operation in ("DescribeTrainingJob", "StopTrainingJob", "DeleteTrainingJob"):
        with pytest.raises(ValidationException, match=r"^Requested resource not found.*'nobody'"):
            door(operation, TrainingJobName="nobody")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2}}, "ResourceConfig.InstanceCount = 2"),
        (
            {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "Pipe"}},
            "AlgorithmSpecification.TrainingInputMode = 'Pipe'",
        ),
        ({"TensorBoardOutputConfig": {"S3OutputPath": "s3://b/t"}}, "TensorBoardOutputConfig"),
        (
            {"DebugRuleConfigurations": [{"RuleConfigurationName": "r", "RuleEvaluatorImage": "i"}]},
            "DebugRuleConfigurations",
        ),
        (
            {
                "InputDataConfig": [
                    {
                        "ChannelName": "a",
                        "DataSource": {
                            "FileSystemDataSource": {
                                "FileSystemId": "fs-12345678901",
                                "FileSystemAccessMode": "ro",
                                "FileSystemType": "EFS",
                                "DirectoryPath": "/",
                            }
                        },
                    }
                ]
            },
            "InputDataConfig[0].DataSource.FileSystemDataSource",
        ),
    ],
)
def test_what_it_cannot_honour_is_refused_by_name(door, changes, named):
    with pytest.raises(UnsupportedOperation) as caught:
        door("CreateTrainingJob", **training_job(**changes))
    assert f"does not support {named} in CreateTrainingJob." in caught.value.message


def test_what_has_no_meaning_here_is_recorded_and_told(door):
    given = {
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "DebugHookConfig": {"S3OutputPath": "s3://results/debug", "CollectionConfigurations": []},
        "ProfilerConfig": {"S3OutputPath": "s3://results/profile", "DisableProfiler": False},
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
        "RetryStrategy": {"MaximumRetryAttempts": 3},
        "EnableInterContainerTrafficEncryption": True,
    }
    door("CreateTrainingJob", **training_job(**given))
    job = door("DescribeTrainingJob", TrainingJobName="job-1")
    assert {key: job[key] for key in given} == given
    assert job["ProfilingStatus"] == "Disabled"


def channel(name, uri="s3://data/train"):
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "TrainingImage"),
        ({"ResourceConfig": {"InstanceCount": 1}}, r"ResourceConfig\.InstanceType is missing"),
        (
            {"ResourceConfig": {"InstanceType": "ml.g5.48xlarge", "InstanceCount": 1}},
            r"'ml\.g5\.48xlarge' is not known",
        ),
        ({"OutputDataConfig": {"S3OutputPath": "https://results/out"}}, "must be s3://bucket/key"),
        ({"InputDataConfig": [channel("a"), channel("a")]}, "'a' comes more than once"),
        (
            {"InputDataConfig": [channel("a", "s3://b/x")]},
            r"InputDataConfig\[0\]\.DataSource\.S3DataSource\.S3Uri = 's3://b/x'",
        ),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        (
            {"AlgorithmSpecification": {"TrainingImage": "unknown:1", "TrainingInputMode": "File"}},
            "modelwright images build",
        ),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": IMAGE,
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "mAP", "Regex": "mAP=(["}],
                }
            },
            "metric 'mAP'",
        ),
    ],
)
def test_bad_input_is_refused(door, changes, message):
    with pytest.raises(ValidationException, match=message):
        door("CreateTrainingJob", **training_job(**changes))


def test_stop_asks_the_engine_once(door, database, history):
    door("CreateTrainingJob", **training_job())
    for _ in range(2):
        assert door("StopTrainingJob", TrainingJobName="job-1") == {}
    assert door("DescribeTrainingJob", TrainingJobName="job-1")["TrainingJobStatus"] == "Stopping"
    with database.read() as transaction:
        kinds = [event.kind for event in history.read(transaction, "training-job/job-1")]
    assert kinds == ["Created", "StopRequested"]
    assert names(door("ListTrainingJobs", StatusEquals="Stopping")) == ["job-1"]


def test_a_job_that_has_ended_cannot_be_stopped(door, database):
    door("CreateTrainingJob", **training_job())
    end(database, "job-1", "Failed")
    with pytest.raises(ValidationException) as caught:
        door("StopTrainingJob", TrainingJobName="job-1")
    assert caught.value.message == "The request was rejected because the training job is in status Failed."


def test_a_job_that_has_ended_can_be_deleted_and_its_name_used_again(door, database):
    door("CreateTrainingJob", **training_job(Tags=[{"Key": "team", "Value": "pose"}]))
    with pytest.raises(ResourceInUse, match="Stop it first"):
        door("DeleteTrainingJob", TrainingJobName="job-1")
    end(database, "job-1")
    door("DeleteTrainingJob", TrainingJobName="job-1")
    door("CreateTrainingJob", **training_job())
    assert door("ListTags", ResourceArn=ARN + "job-1") == {"Tags": []}


class TestList:
    @pytest.fixture(autouse=True)
    def jobs(self, door, clock):
        for name in ("b", "c", "a", "D"):
            door("CreateTrainingJob", **training_job(f"job-{name}"))
            clock.advance(10)
        self.door, self.first = door, clock.time - 40

    def list(self, **parameters):
        return names(self.door("ListTrainingJobs", **parameters))

    def test_newest_first(self):
        assert self.list() == ["job-D", "job-a", "job-c", "job-b"]
        assert self.list(SortOrder="Ascending") == ["job-b", "job-c", "job-a", "job-D"]

    def test_by_name(self):
        assert self.list(SortBy="Name", SortOrder="Ascending") == ["job-D", "job-a", "job-b", "job-c"]

    def test_by_status(self, database):
        end(database, "job-c")
        assert self.list(SortBy="Status", SortOrder="Ascending") == ["job-c", "job-b", "job-a", "job-D"]

    def test_filters(self):
        assert self.list(NameContains="JOB-d") == ["job-D"]
        assert self.list(CreationTimeAfter=self.first + 10, CreationTimeBefore=self.first + 20) == ["job-a", "job-c"]
        assert self.list(StatusEquals="Completed") == []

    def test_modification_counts(self, database):
        end(database, "job-c")
        assert self.list(LastModifiedTimeBefore=self.first + 15, SortOrder="Ascending") == ["job-b", "job-c"]

    def test_pages(self, clock):
        first = self.door("ListTrainingJobs", MaxResults=3)
        assert names(first) == ["job-D", "job-a", "job-c"]
        self.door("CreateTrainingJob", **training_job("job-new"))
        second = self.door("ListTrainingJobs", MaxResults=3, NextToken=first["NextToken"])
        assert names(second) == ["job-b"]
        assert "NextToken" not in second

    def test_a_foreign_token_is_refused(self):
        token = self.door("ListTrainingJobs", MaxResults=1)["NextToken"]
        for parameters in ({"NextToken": "x"}, {"NextToken": token, "SortBy": "Name"}):
            with pytest.raises(ValidationException, match="NextToken"):
                self.list(**parameters)


def test_a_list_is_quick_among_many(door, database, clock):
    door("CreateTrainingJob", **training_job())
    with database.write() as transaction:
        job = find_resource(transaction, "TrainingJob", "job-1")
        for i in range(5000):
            insert_resource(
                transaction, "TrainingJob", f"many-{i}", job, created=clock.time + i, arn=f"arn-{i}", status="Completed"
            )
    began = time.perf_counter()
    for _ in range(20):
        door("ListTrainingJobs", StatusEquals="Completed")
    assert (time.perf_counter() - began) / 20 < 0.05, "a page must not read the whole table"
