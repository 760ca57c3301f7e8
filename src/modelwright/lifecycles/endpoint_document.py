"""What an endpoint's state makes of the document that DescribeEndpoint answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.lifecycles.capture import summary
from modelwright.lifecycles.endpoint import Endpoint, Fleet, Instance, Variant

Document = dict[str, Any]


def describe(document: Mapping[str, Any], endpoint: Endpoint, time: float) -> Document:
    """The document of this state."""
    new = {**document, "EndpointStatus": endpoint.status, "LastModifiedTime": time}
    fleet = endpoint.live or endpoint.coming
    if fleet is not None:
        new["EndpointConfigName"] = fleet.config
        new["ProductionVariants"] = _variants(fleet, endpoint)
        new |= capture_members(fleet.capture, serving=endpoint.live is not None)
        if fleet.capture is None:
            new.pop("DataCaptureConfig", None)
            new.pop("_Capture", None)
    if endpoint.live is not None and endpoint.coming is not None:
        new["PendingDeploymentSummary"] = {
            "EndpointConfigName": endpoint.coming.config,
            "ProductionVariants": _variants(endpoint.coming, endpoint),
            "StartTime": endpoint.pending_since,
        }
    else:
        new.pop("PendingDeploymentSummary", None)
    if endpoint.failure:
        new["FailureReason"] = endpoint.failure
    else:
        new.pop("FailureReason", None)
    return new


def capture_members(capture: Mapping[str, Any] | None, *, serving: bool) -> Document:
    """What the document tells of data capture, and what an update that retains it needs."""
    if capture is None:
        return {}
    return {"DataCaptureConfig": summary(capture, serving=serving), "_Capture": capture}


def summaries(fleet: Mapping[str, Any], healthy: Mapping[str, int]) -> list[Document]:
    """The variants of a fleet as the services write it; `healthy` says how many instances of each serve."""
    return [
        {
            "VariantName": each["Name"],
            "CurrentWeight": each["Weight"],
            "DesiredWeight": each["Weight"],
            "CurrentInstanceCount": healthy.get(each["Name"], 0),
            "DesiredInstanceCount": each["Count"],
        }
        for each in fleet["Variants"]
    ]


def _variants(fleet: Fleet, endpoint: Endpoint) -> list[Document]:
    found = []
    for variant in fleet.variants:
        ours = [one for one in endpoint.of(fleet) if one.variant == variant.name]
        summary: Document = {"VariantName": variant.name}
        images = next((images for one in ours if (images := _images(one, variant))), [])
        if images:
            summary["DeployedImages"] = images
        summary |= {
            "CurrentWeight": variant.weight,
            "DesiredWeight": variant.weight,
            "CurrentInstanceCount": sum(one.healthy for one in ours),
            "DesiredInstanceCount": variant.count,
        }
        found.append(summary)
    return found


def _images(one: Instance, variant: Variant) -> list[Document]:
    return [
        {
            "SpecifiedImage": container["Image"],
            "ResolvedImage": part.images["Resolved"],
            "ResolutionTime": part.images["Time"],
        }
        for container, part in zip(variant.containers, one.parts, strict=False)
        if part.images
    ]
