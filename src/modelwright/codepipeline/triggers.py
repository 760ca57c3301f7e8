"""Triggers of V2 pipelines: which pushes to the repository of a source start the pipeline (AWS: "Filter triggers").

A push starts it when one of the filters matches: a filter of tags matches a tag, one of branches a branch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelwright.codepipeline.providers import find
from modelwright.regexes import Regex, SlowRegex

Document = Mapping[str, Any]

_TOKENS = re.compile(r"\*\*|\*|\?|[^*?]+")
_MEANINGS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def of_action(pipeline: Document, action: str) -> Document | None:
    """The trigger of a source action: it alone says then when the source's changes start the pipeline."""
    for trigger in pipeline.get("triggers", []):
        if trigger["gitConfiguration"]["sourceActionName"] == action:
            found: Document = trigger["gitConfiguration"]
            return found
    return None


def starts(trigger: Document, kind: str, name: str) -> bool:
    """Whether a push of a reference starts the pipeline, by the filters of `push`; `kind` is branch or tag."""
    member = {"branch": "branches", "tag": "tags"}[kind]
    return any(member in push and _wanted(push[member], name) for push in trigger["push"])


def matches(pattern: str, name: str) -> bool:
    """`*` and `?` stay within a part of the name, `**` does not."""
    translated = "".join(_MEANINGS.get(token) or re.escape(token) for token in _TOKENS.findall(pattern))
    try:
        return Regex(translated).fullmatch(name)
    except SlowRegex:
        return False


def problems(pipeline: Document) -> Iterator[str]:
    """What is wrong with a pipeline's triggers."""
    sources = {action["name"]: action for action in pipeline["stages"][0]["actions"]} if pipeline["stages"] else {}
    seen: set[str] = set()
    for trigger in pipeline.get("triggers", []):
        given = trigger["gitConfiguration"]
        name = given["sourceActionName"]
        row = find(sources[name]["actionTypeId"]) if name in sources else None
        if row is None or row.provider != trigger["providerType"]:
            yield f"The trigger's sourceActionName '{name}' is no {trigger['providerType']} action of the first stage"
        if name in seen:
            yield f"There is more than one trigger for the source action '{name}'"
        seen.add(name)
        for push in given.get("push", []):
            if ("tags" in push) == ("branches" in push):
                yield f"A push filter of the trigger for '{name}' must have either tags or branches, and not both"
            for member, filters in push.items():
                if not filters.get("includes") and not filters.get("excludes"):
                    yield f"The {member} of the trigger for '{name}' have neither includes nor excludes"


def _wanted(filters: Mapping[str, Sequence[str]], name: str) -> bool:
    if any(matches(pattern, name) for pattern in filters.get("excludes", [])):
        return False
    includes = filters.get("includes")
    return includes is None or any(matches(pattern, name) for pattern in includes)
