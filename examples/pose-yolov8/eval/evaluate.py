"""Evaluate a trained model on images that the training has not seen; a SageMaker processing job runs this.

Reads `model.tar.gz` and the test split, writes `evaluation.json`: the property file that the pipeline's condition and
the model registry read.

학습에 사용하지 않은 이미지로 모델을 평가하고 evaluation.json을 기록합니다.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from ultralytics import YOLO
from ultralytics.utils.nms import TorchNMS

try:
    import torchvision  # noqa: F401  # ultralytics wants one function of it, and has an own where it does not load
except (ImportError, RuntimeError):
    sys.modules["torchvision"] = SimpleNamespace(ops=SimpleNamespace(nms=TorchNMS.nms))  # type: ignore[assignment]

PROCESSING = Path("/opt/ml/processing")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        with tarfile.open(PROCESSING / "model/model.tar.gz") as archive:
            archive.extractall(model, filter="data")
        report = evaluate(model, PROCESSING / "test")
    target = PROCESSING / "evaluation/evaluation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2))


def evaluate(model: Path, test: Path) -> dict[str, Any]:
    """Mean average precision of the key points and of the boxes."""
    description = yaml.safe_load((model / "dataset.yaml").read_text())
    images = str(test / "images")
    data = model / "test.yaml"
    data.write_text(yaml.safe_dump(description | {"train": images, "val": images}))
    network = YOLO(model / "best.pt")
    size = network.overrides.get("imgsz", 640)
    found = network.val(data=str(data), imgsz=size, workers=0, plots=False, project=str(model), verbose=False)
    return {
        "pose_metrics": metrics(found.pose),
        "box_metrics": metrics(found.box),
        "images": len(list((test / "images").iterdir())),
    }


def metrics(found: Any) -> dict[str, dict[str, Any]]:
    values = {"mAP50": found.map50, "mAP50-95": found.map, "precision": found.mp, "recall": found.mr}
    return {name: {"value": float(value), "standard_deviation": "NaN"} for name, value in values.items()}


if __name__ == "__main__":
    main()
