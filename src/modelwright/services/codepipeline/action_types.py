"""ListActionTypes: the action types that a pipeline may have here."""

from __future__ import annotations

from typing import Any

from modelwright.codepipeline.providers import ACTION_TYPES, ActionType
from modelwright.services.codepipeline.base import CodePipelineService
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED

MOST_PROPERTIES = 10
"""AWS's model has room for so many: the ones that are required come first."""


class ActionTypes(CodePipelineService):
    """What there is to choose from."""

    @operation("ListActionTypes", members=dict.fromkeys(("actionOwnerFilter", "nextToken", "regionFilter"), HONOURED))
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """All on one page."""
        owner = parameters.get("actionOwnerFilter", "AWS")
        return {"actionTypes": [_described(row) for row in ACTION_TYPES if row.owner == owner]}


def _described(row: ActionType) -> Document:
    keys = sorted(row.keys.items(), key=lambda item: not item[1].required)
    return {
        "id": {"category": row.category, "owner": row.owner, "provider": row.provider, "version": row.version},
        "actionConfigurationProperties": [
            {"name": name, "required": key.required, "key": key.primary, "secret": False, "queryable": False}
            for name, key in keys[:MOST_PROPERTIES]
            if not key.refused or key.values
        ],
        "inputArtifactDetails": _counts(row.inputs),
        "outputArtifactDetails": _counts(row.outputs),
    }


def _counts(allowed: tuple[int, int]) -> Document:
    least, most = allowed
    return {"minimumCount": least, "maximumCount": min(most, 5)}
