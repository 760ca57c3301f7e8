"""What the table of steps says about a pipeline's definition before it runs: `pipelines.definition.Operations`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelwright.engine.steps import OPERATIONS, SERVICE
from modelwright.protocol.arguments import check, check_path


class StepOperations:
    """Of the step types that run here; of all others nothing is known."""

    def check_arguments(self, step_type: str, arguments: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        row = OPERATIONS.get(step_type)
        return () if row is None else check(SERVICE, row.create, arguments, given=row.name)

    def check_property(self, step_type: str, path: Sequence[str | int]) -> str | None:
        if step_type == "Condition":
            return None if list(path) == ["Outcome"] else "a Condition step has only the property Outcome."
        row = OPERATIONS.get(step_type)
        return None if row is None else check_path(SERVICE, row.describe, path)
