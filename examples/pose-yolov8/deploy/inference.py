"""Serve the trained model in SageMaker's PyTorch inference image: an image in, boxes and key points as JSON out.

    {"image": {"width": ..., "height": ...},
     "predictions": [{"confidence": ..., "box": [left, top, right, bottom],
                      "keypoints": [{"name": "nose", "x": ..., "y": ..., "confidence": ...}, ...]}]}

Coordinates are pixels of the image as it was sent.

이미지를 받아 사람의 위치와 관절 좌표를 JSON으로 응답합니다.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image, UnidentifiedImageError
from ultralytics import YOLO
from ultralytics.utils.nms import TorchNMS

try:
    import torchvision  # noqa: F401  # ultralytics wants one function of it, and has an own where it does not load
except (ImportError, RuntimeError):
    sys.modules["torchvision"] = SimpleNamespace(ops=SimpleNamespace(nms=TorchNMS.nms))  # type: ignore[assignment]

IMAGE_TYPES = ("image/jpeg", "image/png", "application/x-image")
KEYPOINTS = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip


def model_fn(model_dir: str) -> YOLO:
    return YOLO(Path(model_dir) / "best.pt")


def input_fn(body: bytes, content_type: str) -> Image.Image:
    if content_type not in IMAGE_TYPES:
        raise ValueError(f"ContentType '{content_type}': send one of {', '.join(IMAGE_TYPES)}")
    try:
        return Image.open(io.BytesIO(body)).convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError("The body is no image that can be read.") from error


def predict_fn(image: Image.Image, model: YOLO) -> dict[str, Any]:
    size = model.overrides.get("imgsz", 640)
    result = model.predict(image, imgsz=size, verbose=False)[0].cpu()
    return {
        "image": {"width": image.width, "height": image.height},
        "predictions": [
            {
                "confidence": float(box.conf),
                "box": [float(value) for value in box.xyxy[0]],
                "keypoints": [
                    {"name": name, "x": float(x), "y": float(y), "confidence": float(confidence)}
                    for name, (x, y, confidence) in zip(KEYPOINTS, points.data[0], strict=True)
                ],
            }
            for box, points in zip(result.boxes, result.keypoints, strict=True)
        ],
    }


def output_fn(prediction: dict[str, Any], accept: str) -> tuple[str, str]:
    if accept not in ("application/json", "*/*"):
        raise ValueError(f"Accept '{accept}': this endpoint answers application/json")
    return json.dumps(prediction), "application/json"
