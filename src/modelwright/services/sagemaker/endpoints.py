"""Endpoints as AWS's calls see them. What runs behind them is the engine's (`engine.hosting`).

Each change is one event and the status that follows from it, in one transaction; the engine owns every other member
of the document. An endpoint that has failed can only be deleted. One that is being changed can't be changed again,
but it can always be deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ValidationException
from modelwright.events import sagemaker as changes
from modelwright.images.base import Images
from modelwright.lifecycles import endpoint_document
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.services.sagemaker.base import (
    LEASE_SECONDS,
    SageMakerService,
    answer,
    is_short,
    list_query,
    pick,
    taken,
)
from modelwright.services.sagemaker.checks import check_unique
from modelwright.services.sagemaker.endpoint_configs import missing_config
from modelwright.services.sagemaker.fleets import CONFIG, check_quota, make_fleet
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event, History
from modelwright.store.resources import find_resource, insert_resource, list_resources, put_tags, replace_resource

KIND = "Endpoint"
STREAM = "Endpoint"

_DEPLOYMENT = refused(
    "Leave it out: an update is blue/green, all at once, and rolls back by itself when the new fleet is not healthy; "
    "canary, linear and rolling updates are not supported."
)

CREATE_MEMBERS: Table = {
    "EndpointName": HONOURED,
    "EndpointConfigName": HONOURED,
    "DeploymentConfig": _DEPLOYMENT,
    "Tags": HONOURED,
}

UPDATE_MEMBERS: Table = {
    "EndpointName": HONOURED,
    "EndpointConfigName": HONOURED,
    "RetainAllVariantProperties": HONOURED,
    "ExcludeRetainedVariantProperties": HONOURED,
    "DeploymentConfig": _DEPLOYMENT,
    "RetainDeploymentConfig": refused("Leave it out: there is no deployment configuration to keep.", False),
}

CAPACITY_MEMBERS: Table = {
    "EndpointName": HONOURED,
    "DesiredWeightsAndCapacities": {
        "VariantName": HONOURED,
        "DesiredWeight": HONOURED,
        "DesiredInstanceCount": HONOURED,
        "ServerlessUpdateConfig": refused("Serverless endpoints are not supported."),
    },
}


class Endpoints(SageMakerService):
    """CreateEndpoint and what belongs to it."""

    def __init__(
        self, *, database: Database, history: History, now: Callable[[], float], events: EventBus, images: Images
    ) -> None:
        super().__init__(database=database, history=history, now=now, events=events)
        self._images = images

    @operation("CreateEndpoint", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException when there is one of this name, or its configuration can't be deployed."""
        name, now = parameters["EndpointName"], self.now()
        arn = sagemaker_arn(context.region, context.account, "endpoint", name)
        stream = f"endpoint/{name}/{int(now * 1000):x}"  # a later endpoint of this name has another one
        with self.database.write() as transaction:
            if taken(transaction, KIND, name, arn):
                raise ValidationException(f'Cannot create already existing endpoint "{arn}".')
            fleet = self._fleet(transaction, context, parameters["EndpointConfigName"])
            document = {
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": fleet["Config"],
                "ProductionVariants": endpoint_document.summaries(fleet, {}),
                "EndpointStatus": "Creating",
                "CreationTime": now,
                "LastModifiedTime": now,
                **endpoint_document.capture_members(fleet.get("Capture"), serving=False),
                "_Stream": stream,
            }
            insert_resource(transaction, KIND, name, document, created=now, arn=arn, status="Creating")
            put_tags(transaction, arn, parameters.get("Tags", []))
            self.events.tell(transaction, lambda: changes.endpoint(document), now)
            created = Event("Created", {"Name": name, "Arn": arn, "Fleet": fleet}, now)
            self.history.open(transaction, stream, STREAM, [created], lease_until=now + LEASE_SECONDS)
        return {"EndpointArn": arn}

    @operation("DescribeEndpoint", quick=True)
    def describe(self, context: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return self._find(transaction, context, parameters["EndpointName"])

    @operation("ListEndpoints", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        query = list_query(KIND, parameters, status=parameters.get("StatusEquals"))
        with self.database.read() as transaction:
            page = list_resources(transaction, query)
        members = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        return answer("Endpoints", page, lambda endpoint: pick(endpoint, *members))

    @operation("UpdateEndpoint", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Blue/green: the new fleet takes over when all of it is healthy; else the old one stays."""
        excluded = {each["VariantPropertyType"] for each in parameters.get("ExcludeRetainedVariantProperties", [])}
        with self.database.write() as transaction:
            endpoint = self._changeable(transaction, context, parameters["EndpointName"])
            fleet = self._fleet(transaction, context, parameters["EndpointConfigName"])
            if parameters.get("RetainAllVariantProperties"):
                _retain(fleet, endpoint, excluded)
            pending = {"EndpointConfigName": fleet["Config"], "StartTime": self.now()}
            self._request(transaction, endpoint, "UpdateRequested", {"Fleet": fleet}, PendingDeploymentSummary=pending)
        return {"EndpointArn": endpoint["EndpointArn"]}

    @operation("UpdateEndpointWeightsAndCapacities", members=CAPACITY_MEMBERS)
    def update_capacities(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Change variants' weights and numbers of instances, without a new fleet."""
        wanted = parameters["DesiredWeightsAndCapacities"]
        check_unique([each["VariantName"] for each in wanted], "DesiredWeightsAndCapacities", "VariantName")
        with self.database.write() as transaction:
            endpoint = self._changeable(transaction, context, parameters["EndpointName"])
            present = {variant["VariantName"] for variant in endpoint["ProductionVariants"]}
            changes = {}
            for each in wanted:
                name, count = each["VariantName"], each.get("DesiredInstanceCount")
                if name not in present:
                    raise ValidationException(
                        f'Could not find variant "{name}" of endpoint "{endpoint["EndpointArn"]}"; '
                        f"it has {', '.join(sorted(present))}."
                    )
                if count is not None:
                    if count < 1:
                        raise ValidationException(f"Variant '{name}': DesiredInstanceCount must be at least 1.")
                    check_quota(f"instances of {name}", count)
                asked = {"Weight": each.get("DesiredWeight"), "Count": count}
                changes[name] = {member: value for member, value in asked.items() if value is not None}
            self._request(transaction, endpoint, "CapacityRequested", {"Variants": changes})
        return {"EndpointArn": endpoint["EndpointArn"]}

    @operation("DeleteEndpoint")
    def delete(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Its instances finish what they are answering and stop; then it is gone."""
        with self.database.write() as transaction:
            endpoint = self._find(transaction, context, parameters["EndpointName"], lock=True)
            if endpoint["EndpointStatus"] != "Deleting":
                self._request(transaction, endpoint, "DeleteRequested", {}, status="Deleting")
        return {}

    def _fleet(self, transaction: Transaction, context: Context, config_name: str) -> Document:
        config = find_resource(transaction, CONFIG, config_name)
        if config is None:
            raise missing_config(context, config_name)
        fleet = make_fleet(transaction, context, config)
        for variant in fleet["Variants"]:
            variant["Containers"] = [self._pinned(container) for container in variant["Containers"]]
        return fleet

    def _pinned(self, container: Document) -> Document:
        """As on AWS, an instance that is restarted runs the image that its fleet began with, wherever its tag moved."""
        digest = container.get("ImageDigest") or self._images.digest(container["Image"])
        return {**container, "ImageDigest": digest} if digest else container

    def _find(self, transaction: Transaction, context: Context, name: str, *, lock: bool = False) -> Document:
        endpoint = find_resource(transaction, KIND, name, lock=lock)
        if endpoint is None:
            arn = sagemaker_arn(context.region, context.account, "endpoint", name)
            raise ValidationException(f'Could not find endpoint "{arn}".')
        return endpoint

    def _changeable(self, transaction: Transaction, context: Context, name: str) -> Document:
        endpoint = self._find(transaction, context, name, lock=True)
        status, arn = endpoint["EndpointStatus"], endpoint["EndpointArn"]
        if status == "Failed":
            raise ValidationException(f'Endpoint "{arn}" has failed: it can only be deleted.')
        if status != "InService":
            raise ValidationException(f'Cannot update in-progress endpoint "{arn}": it is {status}.')
        return endpoint

    def _request(
        self,
        transaction: Transaction,
        endpoint: Document,
        kind: str,
        data: Mapping[str, Any],
        status: str = "Updating",
        **members: Any,
    ) -> None:
        now = self.now()
        document = {**endpoint, **members, "EndpointStatus": status, "LastModifiedTime": now}
        document["_Requests"] = endpoint.get("_Requests", 0) + 1  # a stack that was killed knows its own by it
        document.pop("FailureReason", None)
        name = endpoint["EndpointName"]
        replace_resource(transaction, KIND, name, document, modified=now, status=status)
        self.events.tell(transaction, lambda: changes.endpoint(document), now)
        self.history.append(transaction, endpoint["_Stream"], [Event(kind, data, now)])


def _retain(fleet: Document, endpoint: Document, excluded: set[str]) -> None:
    """Give the new fleet's variants what the running ones of their name have, and the fleet what is captured now."""
    if "DataCaptureConfig" not in excluded:
        fleet.pop("Capture", None)
        if "_Capture" in endpoint:
            fleet["Capture"] = endpoint["_Capture"]
    running = {variant["VariantName"]: variant for variant in endpoint["ProductionVariants"]}
    for variant in fleet["Variants"]:
        if (found := running.get(variant["Name"])) is not None:
            if "DesiredWeight" not in excluded:
                variant["Weight"] = found["DesiredWeight"]
            if "DesiredInstanceCount" not in excluded:
                variant["Count"] = found["DesiredInstanceCount"]
