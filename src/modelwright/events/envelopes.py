"""The envelope around every event, with AWS's field names. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Envelope = dict[str, Any]

REQUIRED = ("id", "account", "source", "time", "region", "resources", "detail-type")
"""What TestEventPattern wants of an event."""
DEFAULT_BUS = "default"


def envelope(
    *,
    id: str,
    source: str,
    detail_type: str,
    detail: Mapping[str, Any],
    resources: Sequence[str],
    account: str,
    region: str,
    time: float,
) -> Envelope:
    """An event as rules match it and targets receive it. `time` in epoch seconds."""
    return {
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": timestamp(time),
        "region": region,
        "resources": list(resources),
        "detail": dict(detail),
    }


def timestamp(time: float) -> str:
    """As EventBridge writes a time: UTC, whole seconds."""
    return datetime.fromtimestamp(int(time), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
