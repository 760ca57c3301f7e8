"""`#{namespace.key}` in the configuration of an action (AWS: "Working with variables")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

PIPELINE, DECLARED = "codepipeline", "variables"
"""The two namespaces that no action may have: the execution's, and the pipeline's variables."""
EXECUTION_ID = "PipelineExecutionId"

_REFERENCE = re.compile(r"#\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9@\-_]+\.[A-Za-z0-9@\-_]+")


class Unresolved(ValueError):
    """A reference to what is not there."""


def references(text: str) -> Iterator[tuple[str, str]]:
    """(namespace, key) of each reference; a malformed one has an empty key."""
    for match in _REFERENCE.finditer(text):
        inner = match.group(1).strip()
        if not _NAME.fullmatch(inner):
            yield inner, ""
        else:
            namespace, _, key = inner.partition(".")
            yield namespace, key


def resolve(text: str, namespaces: Mapping[str, Mapping[str, str]]) -> str:
    """The text with the values in it. Raises Unresolved naming the reference."""

    def value(match: re.Match[str]) -> str:
        namespace, _, key = match.group(1).strip().partition(".")
        try:
            return namespaces[namespace][key]
        except KeyError:
            raise Unresolved(
                f"The variable {match.group(0)} could not be resolved: "
                + (
                    f"'{namespace}' has {', '.join(sorted(namespaces[namespace])) or 'no variables'}."
                    if namespace in namespaces
                    else f"no action before this one has the namespace '{namespace}'."
                )
            ) from None

    return _REFERENCE.sub(value, text)
