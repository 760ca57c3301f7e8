"""A SageMaker project as a state machine: facts -> state -> what is still owed. Pure.

    Seeding ──Seeded──▶ Stacking ──StackRequested──▶ Waiting ──StackEnded──▶ Settled
    Settled ──UpdateRequested──▶ Seeding ...
    Settled ──DeleteRequested──▶ Clearing ──Cleared──▶ Waiting ──StackEnded──▶ Gone

A project is one CloudFormation stack, made from its template; `Seeding` brings the seed code of its repositories to
where the template says. `Clearing` deletes what the project's pipelines have deployed and what lies in its buckets,
without which the stack could not be deleted. `Failed` ends each phase: the project is Settled again, and says why.

Facts from outside: `Created`, `UpdateRequested`, `DeleteRequested`. All others are the engine's. An effect may be
repeated at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelwright.lifecycles.job import Effect

Phase = Literal["Seeding", "Stacking", "Waiting", "Clearing", "Settled", "Gone"]
Verb = Literal["Create", "Update", "Delete"]


@dataclass(frozen=True)
class Project:
    """What is known of a project."""

    name: str = ""
    id: str = ""
    region: str = ""
    verb: Verb = "Create"
    phase: Phase = "Seeding"
    round: int = 0
    """How many changes were asked for: makes the tokens of the stack's calls differ."""
    stack_name: str = ""
    stack_id: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """What the stack is made from: `TemplateBody` or `TemplateURL`, `Parameters`, `Tags`, `Seeds`, `Template`."""
    asked: frozenset[str] = frozenset()
    """Stacks whose deletion has been asked for."""
    reason: str = ""

    @property
    def status(self) -> str:
        """ProjectStatus."""
        if self.phase == "Gone":
            return "DeleteCompleted"
        if self.phase != "Settled":
            return f"{self.verb}InProgress"
        return f"{self.verb}Failed" if self.reason else f"{self.verb}Completed"


def apply(project: Project, kind: str, data: Mapping[str, Any]) -> Project:
    """The state after one more fact."""
    match kind:
        case "Created":
            return Project(
                name=data["Name"],
                id=data["Id"],
                region=data["Region"],
                stack_name=data["StackName"],
                plan=data["Plan"],
            )
        case "UpdateRequested":
            return replace(_next(project, "Update", "Seeding"), plan=data["Plan"])
        case "DeleteRequested":
            return _next(project, "Delete", "Clearing")
        case "Seeded":
            return replace(project, phase="Stacking")
        case "StackRequested":
            return replace(project, phase="Waiting", stack_id=data["StackId"])
        case "StackDeletionRequested":
            return replace(project, asked=project.asked | {data["StackId"]})
        case "Cleared":
            return replace(project, phase="Waiting" if project.stack_id else "Gone")
        case "Ended":
            return replace(project, phase="Gone" if project.verb == "Delete" else "Settled")
        case "Failed":
            return replace(project, phase="Settled", reason=data["Reason"])
        case _:
            return project


def _next(project: Project, verb: Verb, phase: Phase) -> Project:
    return replace(project, verb=verb, phase=phase, reason="", asked=frozenset(), round=project.round + 1)


def outstanding(project: Project) -> list[Effect]:
    """Effects still owed."""
    effect = {"Seeding": "seed", "Stacking": "stack", "Waiting": "await", "Clearing": "clear"}.get(project.phase)
    return [Effect(effect)] if effect else []


def ended(project: Project) -> bool:
    """Nothing is under way. A change that is asked for opens the stream again."""
    return project.phase in ("Settled", "Gone")
