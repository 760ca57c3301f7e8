"""Where a job's time went, told from its facts: image, queue, inputs, run, outputs. Pure.

A job first gets its image, then its share of the machine, then its inputs (`engine.jobs`). What took no time is left
out, except what is under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Name = Literal["Image", "Queued", "Inputs", "Run", "Outputs"]
LEAST = 0.001
"""Seconds: less is nothing."""


class Event(Protocol):
    """What `store.history` gives."""

    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def time(self) -> float: ...


@dataclass(frozen=True)
class Stage:
    """A stretch of a job's life; the last of a job that has not ended has no end."""

    name: Name
    start: float
    end: float | None


def stages(events: Iterable[Event]) -> list[Stage]:
    """In order. Empty for a stream that is no job's."""
    found: list[Stage] = []
    name: Name = "Queued"
    began: float | None = None

    def enter(following: Name, at: float) -> None:
        nonlocal name, began
        if began is not None and following != name:
            found.append(Stage(name, began, max(began, at)))
            began = max(began, at)
        name = following

    for event in events:
        match event.kind:
            case "Created":
                found, name, began = [], "Queued", event.time
            case "Preparing" if name == "Queued" and not found:
                name = "Image"  # the image comes first: what passed before this was told is its time
            case "Queued":
                enter("Queued", event.time)
            case "Prepared":
                enter("Inputs", float(event.data["Began"]))
            case "Started":
                enter("Run", event.time)
            case "Exited":
                enter("Outputs", float(event.data.get("Ended", event.time)))
            case "Ended" if began is not None:
                found.append(Stage(name, began, max(began, event.time)))
                began = None
    if began is not None:
        found.append(Stage(name, began, None))
    return [stage for stage in found if stage.end is None or stage.end - stage.start >= LEAST]
