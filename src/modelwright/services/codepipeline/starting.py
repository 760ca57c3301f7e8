"""What an execution is started with: its id, its trigger, its variables, its sources' revisions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from modelwright.codepipeline.declaration import actions_of
from modelwright.errors import UnsupportedOperation, ValidationException
from modelwright.services.dispatch import Context, Document
from modelwright.store.history import Event

_IDS = uuid.UUID("0e3ab9a5-4c3f-4d0c-8a55-7a1d5c6b2f43")

REVISIONS: Mapping[str, Sequence[str]] = {
    "COMMIT_ID": ("CodeCommit", "CodeStarSourceConnection"),
    "S3_OBJECT_KEY": ("S3",),
}
"""Types of revision that can be given, and the providers of the source actions that they are for."""


def execution_id(arn: str, created: float, token: str) -> str:
    """The same token gives the same execution; that of a pipeline of this name that was deleted is another one's."""
    return str(uuid.uuid5(_IDS, f"{arn}/{created}/{token}"))


def new_execution(
    declaration: Mapping[str, Any],
    identity: str,
    trigger: Mapping[str, str],
    variables: Sequence[Mapping[str, str]] = (),
    revisions: Sequence[Mapping[str, str]] = (),
) -> Document:
    """The data of ExecutionStarted. Raises ValidationException, UnsupportedOperation."""
    return {
        "id": identity,
        "trigger": dict(trigger),
        "variables": _variables(declaration, variables),
        "revisions": _revisions(declaration, revisions),
    }


def trigger_of(context: Context, delivery: Sequence[Event]) -> Document:
    """Who or what started it: somebody, or a rule of EventBridge's whose `delivery` this is."""
    if context.source == "engine" and delivery and "RuleArn" in delivery[0].data:
        return {"triggerType": "CloudWatchEvent", "triggerDetail": delivery[0].data["RuleArn"]}
    return {"triggerType": "StartPipelineExecution", "triggerDetail": context.principal.arn}


def _variables(declaration: Mapping[str, Any], given: Sequence[Mapping[str, str]]) -> Document:
    declared = {variable["name"]: variable.get("defaultValue") for variable in declaration.get("variables", [])}
    values = dict(declared)
    for variable in given:
        if variable["name"] not in declared:
            known = ", ".join(declared) or "none"
            raise ValidationException(
                f"The pipeline '{declaration['name']}' does not declare the variable '{variable['name']}'; it "
                f"declares: {known}."
            )
        values[variable["name"]] = variable["value"]
    missing = sorted(name for name, value in values.items() if value is None)
    if missing:
        raise ValidationException(
            f"The variable{'s' if len(missing) > 1 else ''} {', '.join(missing)} of the pipeline "
            f"'{declaration['name']}' must have a value: there is no default."
        )
    return values


def _revisions(declaration: Mapping[str, Any], given: Sequence[Mapping[str, str]]) -> Document:
    sources = {
        action["name"]: action
        for _, action in actions_of(declaration)
        if action["actionTypeId"]["category"] == "Source"
    }
    found: Document = {}
    for revision in given:
        name, kind = revision["actionName"], revision["revisionType"]
        if name not in sources:
            raise ValidationException(
                f"sourceRevisions: the pipeline '{declaration['name']}' has no source action '{name}'."
            )
        if kind not in REVISIONS:
            raise UnsupportedOperation.member(
                "StartPipelineExecution", f"sourceRevisions.revisionType = {kind}", f"Use {' or '.join(REVISIONS)}."
            )
        provider = sources[name]["actionTypeId"]["provider"]
        if provider not in REVISIONS[kind]:
            raise ValidationException(
                f"sourceRevisions: a revision of type {kind} can't be given to the {provider} action '{name}'."
            )
        configuration = sources[name].get("configuration", {})
        if kind == "S3_OBJECT_KEY" and configuration.get("AllowOverrideForS3ObjectKey") != "true":
            raise ValidationException(
                f"sourceRevisions: the action '{name}' allows no other object key: AllowOverrideForS3ObjectKey is not "
                "true."
            )
        found[name] = {"type": kind, "value": revision["revisionValue"]}
    return found
