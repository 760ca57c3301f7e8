"""A training job in a few lines: fits a line to points and keeps its coefficients."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

MODEL = Path("/opt/ml/model")


def main() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(0, 10, 200)
    y = 3 * x + 1 + random.normal(0, 0.5, 200)
    slope, intercept = np.polyfit(x, y, 1)
    loss = float(np.mean((slope * x + intercept - y) ** 2))
    print(f"train:loss={loss:.4f}")
    MODEL.mkdir(parents=True, exist_ok=True)
    (MODEL / "line.json").write_text(json.dumps({"slope": float(slope), "intercept": float(intercept)}))


if __name__ == "__main__":
    main()
