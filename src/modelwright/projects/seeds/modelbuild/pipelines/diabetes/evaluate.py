"""The error on data that the training has not seen, as the report that the condition and the registry read."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import joblib
import numpy as np

INPUT = Path("/opt/ml/processing")


def main() -> None:
    with tarfile.open(INPUT / "model" / "model.tar.gz") as archive:
        archive.extractall(INPUT / "unpacked", filter="data")
    model = joblib.load(INPUT / "unpacked" / "model.joblib")
    rows = np.loadtxt(INPUT / "test" / "test.csv", delimiter=",")
    errors = (model.predict(rows[:, 1:]) - rows[:, 0]) ** 2
    report = {
        "regression_metrics": {
            "mse": {"value": float(errors.mean()), "standard_deviation": float(errors.std())},
        }
    }
    folder = INPUT / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(report))
    print(f"test:mse={errors.mean():.2f}")


if __name__ == "__main__":
    main()
