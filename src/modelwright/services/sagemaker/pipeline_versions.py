"""Versions of a pipeline and their aliases.

Every definition that a pipeline has had is a version, numbered from 1; executions are pinned to one. A version is a
document of its own (kind `PipelineVersion`, name `PIPELINE/NUMBER`) that holds its definition; aliases belong to the
pipeline (`_Aliases`: alias -> number), so that each names one version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelwright.errors import ResourceNotFound, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table
from modelwright.services.sagemaker.base import SageMakerService, answer, list_query, pick, user_context
from modelwright.store.database import Transaction
from modelwright.store.resources import (
    find_by_arn,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

KIND = "PipelineVersion"
PIPELINE = "Pipeline"
MAX_ALIASES = 10

LIST_MEMBERS: Table = dict.fromkeys(
    ("PipelineName", "CreatedAfter", "CreatedBefore", "SortOrder", "NextToken", "MaxResults"), HONOURED
)
UPDATE_MEMBERS: Table = dict.fromkeys(
    (
        "PipelineArn",
        "PipelineVersionId",
        "PipelineVersionDisplayName",
        "PipelineVersionDescription",
        "PipelineVersionAliasOperations",
    ),
    HONOURED,
)


class PipelineVersions(SageMakerService):
    """ListPipelineVersions, UpdatePipelineVersion."""

    @operation("ListPipelineVersions", quick=True, members=LIST_MEMBERS)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceNotFound when there is no such pipeline."""
        with self.database.read() as transaction:
            pipeline = find_pipeline(transaction, parameters["PipelineName"])
            query = list_query(
                KIND,
                parameters,
                parent=pipeline["PipelineName"],
                created_after=parameters.get("CreatedAfter"),
                created_before=parameters.get("CreatedBefore"),
            )
            page = list_resources(transaction, query)
        return answer("PipelineVersionSummaries", page, lambda version: _summary(pipeline, version))

    @operation("UpdatePipelineVersion", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Change a version's name, description and aliases. Raises ResourceNotFound."""
        number, now = parameters["PipelineVersionId"], self.now()
        with self.database.write() as transaction:
            pipeline = find_pipeline(transaction, parameters["PipelineArn"], lock=True)
            version = find_version(transaction, pipeline, number)
            changes = pick(parameters, "PipelineVersionDisplayName", "PipelineVersionDescription")
            _replace(transaction, pipeline, {**version, **changes}, now)
            operations = parameters.get("PipelineVersionAliasOperations", {})
            aliases = _without(pipeline, number, operations.get("Remove", []))
            aliases = with_aliases({**pipeline, "_Aliases": aliases}, number, operations.get("Add", []))
            changed = {
                **pipeline,
                "_Aliases": aliases,
                "LastModifiedTime": now,
                "LastModifiedBy": user_context(context),
            }
            replace_resource(transaction, PIPELINE, pipeline["PipelineName"], changed, modified=now)
        return {"PipelineArn": pipeline["PipelineArn"], "PipelineVersionId": number}


def find_pipeline(transaction: Transaction, name_or_arn: str, *, lock: bool = False) -> Document:
    """The pipeline of this name or ARN; `lock` to change it. Raises ResourceNotFound."""
    name = name_or_arn
    if name_or_arn.startswith("arn:"):
        found = find_by_arn(transaction, name_or_arn)
        name = found[1] if found is not None and found[0] == PIPELINE else name_or_arn.partition(":pipeline/")[2]
    pipeline = find_resource(transaction, PIPELINE, name, lock=lock)
    if pipeline is None:
        raise ResourceNotFound(f"Pipeline '{name_or_arn}' does not exist.")
    return pipeline


def add_version(
    transaction: Transaction, context: Context, pipeline: Document, number: int, definition: str, now: float
) -> None:
    """Record the pipeline's definition as a version, and who wrote it."""
    name = pipeline["PipelineName"]
    version = {
        "PipelineArn": pipeline["PipelineArn"],
        "PipelineVersionId": number,
        "CreationTime": now,
        "_PipelineDefinition": definition,
        "_WrittenBy": list(context.actors),
    }
    insert_resource(transaction, KIND, f"{name}/{number}", version, created=now, parent=name)


def find_version(
    transaction: Transaction, pipeline: Document, number: int | None = None, alias: str | None = None
) -> Document:
    """The version of this number or alias; the latest when neither is given. Raises ResourceNotFound."""
    if number is not None and alias is not None:
        raise ValidationException("Give PipelineVersionId or PipelineVersionAlias, not both.")
    name = pipeline["PipelineName"]
    if alias is not None:
        number = pipeline["_Aliases"].get(alias)
        if number is None:
            raise ResourceNotFound(f"No version of pipeline '{name}' has the alias '{alias}'.")
    number = number or pipeline["_Version"]
    version = find_resource(transaction, KIND, f"{name}/{number}")
    if version is None:
        raise ResourceNotFound(f"Pipeline '{name}' has no version {number}; its latest is {pipeline['_Version']}.")
    return version


def aliases_of(pipeline: Mapping[str, Any], number: int) -> Document:
    """`{"PipelineVersionAliases": [...]}`, or nothing when the version has none."""
    aliases = sorted(alias for alias, version in pipeline["_Aliases"].items() if version == number)
    return {"PipelineVersionAliases": aliases} if aliases else {}


def with_aliases(pipeline: Mapping[str, Any], number: int, added: Sequence[str]) -> dict[str, int]:
    """The pipeline's aliases with some more for a version. Raises ValidationException."""
    aliases: dict[str, int] = dict(pipeline["_Aliases"])
    for alias in added:
        if alias.isdigit():
            raise ValidationException(f"Alias '{alias}' can't consist of numbers only.")
        if aliases.get(alias, number) != number:
            raise ValidationException(
                f"Alias '{alias}' belongs to version {aliases[alias]} of pipeline '{pipeline['PipelineName']}': "
                "remove it there first, with UpdatePipelineVersion."
            )
        aliases[alias] = number
    count = sum(1 for version in aliases.values() if version == number)
    if count > MAX_ALIASES:
        raise ValidationException(f"Version {number} would have {count} aliases; the limit is {MAX_ALIASES}.")
    return aliases


def note_execution(transaction: Transaction, pipeline: Document, version: Document, arn: str, now: float) -> None:
    """Remember the newest execution of a version."""
    _replace(transaction, pipeline, {**version, "LastExecutionPipelineExecutionArn": arn}, now)


def _without(pipeline: Mapping[str, Any], number: int, removed: Sequence[str]) -> dict[str, int]:
    for alias in removed:
        if pipeline["_Aliases"].get(alias) != number:
            raise ValidationException(f"Version {number} has no alias '{alias}'.")
    return {alias: version for alias, version in pipeline["_Aliases"].items() if alias not in removed}


def _replace(transaction: Transaction, pipeline: Document, version: Document, now: float) -> None:
    name = f"{pipeline['PipelineName']}/{version['PipelineVersionId']}"
    replace_resource(transaction, KIND, name, version, modified=now)


def _summary(pipeline: Document, version: Document) -> Document:
    summary = pick(
        version,
        "PipelineArn",
        "PipelineVersionId",
        "CreationTime",
        "PipelineVersionDescription",
        "PipelineVersionDisplayName",
        "LastExecutionPipelineExecutionArn",
    )
    return {**summary, **aliases_of(pipeline, version["PipelineVersionId"])}
