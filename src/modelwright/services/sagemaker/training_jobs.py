"""Training jobs. The service checks and records; the engine drives the job by its event stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.errors import ValidationException
from modelwright.regexes import InvalidRegex, Regex
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import (
    answer,
    is_short,
    list_query,
    pick,
)
from modelwright.services.sagemaker.checks import (
    EXPERIMENTS,
    NO_ENCRYPTION,
    NO_INSTANCES,
    ONE_MACHINE,
    ROLE,
    check_instance_type,
    check_s3_uri,
    check_unique,
)
from modelwright.services.sagemaker.jobs import JobKind, JobService
from modelwright.store.resources import (
    list_resources,
)

KIND = "TrainingJob"

MEMBERS: Table = {
    "TrainingJobName": HONOURED,
    "HyperParameters": HONOURED,
    "AlgorithmSpecification": {
        "TrainingImage": HONOURED,
        "AlgorithmName": refused("Name a TrainingImage: algorithms of the AWS Marketplace can't run here."),
        "TrainingInputMode": refused("Use 'File' or 'FastFile': no pipes are made.", "File", "FastFile"),
        "MetricDefinitions": HONOURED,
        "EnableSageMakerMetricsTimeSeries": recorded("Metrics are kept as FinalMetricDataList and in the job's log."),
        "ContainerEntrypoint": HONOURED,
        "ContainerArguments": HONOURED,
        "TrainingImageConfig": {
            "TrainingRepositoryAccessMode": refused(
                "Add the image here with `modelwright images add`: private registries are not reached.", "Platform"
            ),
            "TrainingRepositoryAuthConfig": refused("Add the image here with `modelwright images add`."),
        },
    },
    "RoleArn": recorded(ROLE),
    "InputDataConfig": {
        "ChannelName": HONOURED,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": refused("Use 'S3Prefix' or 'ManifestFile'.", "S3Prefix", "ManifestFile"),
                "S3Uri": HONOURED,
                "S3DataDistributionType": HONOURED,
                "AttributeNames": refused("They belong to AugmentedManifestFile, which is not read here."),
                "InstanceGroupNames": refused("Jobs run on one instance."),
                "ModelAccessConfig": refused("Models of the JumpStart hub can't be reached; copy them into a bucket."),
                "HubAccessConfig": refused("Models of the JumpStart hub can't be reached; copy them into a bucket."),
            },
            "FileSystemDataSource": refused("Use an S3DataSource: file systems of AWS can't be mounted."),
            "DatasetSource": refused("Use an S3DataSource."),
        },
        "ContentType": HONOURED,
        "CompressionType": refused("AWS decompresses only in Pipe mode; let the job do it.", "None"),
        "RecordWrapperType": refused("AWS wraps records only in Pipe mode.", "None"),
        "InputMode": refused("Use 'File' or 'FastFile': no pipes are made.", "File", "FastFile"),
        "ShuffleConfig": recorded("It is for Pipe mode and for several instances; here every file is present at once."),
    },
    "OutputDataConfig": {
        "KmsKeyId": recorded(NO_ENCRYPTION),
        "S3OutputPath": HONOURED,
        "CompressionType": HONOURED,
    },
    "ResourceConfig": {
        "InstanceType": HONOURED,
        "InstanceCount": refused("Use 1: a job of several instances can't be run here yet.", 1),
        "VolumeSizeInGB": recorded("The job shares the disk of this machine."),
        "VolumeKmsKeyId": recorded(NO_ENCRYPTION),
        "KeepAlivePeriodInSeconds": recorded("There is nothing to keep warm: a job starts in milliseconds."),
        "InstanceGroups": refused("Use InstanceType and InstanceCount: clusters of mixed instances can't be run here."),
        "TrainingPlanArn": recorded(NO_INSTANCES),
        "InstancePlacementConfig": recorded(NO_INSTANCES),
        "InstancePreferences": refused("Name one InstanceType."),
        "SelectedInstanceType": refused("Name the InstanceType."),
        "SelectedInstanceCount": refused("Name the InstanceCount."),
    },
    "VpcConfig": recorded(ONE_MACHINE.format("network placement")),
    "StoppingCondition": {
        "MaxRuntimeInSeconds": HONOURED,
        "MaxWaitTimeInSeconds": recorded("Spot capacity is always there: a job is never interrupted for it."),
        "MaxPendingTimeInSeconds": refused("Leave it out: a job that does not fit waits in the queue."),
    },
    "Tags": HONOURED,
    "EnableNetworkIsolation": HONOURED,
    "EnableInterContainerTrafficEncryption": recorded(ONE_MACHINE.format("traffic between instances")),
    "EnableManagedSpotTraining": recorded("Spot capacity is always there: a job is never interrupted for it."),
    "CheckpointConfig": HONOURED,
    "DebugHookConfig": recorded("The job runs the same; tensors are saved by a library in AWS's own images."),
    "DebugRuleConfigurations": refused("Leave it out: rules run as jobs of AWS's debugger image."),
    "TensorBoardOutputConfig": refused("Write to /opt/ml/output/data, or to S3 from the job."),
    "ExperimentConfig": recorded(EXPERIMENTS),
    "ProfilerConfig": recorded("This machine is not profiled; ProfilingStatus says Disabled."),
    "ProfilerRuleConfigurations": refused("Set disable_profiler=True: rules run as jobs of AWS's debugger image."),
    "Environment": HONOURED,
    "RetryStrategy": recorded("It is for AWS's internal errors, which this machine does not have."),
    "RemoteDebugConfig": {"EnableRemoteDebug": refused("Leave it out: there is no Systems Manager here.", False)},
    "InfraCheckConfig": recorded("It is a check of AWS's GPU instances."),
    "SessionChainingConfig": recorded("Everything is permitted to the roles of this account, whatever their tags."),
    "ServerlessJobConfig": refused("Name an image and an instance type."),
    "MlflowConfig": refused("Call your MLflow server from the job."),
    "ModelPackageConfig": refused("Register the model with CreateModelPackage."),
}

LIST_MEMBERS: Table = {
    "NextToken": HONOURED,
    "MaxResults": HONOURED,
    "CreationTimeAfter": HONOURED,
    "CreationTimeBefore": HONOURED,
    "LastModifiedTimeAfter": HONOURED,
    "LastModifiedTimeBefore": HONOURED,
    "NameContains": HONOURED,
    "StatusEquals": HONOURED,
    "SortBy": HONOURED,
    "SortOrder": HONOURED,
    "WarmPoolStatusEquals": refused("Leave it out: there are no warm pools here."),
    "TrainingPlanArnEquals": refused("Leave it out: there are no training plans here."),
}


class TrainingJobs(JobService):
    """CreateTrainingJob and what belongs to it."""

    job = JobKind(
        kind=KIND,
        slug="training-job",
        noun="training job",
        taken="Training job names must be unique within an AWS account and region, and a training job with this name "
        "already exists",
        missing="Requested resource not found: there is no training job '{}'.",
    )

    @operation("CreateTrainingJob", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceInUse when there is a job of this name."""
        self._check(parameters)
        name = parameters["TrainingJobName"]
        arn = self.arn(context, name)
        now = self.now()
        document = _new_document(parameters, arn, now)
        self.begin(document, parameters.get("Tags", []))
        return {"TrainingJobArn": arn}

    @operation("DescribeTrainingJob", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return self.find(transaction, parameters["TrainingJobName"])

    @operation("ListTrainingJobs", quick=is_short, members=LIST_MEMBERS)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        query = list_query(KIND, parameters, status=parameters.get("StatusEquals"))
        with self.database.read() as transaction:
            return answer("TrainingJobSummaries", list_resources(transaction, query), _summary)

    @operation("StopTrainingJob")
    def stop(self, _: Context, parameters: dict[str, Any]) -> Document:
        self.request_stop(parameters["TrainingJobName"])
        return {}

    @operation("DeleteTrainingJob")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        self.forget(parameters["TrainingJobName"])
        return {}

    def _check(self, parameters: Mapping[str, Any]) -> None:
        """What AWS checks beyond the shapes."""
        algorithm, resources = parameters["AlgorithmSpecification"], parameters.get("ResourceConfig", {})
        if "TrainingImage" not in algorithm:
            raise ValidationException("AlgorithmSpecification must name a TrainingImage.")
        for member in ("InstanceType", "InstanceCount"):
            if member not in resources:
                raise ValidationException(f"ResourceConfig.{member} is missing.")
        check_instance_type(self._known_instance_type, resources["InstanceType"])
        _check_channels(parameters.get("InputDataConfig", []))
        check_s3_uri(parameters["OutputDataConfig"]["S3OutputPath"], "OutputDataConfig.S3OutputPath")
        if "CheckpointConfig" in parameters:
            check_s3_uri(parameters["CheckpointConfig"]["S3Uri"], "CheckpointConfig.S3Uri")
        _check_metrics(algorithm.get("MetricDefinitions", []))
        _check_spot(parameters)
        self._check_image(algorithm["TrainingImage"])


def _check_channels(channels: list[Document]) -> None:
    names = [channel["ChannelName"] for channel in channels]
    check_unique(names, "InputDataConfig", "ChannelName")
    for i, channel in enumerate(channels):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise ValidationException(f"InputDataConfig[{i}].DataSource (channel '{names[i]}') has no S3DataSource.")
        check_s3_uri(source["S3Uri"], f"InputDataConfig[{i}].DataSource.S3DataSource.S3Uri")


def _check_metrics(definitions: list[Document]) -> None:
    for definition in definitions:
        try:
            Regex(definition["Regex"])
        except InvalidRegex as error:
            raise ValidationException(
                f"The regular expression of metric '{definition['Name']}' is not valid: {error}."
            ) from error


def _check_spot(parameters: Mapping[str, Any]) -> None:
    condition = parameters.get("StoppingCondition", {})
    wait, runtime = condition.get("MaxWaitTimeInSeconds"), condition.get("MaxRuntimeInSeconds", 86400)
    if parameters.get("EnableManagedSpotTraining"):
        if wait is None or wait < runtime:
            raise ValidationException(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
    elif wait is not None:
        raise ValidationException("MaxWaitTimeInSeconds is only for EnableManagedSpotTraining.")


def _new_document(parameters: Mapping[str, Any], arn: str, now: float) -> Document:
    """What DescribeTrainingJob tells right after the creation."""
    echoed = {key: value for key, value in parameters.items() if key not in ("Tags", "SessionChainingConfig")}
    status = {"Status": "Starting", "StartTime": now, "StatusMessage": "Starting the training job"}
    return {
        **echoed,
        "TrainingJobArn": arn,
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **parameters["OutputDataConfig"]},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400, **parameters.get("StoppingCondition", {})},
        "CreationTime": now,
        "LastModifiedTime": now,
        "SecondaryStatusTransitions": [status],
        "EnableNetworkIsolation": parameters.get("EnableNetworkIsolation", False),
        "EnableInterContainerTrafficEncryption": parameters.get("EnableInterContainerTrafficEncryption", False),
        "EnableManagedSpotTraining": parameters.get("EnableManagedSpotTraining", False),
        "ProfilingStatus": "Disabled",
    }


def _summary(job: Document) -> Document:
    return pick(
        job,
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingEndTime",
        "LastModifiedTime",
        "TrainingJobStatus",
        "SecondaryStatus",
    )
