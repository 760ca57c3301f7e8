"""What a ForEach step may hold beside its body, as SDK v3's `ForEachStep` documents it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from modelwright.pipelines.expressions import Json, form, references
from modelwright.pipelines.problems import Problems, shown

MAX_CONCURRENCY = 50
MAX_LITERAL_ITEMS = 100
NOT_IN_A_BODY = frozenset({"Condition", "Fail", "ForEach"})

_MEMBERS = frozenset({"IterableItems", "MaxConcurrency", "Selector", "ForEachBody"})
_PICKS = ("MaxBy", "MinBy")


def check_for_each(arguments: Mapping[str, Any], body: Collection[str], path: str, problems: Problems) -> None:
    """`body` has the names of the body's steps."""
    for member in sorted(set(arguments) - _MEMBERS):
        problems.add(f"{path}.{member}", "unknown member of a ForEach step's arguments.")
    _check_items(arguments.get("IterableItems"), f"{path}.IterableItems", problems)
    concurrency = arguments.get("MaxConcurrency")
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or not 1 <= concurrency <= MAX_CONCURRENCY:
        problems.add(f"{path}.MaxConcurrency", f"{shown(concurrency)} must be an Integer from 1 to {MAX_CONCURRENCY}.")
    if "Selector" in arguments:
        _check_selector(arguments["Selector"], body, f"{path}.Selector", problems)


def _check_items(items: Json, path: str, problems: Problems) -> None:
    if form(items) is not None:
        return
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_LITERAL_ITEMS:
        problems.add(path, f"must be an expression or a list of 1 to {MAX_LITERAL_ITEMS} items.")
        return
    for index, item in enumerate(items):
        if form(item) is None and not isinstance(item, str | int | float):
            problems.add(f"{path}[{index}]", f"{shown(item)} is neither a plain value nor an expression.")


def _check_selector(selector: Json, body: Collection[str], path: str, problems: Problems) -> None:
    if not isinstance(selector, Mapping) or set(selector) != {"Pick", "Field"}:
        problems.add(path, 'must be {"Pick": ..., "Field": {"Get": "IterationOutput.STEP..."}}.')
        return
    if selector["Pick"] not in _PICKS:
        problems.add(f"{path}.Pick", f"{shown(selector['Pick'])} is not one of {', '.join(_PICKS)}.")
    field = next(references(selector["Field"]), None) if form(selector["Field"]) == "Get" else None
    if field is None or field.namespace != "IterationOutput" or field.name not in body or not field.path:
        problems.add(f"{path}.Field", "must refer to a member of a step of the body: IterationOutput.STEP.MEMBER.")
