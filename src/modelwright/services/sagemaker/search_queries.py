"""Searches that the database can answer alone, with exactly the answer that reading every document would give.

Executions come in tens of thousands, and people look for them by pipeline, state and name: those filters and orders are
said to the store. Anything else gets None here, and `search` reads the documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.services.dispatch import Document
from modelwright.store.database import Transaction
from modelwright.store.resources import Condition, Query, find_by_arn

_NAME, _STATUS, _PIPELINE = "PipelineExecutionDisplayName", "PipelineExecutionStatus", "PipelineArn"
_SORTS: Mapping[str, Mapping[str, Any]] = {
    "CreationTime": {"sort": "created"},
    "LastModifiedTime": {"sort": "modified"},
    _STATUS: {"sort": "status"},
    _NAME: {"sort": "member", "sort_member": _NAME},
}


def as_query(transaction: Transaction, kind: str, parameters: Mapping[str, Any], limit: int) -> Query | None:
    """The one query that is this Search, or None. `limit` is that of a request that names none."""
    expression: Document = parameters.get("SearchExpression", {})
    order = _SORTS.get(parameters.get("SortBy", "LastModifiedTime"))
    other = expression.get("NestedFilters") or expression.get("SubExpressions") or expression.get("Operator") == "Or"
    if kind != "PipelineExecution" or order is None or other:
        return None
    narrowed: dict[str, Any] = {}
    conditions = []
    for each in expression.get("Filters", []):
        name, operator, value = each["Name"], each.get("Operator", "Equals"), each.get("Value", "")
        if name == _PIPELINE and operator == "Equals" and "parent" not in narrowed:
            found = find_by_arn(transaction, value)
            if found is None or found[0] != "Pipeline":
                return None
            narrowed["parent"] = found[1]
        elif name == _STATUS and operator == "Equals" and "status" not in narrowed:
            narrowed["status"] = value
        elif name == _NAME and operator in ("Equals", "Contains") and value.isascii():
            # The database knows capital and small letters of ASCII only.
            conditions.append(Condition(_NAME, operator.lower(), value))
        else:
            return None
    return Query(
        kind,
        conditions=tuple(conditions),
        descending=parameters.get("SortOrder", "Descending") == "Descending",
        limit=parameters.get("MaxResults", limit),
        token=parameters.get("NextToken"),
        **narrowed,
        **order,
    )
