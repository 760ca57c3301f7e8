"""What a model found in an image, as boxes, lines and points that can be drawn on it. Pure.

Understood is what the worked example answers, and what is like it: a list of `{"box": [left, top, right, bottom],
"confidence": ..., "keypoints": [{"name", "x", "y", "confidence"}, ...]}`, alone or as `predictions` beside
`"image": {"width", "height"}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST = 0.3
"""A point of less confidence is not drawn."""
MOST = 500
_BONES = (
    ("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("right_ankle", "right_knee"), ("right_knee", "right_hip"),
    ("left_hip", "right_hip"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"), ("right_elbow", "right_wrist"), ("nose", "left_eye"), ("nose", "right_eye"),
    ("left_eye", "left_ear"), ("right_eye", "right_ear"),
)  # fmt: skip

Point = tuple[float, float]


@dataclass(frozen=True)
class Drawing:
    """In pixels of the image. `boxes`: (left, top, width, height, label)."""

    width: float
    height: float
    boxes: tuple[tuple[float, float, float, float, str], ...]
    lines: tuple[tuple[Point, Point], ...]
    points: tuple[Point, ...]


def drawing(answer: Any) -> Drawing | None:
    """None where there is nothing that could be drawn."""
    found = answer.get("predictions") if isinstance(answer, Mapping) else answer
    if not isinstance(found, list):
        return None
    boxes, lines, points = [], [], []
    for each in found[:MOST]:
        if not isinstance(each, Mapping):
            continue
        box = _numbers(each.get("box"))
        if box is not None and len(box) == 4:
            left, top, right, bottom = box
            boxes.append((left, top, max(right - left, 0.0), max(bottom - top, 0.0), _label(each)))
        named = _points(each.get("keypoints"))
        points += [point for _, point in named]
        by_name = dict(named)
        lines += [(by_name[a], by_name[b]) for a, b in _BONES if a in by_name and b in by_name]
    if not boxes and not points:
        return None
    width, height = _size(answer, boxes, points)
    return Drawing(width, height, tuple(boxes), tuple(lines), tuple(points))


def _points(value: Any) -> list[tuple[str, Point]]:
    found: list[tuple[str, Point]] = []
    for each in value if isinstance(value, list) else []:
        if not isinstance(each, Mapping):
            continue
        place = _numbers([each.get("x"), each.get("y"), each.get("confidence", 1.0)])
        if place is not None and place[2] >= LEAST:
            found.append((str(each.get("name", len(found))), (place[0], place[1])))
    return found


def _label(each: Mapping[str, Any]) -> str:
    confidence = _numbers([each.get("confidence")])
    words = [str(each["label"])] if "label" in each else []
    return " ".join([*words, f"{confidence[0]:.2f}"] if confidence else words)


def _size(answer: Any, boxes: Sequence[tuple[float, float, float, float, str]], points: Sequence[Point]) -> Point:
    image = answer.get("image") if isinstance(answer, Mapping) else None
    told = _numbers([image.get("width"), image.get("height")]) if isinstance(image, Mapping) else None
    if told is not None and min(told) > 0:
        return told[0], told[1]
    across = [box[0] + box[2] for box in boxes] + [x for x, _ in points]
    down = [box[1] + box[3] for box in boxes] + [y for _, y in points]
    return max(1.0, *across), max(1.0, *down)


def _numbers(values: Any) -> list[float] | None:
    """Finite numbers, or None where one is not."""
    if not isinstance(values, list):
        return None
    if any(
        isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) for value in values
    ):
        return None
    return [float(value) for value in values]
