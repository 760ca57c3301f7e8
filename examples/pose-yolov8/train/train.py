#!/usr/bin/env python
"""Train YOLOv8 pose in a SageMaker training container.

Channels `train` and `validation`, each with `images/` and `labels/`; hyperparameters are arguments of ultralytics'
`train()` plus `model`: a `.yaml` starts from scratch, a `.pt` from weights (a channel `weights` may bring the file).
Leaves `best.pt` and `dataset.yaml` in the model folder, curves and plots in the output folder.

SageMaker 학습 컨테이너에서 YOLOv8 포즈 모델을 학습합니다.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import torch
import yaml
from ultralytics import YOLO
from ultralytics.utils import torch_utils
from ultralytics.utils.nms import TorchNMS

ML = Path("/opt/ml")
DATASET = {
    "kpt_shape": [17, 3],
    "flip_idx": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
    "names": {0: "person"},
}

# From scratch, on a few hundred small images, these learn in minutes what the defaults (mosaic, an optimiser chosen
# for long runs) learn in hours. Hyperparameters override them.
DEFAULTS: dict[str, Any] = {
    "model": "yolov8n-pose.yaml",
    "epochs": 14,
    "imgsz": 128,
    "batch": 16,
    "nbs": 16,
    "optimizer": "AdamW",
    "lr0": 0.005,
    "lrf": 0.05,
    "warmup_epochs": 1,
    "mosaic": 0.0,
    "amp": False,
    "cache": "ram",
    "workers": 0,
    "seed": 0,
}


def main() -> None:
    stand_in_for_torchvision()
    if not torch.cuda.is_available():
        torch_utils.NUM_THREADS = os.cpu_count()  # else ultralytics leaves a core idle on small machines
    options = DEFAULTS | hyperparameters()
    model = YOLO(weights(options.pop("model")))
    model.add_callback("on_fit_epoch_end", report)
    model.train(
        data=str(dataset()),
        project="/tmp/pose",
        name="train",
        device=0 if torch.cuda.is_available() else "cpu",
        plots=True,
        verbose=False,
        **options,
    )
    keep(Path(model.trainer.save_dir))


def stand_in_for_torchvision() -> None:
    """ultralytics wants just one function of torchvision, and has an own one where a build doesn't fit its torch."""
    try:
        import torchvision  # noqa: F401  # does it load at all?
    except (ImportError, RuntimeError):
        ops = SimpleNamespace(nms=TorchNMS.nms)
        sys.modules["torchvision"] = cast(ModuleType, SimpleNamespace(ops=ops))


def hyperparameters() -> dict[str, Any]:
    """The job's, with numbers and booleans as such: all arrive as strings."""
    file = ML / "input/config/hyperparameters.json"
    given = json.loads(file.read_text()) if file.exists() else {}
    return {name: typed(value) for name, value in given.items() if not name.startswith("sagemaker_")}


def typed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def weights(model: str) -> str:
    """The model's file: from the channel `weights` where there is one, else ultralytics' own of that name."""
    brought = ML / "input/data/weights" / model
    return str(brought) if brought.is_file() else model


def dataset() -> Path:
    """The description of the data that ultralytics wants."""
    file = Path("/tmp/dataset.yaml")
    folders = {"train": str(ML / "input/data/train/images"), "val": str(ML / "input/data/validation/images")}
    file.write_text(yaml.safe_dump(DATASET | folders))
    return file


def report(trainer: Any) -> None:
    """A line an epoch, for the log and the job's metric definitions."""
    if trainer.epoch >= trainer.epochs:
        return  # the last look at the best epoch, which has had its line
    loss = sum(float(part) for part in trainer.tloss.values())
    pose = trainer.metrics.get("metrics/mAP50(P)", 0.0)
    box = trainer.metrics.get("metrics/mAP50(B)", 0.0)
    print(
        f"epoch={trainer.epoch + 1}/{trainer.epochs} train:loss={loss:.4f} "
        f"validation:pose_mAP50={pose:.4f} validation:box_mAP50={box:.4f}",
        flush=True,
    )


def keep(run: Path) -> None:
    """What the next steps need goes into the model, what people look at into the output."""
    shutil.copyfile(run / "weights/best.pt", ML / "model/best.pt")
    (ML / "model/dataset.yaml").write_text(yaml.safe_dump(DATASET))
    output = ML / "output/data"
    output.mkdir(parents=True, exist_ok=True)
    for file in run.iterdir():
        if file.suffix in (".png", ".jpg", ".csv", ".yaml"):
            shutil.copyfile(file, output / file.name)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        reason = traceback.format_exc()
        (ML / "output/failure").write_text(reason)
        sys.exit(reason)
