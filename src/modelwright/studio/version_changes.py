"""How one model version differs from another: metrics side by side, then parameters, data, image, code. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One thing of both versions. None: that version has no such thing."""

    name: str
    mine: Any
    other: Any
    change: float | None
    """`mine - other` of numbers that differ."""
    share: float | None
    """That change in per cent of the other."""

    @property
    def differs(self) -> bool:
        return bool(self.mine != self.other)


@dataclass(frozen=True)
class Section:
    """A kind of things: what it is called, and the rows, those that differ first."""

    title: str
    rows: tuple[Row, ...]

    @property
    def different(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.differs)

    @property
    def same(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.differs)


def compared(sections: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[Section]:
    """Title -> (this version's by name, the other's by name); what neither has is left out."""
    found = []
    for title, (mine, other) in sections.items():
        names = [*mine, *(name for name in other if name not in mine)]
        rows = [row(name, mine.get(name), other.get(name)) for name in names]
        if rows:
            found.append(Section(title, tuple(rows)))
    return found


def row(name: str, mine: Any, other: Any) -> Row:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (mine, other))
    if not numbers or mine == other:
        return Row(name, mine, other, None, None)
    change = mine - other
    return Row(name, mine, other, change, 100 * change / abs(other) if other else None)
