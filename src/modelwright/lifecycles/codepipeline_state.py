"""What is known of a CodePipeline pipeline and its executions: the state that `lifecycles.codepipeline` folds. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ENDED = frozenset({"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"})
"""An execution's last statuses."""
OPEN = frozenset({"Starting", "InProgress"})
"""An action's statuses before its end. `Starting` is ours; AWS knows it as InProgress."""
APPROVAL_SECONDS = 7 * 24 * 3600.0
"""How long a manual approval waits unless it says so itself."""

MOST_OPEN = 50
"""How many executions of a pipeline may not be over at a time."""
KEPT = 2 * MOST_OPEN
"""How many executions are remembered: more than can end in one turn, so that what became of each is written down."""

_IDS = uuid.UUID("5f0c2c0a-6d1e-4b57-9a43-2d7d6a1c9e10")


@dataclass(frozen=True)
class ActionRun:
    """An action, run once in an execution. `id` is a function of what it is, so a start may be repeated."""

    id: str
    execution: str
    stage: str
    name: str
    attempt: int
    status: str
    started: float
    changed: float
    declaration: Mapping[str, Any]
    """As it was when the action started."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """As far as known: `configuration` (resolved), `inputs` and `outputs` {artifact: {bucket, key}}, `variables`,
    `revision` (of a source), `external_id`, `external_url`, `summary`, `error` {code, message}, `log`, and what its
    provider's action keeps for itself under `state`."""
    answered: str = ""
    """Approved or Rejected, of a manual approval."""
    by: str = ""

    @property
    def token(self) -> str:
        """What PutApprovalResult has to name."""
        return str(uuid.uuid5(_IDS, f"token/{self.id}"))

    @property
    def is_approval(self) -> bool:
        return bool(self.declaration["actionTypeId"]["category"] == "Approval")

    @property
    def deadline(self) -> float:
        """When a manual approval fails by itself."""
        minutes = self.declaration.get("timeoutInMinutes")
        return self.started + (APPROVAL_SECONDS if minutes is None else 60.0 * minutes)


@dataclass(frozen=True)
class Run:
    """A pipeline execution. `stage` is the index of the one that it is before, or in."""

    id: str
    number: int
    version: int
    mode: str
    started: float
    changed: float
    trigger: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    status: str = "InProgress"
    stage: int = 0
    inside: bool = False
    abandon: bool = False
    reason: str = ""
    """Of the one who stopped it."""
    actions: Mapping[tuple[str, str], ActionRun] = field(default_factory=dict)
    """The latest of each (stage, action)."""
    attempts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    succeeded: tuple[str, ...] = ()
    """Stages that it has come through."""
    rollback: str = ""
    """The execution that it rolls its one stage back to."""

    @property
    def over(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class Stage:
    """What belongs to a stage, whoever is in it."""

    latest: str = ""
    """The last execution that entered it."""
    status: str = ""
    enabled: bool = True
    by: str = ""
    at: float | None = None
    reason: str = ""
    retries: int = 0
    """How often `latest` was brought back."""
    actions: Mapping[str, ActionRun] = field(default_factory=dict)
    """The last run of each action, of whichever execution."""


@dataclass(frozen=True)
class Pipeline:
    """The folded stream."""

    name: str = ""
    arn: str = ""
    account: str = ""
    region: str = ""
    declaration: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    updated: float = 0.0
    deleted: bool = True
    runs: Mapping[str, Run] = field(default_factory=dict)
    """Executions that are not over, those that a stage had last, and some that ended lately."""
    stages: Mapping[str, Stage] = field(default_factory=dict)
    count: int = 0

    @property
    def version(self) -> int:
        return int(self.declaration["version"])

    @property
    def mode(self) -> str:
        return str(self.declaration.get("executionMode", "SUPERSEDED"))

    @property
    def full(self) -> bool:
        """Whether as many executions are open as there may be."""
        return sum(not run.over for run in self.runs.values()) >= MOST_OPEN

    def stage_name(self, index: int) -> str:
        return str(self.declaration["stages"][index]["name"])

    def stage_index(self, name: str) -> int | None:
        names = [stage["name"] for stage in self.declaration["stages"]]
        return names.index(name) if name in names else None

    def action(self, identity: str) -> ActionRun | None:
        """The action execution of this id, if it is one of those that are known still."""
        for run in self.runs.values():
            for action in run.actions.values():
                if action.id == identity:
                    return action
        return None

    def waiting(self, stage: int) -> list[Run]:
        """Those before a stage, the oldest first."""
        runs = (run for run in self.runs.values() if not run.over and not run.inside and run.stage == stage)
        return sorted(runs, key=lambda run: run.number)


def action_id(arn: str, execution: str, stage: str, action: str, attempt: int) -> str:
    """The id of an action execution: the same arguments always give the same one."""
    return str(uuid.uuid5(_IDS, f"{arn}/{execution}/{stage}/{action}/{attempt}"))
