"""Processing jobs. The service checks and records; the engine drives the job by its event stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.errors import ValidationException
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
    ONE_MACHINE,
    ROLE,
    check_instance_type,
    check_local_path,
    check_s3_uri,
    check_unique,
)
from modelwright.services.sagemaker.jobs import JobKind, JobService
from modelwright.store.resources import (
    list_resources,
)

KIND = "ProcessingJob"
DEFAULT_RUNTIME = 86400

MEMBERS: Table = {
    "ProcessingJobName": HONOURED,
    "ProcessingInputs": {
        "InputName": HONOURED,
        "AppManaged": refused("Leave it out: files are put into the container before it starts.", False),
        "S3Input": {
            "S3Uri": HONOURED,
            "LocalPath": HONOURED,
            "S3DataType": HONOURED,
            "S3InputMode": refused("Use 'File': no pipes are made.", "File"),
            "S3DataDistributionType": HONOURED,
            "S3CompressionType": refused("AWS decompresses only in Pipe mode; let the job do it.", "None"),
        },
        "DatasetDefinition": refused("Use an S3Input: Athena and Redshift can't be queried from here."),
    },
    "ProcessingOutputConfig": {
        "Outputs": {
            "OutputName": HONOURED,
            "S3Output": HONOURED,
            "FeatureStoreOutput": refused("Use an S3Output: there is no Feature Store here."),
            "AppManaged": refused("Leave it out: files are uploaded from the container's LocalPath.", False),
        },
        "KmsKeyId": recorded(NO_ENCRYPTION),
    },
    "ProcessingResources": {
        "ClusterConfig": {
            "InstanceCount": refused("Use 1: a job of several instances can't be run here yet.", 1),
            "InstanceType": HONOURED,
            "VolumeSizeInGB": recorded("The job shares the disk of this machine."),
            "VolumeKmsKeyId": recorded(NO_ENCRYPTION),
            "InstancePreferences": refused("Name one InstanceType."),
            "SelectedInstanceType": refused("Name the InstanceType."),
            "SelectedInstanceCount": refused("Name the InstanceCount."),
        }
    },
    "StoppingCondition": HONOURED,
    "AppSpecification": HONOURED,
    "Environment": HONOURED,
    "NetworkConfig": {
        "EnableInterContainerTrafficEncryption": recorded(ONE_MACHINE.format("traffic between instances")),
        "EnableNetworkIsolation": HONOURED,
        "VpcConfig": recorded(ONE_MACHINE.format("network placement")),
    },
    "RoleArn": recorded(ROLE),
    "Tags": HONOURED,
    "ExperimentConfig": recorded(EXPERIMENTS),
}


class ProcessingJobs(JobService):
    """CreateProcessingJob and what belongs to it."""

    job = JobKind(
        kind=KIND,
        slug="processing-job",
        noun="processing job",
        taken="Job name must be unique within an AWS account and region, and a job with this name already exists",
        missing="Could not find requested job with name: {}",
    )

    @operation("CreateProcessingJob", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceInUse when there is a job of this name."""
        self._check(parameters)
        name = parameters["ProcessingJobName"]
        arn = self.arn(context, name)
        now = self.now()
        document = {
            **{key: value for key, value in parameters.items() if key != "Tags"},
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "InProgress",
            "StoppingCondition": parameters.get("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_RUNTIME}),
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        self.begin(document, parameters.get("Tags", []))
        return {"ProcessingJobArn": arn}

    @operation("DescribeProcessingJob", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return self.find(transaction, parameters["ProcessingJobName"])

    @operation("ListProcessingJobs", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        query = list_query(KIND, parameters, status=parameters.get("StatusEquals"))
        with self.database.read() as transaction:
            return answer("ProcessingJobSummaries", list_resources(transaction, query), _summary)

    @operation("StopProcessingJob")
    def stop(self, _: Context, parameters: dict[str, Any]) -> Document:
        self.request_stop(parameters["ProcessingJobName"])
        return {}

    @operation("DeleteProcessingJob")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        self.forget(parameters["ProcessingJobName"])
        return {}

    def _check(self, parameters: Mapping[str, Any]) -> None:
        """What AWS checks beyond the shapes."""
        cluster = parameters["ProcessingResources"]["ClusterConfig"]
        for member in ("InstanceType", "InstanceCount"):
            if member not in cluster:
                raise ValidationException(f"ProcessingResources.ClusterConfig.{member} is missing.")
        check_instance_type(self._known_instance_type, cluster["InstanceType"])
        inputs = parameters.get("ProcessingInputs", [])
        outputs = parameters.get("ProcessingOutputConfig", {}).get("Outputs", [])
        check_unique([each["InputName"] for each in inputs], "ProcessingInputs", "InputName")
        check_unique([each["OutputName"] for each in outputs], "ProcessingOutputConfig.Outputs", "OutputName")
        for i, each in enumerate(inputs):
            _check_place(each.get("S3Input"), f"ProcessingInputs[{i}].S3Input")
        for i, each in enumerate(outputs):
            _check_place(each.get("S3Output"), f"ProcessingOutputConfig.Outputs[{i}].S3Output")
        check_unique([each["S3Input"]["LocalPath"].rstrip("/") for each in inputs], "ProcessingInputs", "LocalPath")
        self._check_image(parameters["AppSpecification"]["ImageUri"])


def _check_place(place: Document | None, where: str) -> None:
    if place is None:
        raise ValidationException(f"{where} is missing.")
    check_s3_uri(place["S3Uri"], f"{where}.S3Uri")
    check_local_path(place.get("LocalPath"), where)


def _summary(job: Document) -> Document:
    return pick(
        job,
        "ProcessingJobName",
        "ProcessingJobArn",
        "CreationTime",
        "ProcessingEndTime",
        "LastModifiedTime",
        "ProcessingJobStatus",
        "FailureReason",
        "ExitMessage",
    )
