"""A notebook instance as a state machine: facts -> state -> what is still owed. Pure.

    Preparing ──Prepared──▶ Starting ──Started──▶ Running (──Ready──) ──Exited──▶ Stopped
    Stopped ──StartRequested──▶ Preparing ...         Stopped ──DeleteRequested──▶ Deleting ──Removed──▶ Gone

`Preparing`: its image, a port. `Starting`: the fact that it is about to be started is written, so it may have been.
`Running`: the runtime has it; AWS calls it InService once it answers. A `Reason` says why it failed. Each start is an
attempt of its own, with a container of its own name.

Facts from outside: `Created`, `StartRequested`, `StopRequested`, `DeleteRequested`. All others are the engine's. Every
effect may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelwright.lifecycles.job import Effect, Fact

Phase = Literal["Preparing", "Starting", "Running", "Stopped", "Deleting", "Gone"]


@dataclass(frozen=True)
class Notebook:
    """What is known of a notebook instance."""

    phase: Phase = "Preparing"
    attempt: int = 1
    port: int = 0
    handle: Mapping[str, Any] = field(default_factory=dict)
    began: float = 0.0
    """When it was started."""
    ready: bool = False
    stop: bool = False
    signalled: bool = False
    reason: str = ""
    """Why it failed, or is being stopped as failed."""

    @property
    def status(self) -> str:
        """NotebookInstanceStatus."""
        if self.phase == "Stopped":
            return "Failed" if self.reason else "Stopped"
        if self.phase in ("Deleting", "Gone"):
            return "Deleting"
        if self.stop or self.reason:
            return "Stopping"
        return "InService" if self.ready else "Pending"


def apply(notebook: Notebook, kind: str, data: Mapping[str, Any], time: float) -> Notebook:
    """The state after one more fact."""
    match kind:
        case "StartRequested":
            return Notebook(attempt=notebook.attempt + 1)
        case "StopRequested":
            return replace(notebook, stop=True)
        case "DeleteRequested":
            return replace(notebook, phase="Deleting")
        case "Prepared":
            return replace(notebook, phase="Starting", port=data["Port"])
        case "Started":
            return replace(notebook, phase="Running", handle=data["Handle"], began=time)
        case "Ready":
            return replace(notebook, ready=True)
        case "Sick":
            return replace(notebook, reason=data["Reason"])
        case "Signalled":
            return replace(notebook, signalled=True)
        case "Exited":
            reason = notebook.reason or ("" if notebook.stop else data.get("Reason", ""))
            return replace(notebook, phase="Stopped", reason=reason, ready=False)
        case "Failed":
            return replace(notebook, phase="Stopped", reason=data["Reason"], ready=False)
        case "Removed":
            return replace(notebook, phase="Gone")
        case _:  # Created
            return notebook


def decide(notebook: Notebook) -> list[Fact]:
    """Facts that follow from the state alone: what is stopped before it was started has ended."""
    return [("Exited", {})] if notebook.phase == "Preparing" and notebook.stop else []


def outstanding(notebook: Notebook) -> list[Effect]:
    """Effects still owed."""
    key = str(notebook.attempt)
    match notebook.phase:
        case "Preparing":
            return [Effect("prepare", key)]
        case "Starting":
            return [Effect("start", key)]
        case "Running":
            effects = [Effect("watch", key)]
            leaving = notebook.stop or bool(notebook.reason)
            if leaving and not notebook.signalled:
                effects.append(Effect("stop", key))
            if not leaving and not notebook.ready:
                effects.append(Effect("check", key))
            return effects
        case "Deleting":
            return [Effect("remove")]
        case _:
            return []


def ended(notebook: Notebook) -> bool:
    """Nothing is under way. A request opens the stream again."""
    return notebook.phase in ("Stopped", "Gone")
