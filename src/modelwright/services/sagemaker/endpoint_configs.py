"""Endpoint configurations: which models an endpoint serves, on how many instances of which type, by which weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ValidationException
from modelwright.events import sagemaker as changes
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import SageMakerService, answer, is_short, list_query, pick, taken
from modelwright.services.sagemaker.checks import (
    NO_ENCRYPTION,
    ONE_MACHINE,
    ROLE,
    check_instance_type,
    check_s3_uri,
    check_unique,
)
from modelwright.services.sagemaker.fleets import CONFIG, find_model, resolve_containers
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import delete_resource, find_resource, insert_resource, list_resources, put_tags

_INSTANCES = "Give the variant an InitialInstanceCount and an InstanceType."
_COMPONENTS = "Inference components are not supported: give each variant a ModelName."

VARIANT: Table = {
    "VariantName": HONOURED,
    "ModelName": HONOURED,
    "InitialInstanceCount": HONOURED,
    "InstanceType": HONOURED,
    "InstancePools": refused(_INSTANCES),
    "VariantInstanceProvisionTimeoutInSeconds": recorded(ONE_MACHINE.format("time to provision an instance")),
    "InitialVariantWeight": HONOURED,
    "AcceleratorType": refused("Leave it out: Elastic Inference has been retired by AWS."),
    "CoreDumpConfig": refused("Leave it out: core dumps of containers are not kept."),
    "ServerlessConfig": refused(f"Serverless endpoints are not supported. {_INSTANCES}"),
    "VolumeSizeInGB": recorded(ONE_MACHINE.format("storage volume")),
    "ModelDataDownloadTimeoutInSeconds": recorded("Model data comes from this machine's own disk."),
    "ContainerStartupHealthCheckTimeoutInSeconds": HONOURED,
    "EnableSSMAccess": refused("Leave it out: instances have no SSM agent; look at the endpoint's log.", False),
    "ManagedInstanceScaling": refused(
        "Auto scaling is not supported: use UpdateEndpointWeightsAndCapacities to change the number of instances."
    ),
    "RoutingConfig": {
        "RoutingStrategy": refused(
            "Requests go to the instance with the fewest outstanding ones.", "LEAST_OUTSTANDING_REQUESTS"
        ),
        "PrefixAwareRoutingConfig": refused("Leave it out: only LEAST_OUTSTANDING_REQUESTS is supported."),
    },
    "InferenceAmiVersion": recorded(ONE_MACHINE.format("machine image")),
    "CapacityReservationConfig": refused("Leave it out: no capacity is reserved here."),
    "AcceleratorPartitionLayouts": refused("Leave it out: accelerators are not partitioned here."),
}

MEMBERS: Table = {
    "EndpointConfigName": HONOURED,
    "ProductionVariants": VARIANT,
    "DataCaptureConfig": {
        "EnableCapture": HONOURED,
        "InitialSamplingPercentage": HONOURED,
        "DestinationS3Uri": HONOURED,
        "KmsKeyId": refused("Leave it out: nothing here is encrypted with KMS keys; use an encrypted disk."),
        "CaptureOptions": {"CaptureMode": HONOURED},
        "CaptureContentTypeHeader": {"CsvContentTypes": HONOURED, "JsonContentTypes": HONOURED},
    },
    "Tags": HONOURED,
    "KmsKeyId": recorded(NO_ENCRYPTION),
    "AsyncInferenceConfig": refused("Asynchronous endpoints are not supported: leave it out for a real-time one."),
    "ExplainerConfig": refused("Leave it out: explanations by Clarify are not supported."),
    "ShadowProductionVariants": refused("Shadow variants are not supported: use ProductionVariants with weights."),
    "ExecutionRoleArn": recorded(ROLE),
    "VpcConfig": recorded(ONE_MACHINE.format("network placement")),
    "EnableNetworkIsolation": HONOURED,
    "MetricsConfig": refused("Leave it out: invocations are told by variant and minute; nothing finer is kept."),
    "CrossRegionTrafficConfig": refused("Leave it out: there is one region here."),
}


class EndpointConfigs(SageMakerService):
    """CreateEndpointConfig and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        events: EventBus,
        known_instance_type: Callable[[str], bool],
    ) -> None:
        super().__init__(database=database, history=history, now=now, events=events)
        self._known_instance_type = known_instance_type

    @operation("CreateEndpointConfig", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException when there is one of this name, or a variant's model can't be deployed."""
        name, now = parameters["EndpointConfigName"], self.now()
        arn = sagemaker_arn(context.region, context.account, "endpoint-config", name)
        if "DataCaptureConfig" in parameters:
            check_s3_uri(parameters["DataCaptureConfig"]["DestinationS3Uri"], "DataCaptureConfig.DestinationS3Uri")
        variants = [self._variant(variant) for variant in parameters["ProductionVariants"]]
        check_unique([variant["VariantName"] for variant in variants], "ProductionVariants", "VariantName")
        document = {
            **{key: value for key, value in parameters.items() if key != "Tags"},
            "ProductionVariants": variants,
            "EndpointConfigArn": arn,
            "CreationTime": now,
        }
        with self.database.write() as transaction:
            if taken(transaction, CONFIG, name, arn):
                raise ValidationException(f'Cannot create already existing endpoint configuration "{arn}".')
            for variant in variants:
                model = find_model(transaction, context, variant["ModelName"])
                resolve_containers(transaction, model, variant["InstanceType"])
            insert_resource(transaction, CONFIG, name, document, created=now, arn=arn)
            put_tags(transaction, arn, parameters.get("Tags", []))
            self.events.tell(transaction, lambda: changes.endpoint_config(document), now)
        return {"EndpointConfigArn": arn}

    @operation("DescribeEndpointConfig", quick=True)
    def describe(self, context: Context, parameters: dict[str, Any]) -> Document:
        name = parameters["EndpointConfigName"]
        with self.database.read() as transaction:
            config = find_resource(transaction, CONFIG, name)
        if config is None:
            raise missing_config(context, name)
        return config

    @operation("ListEndpointConfigs", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            page = list_resources(transaction, list_query(CONFIG, parameters))
        members = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return answer("EndpointConfigs", page, lambda config: pick(config, *members))

    @operation("DeleteEndpointConfig")
    def delete(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Forget it. Endpoints that were made from it go on: they keep what it said."""
        name = parameters["EndpointConfigName"]
        with self.database.write() as transaction:
            document = find_resource(transaction, CONFIG, name, lock=True)
            if document is None:
                raise missing_config(context, name)
            delete_resource(transaction, CONFIG, name)
            self.events.tell(transaction, lambda: changes.endpoint_config(document), self.now())
        return {}

    def _variant(self, variant: Document) -> Document:
        name = variant["VariantName"]
        if "ModelName" not in variant:
            raise ValidationException(f"ProductionVariant '{name}' has no ModelName. {_COMPONENTS}")
        for member in ("InitialInstanceCount", "InstanceType"):
            if member not in variant:
                raise ValidationException(f"ProductionVariant '{name}' has no {member}. {_INSTANCES}")
        check_instance_type(self._known_instance_type, variant["InstanceType"])
        return {"InitialVariantWeight": 1.0, **variant}


def missing_config(context: Context, name: str) -> ValidationException:
    arn = sagemaker_arn(context.region, context.account, "endpoint-config", name)
    return ValidationException(f'Could not find endpoint configuration "{arn}".')
