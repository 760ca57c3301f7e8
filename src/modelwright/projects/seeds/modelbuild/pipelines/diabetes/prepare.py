"""Splits scikit-learn's diabetes data into train and test; the target comes first, without a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split


def main() -> None:
    data, target = load_diabetes(return_X_y=True)
    rows = np.column_stack([target, data])
    for name, part in zip(("train", "test"), train_test_split(rows, test_size=0.2, random_state=0), strict=True):
        folder = Path("/opt/ml/processing") / name
        folder.mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / f"{name}.csv", part, delimiter=",", fmt="%.8g")
        print(f"{name}: {len(part)} rows")


if __name__ == "__main__":
    main()
