"""What of an endpoint's invocations is captured: `DataCaptureConfig`, as far as a request needs it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Capturing:
    """Which share of the requests, which side of them, and where to."""

    percentage: float
    bucket: str
    prefix: str
    """Without a slash at its end."""
    input: bool
    output: bool
    csv: frozenset[str] = frozenset()
    """Content types whose bytes are text, kept as they are."""
    json: frozenset[str] = frozenset()

    def encoding(self, content_type: str) -> str:
        """How a body of this type is written; `; charset=utf-8` and the like play no part."""
        kind = content_type.partition(";")[0].strip().lower()
        return "CSV" if kind in self.csv else "JSON" if kind in self.json else "BASE64"


def capturing(config: Mapping[str, Any] | None) -> Capturing | None:
    """From AWS's DataCaptureConfig; None where nothing is to be captured."""
    if not config or not config.get("EnableCapture", True) or not config["InitialSamplingPercentage"]:
        return None
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    bucket, _, prefix = config["DestinationS3Uri"].partition("://")[2].partition("/")
    types = config.get("CaptureContentTypeHeader", {})
    return Capturing(
        percentage=float(config["InitialSamplingPercentage"]),
        bucket=bucket,
        prefix=prefix.strip("/"),
        input=bool(modes & {"Input", "InputAndOutput"}),
        output=bool(modes & {"Output", "InputAndOutput"}),
        csv=frozenset(kind.lower() for kind in types.get("CsvContentTypes", ())),
        json=frozenset(kind.lower() for kind in types.get("JsonContentTypes", ())),
    )


def summary(config: Mapping[str, Any], *, serving: bool) -> dict[str, Any]:
    """DescribeEndpoint's DataCaptureConfig."""
    enabled = bool(config.get("EnableCapture", True))
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled and serving else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": "",
    }
