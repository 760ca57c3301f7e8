"""Plots of a model quality report, as SageMaker's Model Monitor, Clarify and the SDK's samples write it. Pure.

Source: Amazon SageMaker Developer Guide, "Model Quality Metrics and Amazon CloudWatch Monitoring". A report holds
`binary_classification_metrics` or `multiclass_classification_metrics` with a `confusion_matrix` (actual class ->
predicted class -> count) and curves as two lists of the same length. Whatever does not look like that is no plot: its
numbers are in the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

SIDE = 200.0
"""A curve's square, in its SVG's units."""
_MOST_CLASSES = 30
_MOST_POINTS = 500
_CURVES = (
    (
        "receiver_operating_characteristic_curve", "ROC curve", "False positive rate", "false_positive_rates",
        "True positive rate", "true_positive_rates", True,
    ),
    ("precision_recall_curve", "Precision and recall", "Recall", "recalls", "Precision", "precisions", False),
)  # fmt: skip
"""Member, title, x's title and list, y's title and list, whether guessing is the diagonal."""


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix. `strength`: 0 to 10, its share of the row."""

    count: float
    share: float
    strength: int
    right: bool


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are what it was, columns are what the model said."""

    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Curve:
    """A curve in the unit square; `line` and `dots` in SVG's coordinates, y downwards."""

    title: str
    x: str
    y: str
    line: str
    dots: tuple[tuple[float, float], ...]
    diagonal: bool
    area: float


@dataclass(frozen=True)
class Plots:
    """What one report allows."""

    matrices: tuple[Matrix, ...] = ()
    curves: tuple[Curve, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.matrices or self.curves)


def of_report(document: Any) -> Plots:
    """The plots of a report; of one group of metrics at its top, as AWS writes it, or of the report itself."""
    if not isinstance(document, Mapping):
        return Plots()
    matrices, curves = [], []
    for part in (document, *(value for value in document.values() if isinstance(value, Mapping))):
        found = matrix(part.get("confusion_matrix"))
        if found is not None:
            matrices.append(found)
        for member, title, x, xs, y, ys, diagonal in _CURVES:
            given = part.get(member)
            if isinstance(given, Mapping):
                drawn = curve(title, x, given.get(xs), y, given.get(ys), diagonal)
                if drawn is not None:
                    curves.append(drawn)
    return Plots(tuple(matrices), tuple(curves))


def matrix(given: Any) -> Matrix | None:
    """A confusion matrix, of counts by class, or as a square list of lists."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = {str(i): dict(enumerate(row)) for i, row in enumerate(given) if isinstance(row, Sequence)}
        given = {actual: {str(said): count for said, count in row.items()} for actual, row in given.items()}
    if not isinstance(given, Mapping) or not given or not all(isinstance(row, Mapping) for row in given.values()):
        return None
    classes = tuple(dict.fromkeys([*map(str, given), *(str(said) for row in given.values() for said in row)]))
    if not 2 <= len(classes) <= _MOST_CLASSES:
        return None
    rows = []
    for actual, row in given.items():
        counts = [_number(row.get(said, 0)) for said in classes]
        if any(count is None or count < 0 for count in counts):
            return None
        whole = sum(count or 0.0 for count in counts)
        cells = tuple(
            Cell(count or 0.0, share, round(10 * share), str(actual) == said)
            for said, count in zip(classes, counts, strict=True)
            for share in [(count or 0.0) / whole if whole else 0.0]
        )
        rows.append((str(actual), cells))
    return Matrix(classes, tuple(rows))


def curve(title: str, x: str, xs: Any, y: str, ys: Any, diagonal: bool = False) -> Curve | None:
    """A curve from two lists of shares."""
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or len(xs) < 2:
        return None
    points = [(_number(a), _number(b)) for a, b in zip(xs, ys, strict=True)]
    shares = [(a, b) for a, b in points if a is not None and b is not None and 0 <= a <= 1 and 0 <= b <= 1]
    if len(shares) < len(points):
        return None
    if shares[0][0] > shares[-1][0]:  # by falling threshold or by rising: both are written
        shares.reverse()
    area = sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(shares))
    stride = max(1, math.ceil(len(shares) / _MOST_POINTS))
    drawn = [(round(SIDE * a, 1), round(SIDE * (1 - b), 1)) for a, b in [*shares[:-1:stride], shares[-1]]]
    line = " ".join(f"{a},{b}" for a, b in drawn)
    return Curve(title, x, y, line, tuple(drawn) if len(drawn) <= 30 else (), diagonal, area)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
