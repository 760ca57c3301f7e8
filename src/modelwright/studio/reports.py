"""Evaluation reports: JSON files in S3, flattened to metrics."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from modelwright.errors import AwsError
from modelwright.studio.data import pieces, split_uri
from modelwright.studio.view import View, is_missing

_MOST_BYTES = 2 << 20
_MOST_METRICS = 200


async def read(view: View, uri: str) -> tuple[Any, str]:
    """(the report, "") or (None, what is wrong with it)."""
    place = split_uri(uri)
    if place is None:
        return None, "This is not an S3 address."
    try:
        found = await view.call("GetObject", "s3", Bucket=place[0], Key=place[1])
    except AwsError as error:
        if not is_missing(error):
            raise
        return None, "The report is not there any more."
    body, size = [], 0
    async with contextlib.aclosing(pieces(found["Body"])) as content:
        async for piece in content:
            body.append(piece)
            size += len(piece)
            if size > _MOST_BYTES:
                return None, "The report is too long to be shown."
    try:
        return json.loads(b"".join(body)), ""
    except ValueError:
        return None, "The report is not JSON."


def rows(document: Any) -> list[tuple[str, Any]]:
    """A report's metrics as (name, value)."""
    return [] if document is None else list(flatten(document).items())[:_MOST_METRICS]


def flatten(document: Any, path: str = "") -> dict[str, Any]:
    """Every number, text and truth value of a document by its path. A metric's `value` goes by the metric's name."""
    if isinstance(document, dict):
        found: dict[str, Any] = {}
        for key, value in document.items():
            further = path if key == "value" and path else f"{path}.{key}" if path else str(key)
            found |= flatten(value, further)
        return found
    if isinstance(document, list):
        return {path: json.dumps(document)} if len(json.dumps(document)) <= 200 else {path: f"[{len(document)}]"}
    return {path: document}


def measured(document: Any) -> dict[str, tuple[Any, Any]]:
    """Metric -> (value, its standard deviation or None), without what is drawn: lists of a curve, counts of a matrix.

    The name of the only group of metrics, which AWS's reports begin with, says nothing and is left out.
    """
    flat = dict(rows(document))
    groups = [key for key, value in document.items() if isinstance(value, dict)] if isinstance(document, dict) else []
    metrics = [key for key in groups if key == "metrics" or key.endswith("_metrics")]
    found = {}
    for name, value in flat.items():
        steps = name.split(".")
        if steps[-1] == "standard_deviation" or any(step in _DRAWN for step in steps):
            continue
        deviation = flat.get(f"{name}.standard_deviation")
        if len(metrics) == 1 and steps[0] == metrics[0] and len(steps) > 1:
            name = name.removeprefix(f"{metrics[0]}.")
        found[name] = (value, deviation if isinstance(deviation, int | float) else None)
    return found


_DRAWN = ("confusion_matrix", "receiver_operating_characteristic_curve", "precision_recall_curve")
