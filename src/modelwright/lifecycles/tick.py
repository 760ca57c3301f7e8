"""One time at which a scheduled rule is due, as a state machine: it waits for it, then it is over. Pure.

    Waiting ──Fired──▶ Ended

Each tick is a stream of its own, and the transaction that ends one opens the next: so no rule's history grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelwright.lifecycles.job import Effect


@dataclass(frozen=True)
class Tick:
    """`rule` is BUS/NAME, `schedule` the id of the schedule that the rule had when this was written."""

    rule: str = ""
    schedule: str = ""
    due: float = 0.0
    fired: bool = False


def apply(tick: Tick, kind: str, data: Mapping[str, Any]) -> Tick:
    """The state after one more fact."""
    match kind:
        case "Created":
            return replace(tick, rule=data["Rule"], schedule=data["Schedule"], due=data["Due"])
        case "Fired":
            return replace(tick, fired=True)
        case _:
            return tick


def outstanding(tick: Tick) -> list[Effect]:
    """Effects still owed."""
    return [] if tick.fired else [Effect("fire", at=tick.due)]
