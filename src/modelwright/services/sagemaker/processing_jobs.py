"""Processing jobs. The service checks and records; the engine drives the job by its event stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ResourceInUse, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import (
    LEASE_SECONDS,
    SageMakerService,
    answer,
    is_short,
    list_query,
    pick,
    taken,
)
from modelwright.services.sagemaker.checks import (
    EXPERIMENTS,
    NETWORK_ISOLATION,
    NO_ENCRYPTION,
    ONE_MACHINE,
    ROLE,
    check_instance_type,
    check_local_path,
    check_s3_uri,
    check_unique,
)
from modelwright.store.database import Database, Transaction
from modelwright.store.history import Event, History
from modelwright.store.resources import (
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    put_tags,
    replace_resource,
)

KIND = "ProcessingJob"
ENDED = ("Completed", "Failed", "Stopped")
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
        "EnableNetworkIsolation": NETWORK_ISOLATION,
        "VpcConfig": recorded(ONE_MACHINE.format("network placement")),
    },
    "RoleArn": recorded(ROLE),
    "Tags": HONOURED,
    "ExperimentConfig": recorded(EXPERIMENTS),
}


class ProcessingJobs(SageMakerService):
    """CreateProcessingJob and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        check_image: Callable[[str], None],
        known_instance_type: Callable[[str], bool],
    ) -> None:
        """`check_image` raises ValidationException for an image URI that can't be resolved at all."""
        super().__init__(database=database, history=history, now=now)
        self._check_image = check_image
        self._known_instance_type = known_instance_type

    @operation("CreateProcessingJob", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceInUse when there is a job of this name."""
        self._check(parameters)
        name = parameters["ProcessingJobName"]
        arn = sagemaker_arn(context.region, context.account, "processing-job", name)
        now = self.now()
        document = {
            **{key: value for key, value in parameters.items() if key != "Tags"},
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "InProgress",
            "StoppingCondition": parameters.get("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_RUNTIME}),
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        with self.database.write() as transaction:
            if taken(transaction, KIND, name, arn):
                raise ResourceInUse(
                    "Job name must be unique within an AWS account and region, and a job with this name already "
                    f"exists ({arn})"
                )
            insert_resource(transaction, KIND, name, document, created=now, arn=arn, status="InProgress")
            put_tags(transaction, arn, parameters.get("Tags", []))
            self.history.open(
                transaction,
                f"processing-job/{name}",
                "Job",
                [Event("Created", {}, now)],
                lease_until=now + LEASE_SECONDS,
            )
        return {"ProcessingJobArn": arn}

    @operation("DescribeProcessingJob", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return _find(transaction, parameters["ProcessingJobName"])

    @operation("ListProcessingJobs", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        query = list_query(KIND, parameters, status=parameters.get("StatusEquals"))
        with self.database.read() as transaction:
            return answer("ProcessingJobSummaries", list_resources(transaction, query), _summary)

    @operation("StopProcessingJob")
    def stop(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Ask a running job to stop; a job that is stopping already is left to it."""
        name = parameters["ProcessingJobName"]
        now = self.now()
        with self.database.write() as transaction:
            job = _find(transaction, name, lock=True)
            status = job["ProcessingJobStatus"]
            if status in ENDED:
                raise ValidationException(f"The request was rejected because the processing job is in status {status}.")
            if status == "InProgress":
                stopping = {**job, "ProcessingJobStatus": "Stopping", "LastModifiedTime": now}
                replace_resource(transaction, KIND, name, stopping, modified=now, status="Stopping")
                self.history.append(transaction, f"processing-job/{name}", [Event("StopRequested", {}, now)])
        return {}

    @operation("DeleteProcessingJob")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Forget a job that has ended; its outputs and its log stay."""
        name = parameters["ProcessingJobName"]
        with self.database.write() as transaction:
            job = _find(transaction, name, lock=True)
            if job["ProcessingJobStatus"] not in ENDED:
                raise ResourceInUse(
                    f"Processing job {job['ProcessingJobArn']} is in status {job['ProcessingJobStatus']}: "
                    "only a job that has ended can be deleted. Stop it first."
                )
            delete_resource(transaction, KIND, name)
            self.history.forget(transaction, f"processing-job/{name}")
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


def _find(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    job = find_resource(transaction, KIND, name, lock=lock)
    if job is None:
        raise ValidationException(f"Could not find requested job with name: {name}")
    return job


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
