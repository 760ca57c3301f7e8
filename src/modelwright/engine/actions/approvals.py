"""Manual approval: nothing runs. PutApprovalResult answers it, or its time runs out."""

from __future__ import annotations

from modelwright.engine.actions.base import Outcome, Task


class Manual:
    """Approval, Manual."""

    def start(self, task: Task) -> Outcome:
        link = task.configuration.get("ExternalEntityLink")
        return Outcome({} if link is None else {"entity_url": link})

    def poll(self, task: Task) -> Outcome | None:
        return None
