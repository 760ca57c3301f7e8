"""Fits a ridge regression, and serves it: `model_fn` is what the inference container loads."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.linear_model import Ridge


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=float, default=0.1)
    arguments, _ = parser.parse_known_args()
    rows = np.loadtxt(Path(os.environ["SM_CHANNEL_TRAIN"]) / "train.csv", delimiter=",")
    model = Ridge(alpha=arguments.alpha).fit(rows[:, 1:], rows[:, 0])
    print(f"train:mse={np.mean((model.predict(rows[:, 1:]) - rows[:, 0]) ** 2):.2f}")
    joblib.dump(model, Path(os.environ["SM_MODEL_DIR"]) / "model.joblib")


def model_fn(model_dir: str) -> Any:
    return joblib.load(Path(model_dir) / "model.joblib")


if __name__ == "__main__":
    main()
