"""Pipelines: create, update, describe, list, delete. Their executions are pipeline_executions.py's.

The document (kind `Pipeline`) is what DescribePipeline answers, without the definition: definitions are large and lie
in the versions. A definition is parsed before it is stored, so every stored one can be run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import AwsError, ConflictException, UnsupportedOperation, ValidationException
from modelwright.objects.base import ObjectStore
from modelwright.pipelines.definition import Operations, parse
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import SageMakerService, answer, list_query, pick, user_context
from modelwright.services.sagemaker.pipeline_versions import (
    PIPELINE,
    add_version,
    aliases_of,
    find_pipeline,
    find_version,
    with_aliases,
)
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_by_arn,
    find_resource,
    insert_resource,
    list_resources,
    put_tags,
    replace_resource,
)

MAX_DEFINITION = 1048576
"""Bytes of a definition that lies in S3; of one in the request the model says the same of characters."""

_ROLE = recorded("Only its form is checked: steps run with the role that their own arguments name.")
_LOCATION: Table = {
    "Bucket": HONOURED,
    "ObjectKey": HONOURED,
    "VersionId": refused("Leave it out: objects have no versions here; the present content is taken."),
}
CREATE_MEMBERS: Table = {
    "PipelineName": HONOURED,
    "PipelineDisplayName": HONOURED,
    "PipelineDefinition": HONOURED,
    "PipelineDefinitionS3Location": _LOCATION,
    "PipelineDescription": HONOURED,
    "ClientRequestToken": HONOURED,
    "RoleArn": _ROLE,
    "Tags": HONOURED,
    "ParallelismConfiguration": HONOURED,
    "PipelineVersionAliases": HONOURED,
}
UPDATE_MEMBERS: Table = {k: v for k, v in CREATE_MEMBERS.items() if k not in ("ClientRequestToken", "Tags")}
DESCRIBE_MEMBERS: Table = dict.fromkeys(("PipelineName", "PipelineVersionId", "PipelineVersionAlias"), HONOURED)
LIST_MEMBERS: Table = dict.fromkeys(
    (
        "PipelineNamePrefix",
        "CreatedAfter",
        "CreatedBefore",
        "SortBy",
        "SortOrder",
        "NextToken",
        "MaxResults",
        "ManagedBy",
    ),
    HONOURED,
)
DELETE_MEMBERS: Table = dict.fromkeys(("PipelineName", "ClientRequestToken"), HONOURED)


class Pipelines(SageMakerService):
    """CreatePipeline and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        events: EventBus,
        objects: ObjectStore,
        operations: Operations | None = None,
    ) -> None:
        """`operations` tells what the operations behind the steps would refuse of a definition."""
        super().__init__(database=database, history=history, now=now, events=events)
        self._objects = objects
        self._operations = operations

    @operation("CreatePipeline", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException for a definition that can't be parsed, and when the name is taken."""
        name, now = parameters["PipelineName"], self.now()
        request = fingerprint(parameters)
        definition = self._definition("CreatePipeline", parameters)
        if definition is None:
            raise ValidationException("Either PipelineDefinition or PipelineDefinitionS3Location must be provided.")
        arn = sagemaker_arn(context.region, context.account, "pipeline", name)
        document = {
            "PipelineArn": arn,
            "PipelineName": name,
            "PipelineDisplayName": name,
            **pick(parameters, "PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration"),
            "PipelineStatus": "Active",
            "CreationTime": now,
            "LastModifiedTime": now,
            "CreatedBy": user_context(context),
            "LastModifiedBy": user_context(context),
            "_Version": 1,
            "_Aliases": {},
            "_ClientRequestToken": parameters["ClientRequestToken"],
            "_Request": request,
        }
        document["_Aliases"] = with_aliases(document, 1, parameters.get("PipelineVersionAliases", []))
        with self.database.write() as transaction:
            existing = _taken(transaction, name, arn)
            if existing is not None:
                if _same_request(existing, parameters["ClientRequestToken"], request):
                    return {"PipelineArn": existing["PipelineArn"]}
                raise ValidationException(
                    "Pipeline names must be unique within an AWS account and region. "
                    f"Pipeline with name ({existing['PipelineName']}) already exists."
                )
            insert_resource(transaction, PIPELINE, name, document, created=now, arn=arn, status="Active")
            add_version(transaction, context, document, 1, definition, now)
            put_tags(transaction, arn, parameters.get("Tags", []))
        return {"PipelineArn": arn}

    @operation("UpdatePipeline", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """What is not given stays; another definition is a new version. Raises ResourceNotFound."""
        now = self.now()
        definition = self._definition("UpdatePipeline", parameters)
        aliases = parameters.get("PipelineVersionAliases", [])
        with self.database.write() as transaction:
            pipeline = find_pipeline(transaction, parameters["PipelineName"], lock=True)
            changed = {
                **pipeline,
                **pick(parameters, "PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration"),
                "LastModifiedTime": now,
                "LastModifiedBy": user_context(context),
            }
            latest = find_version(transaction, pipeline)["_PipelineDefinition"]
            if definition is not None and definition != latest:
                number = pipeline["_Version"] + 1
                changed |= {"_Version": number, "_Aliases": with_aliases(pipeline, number, aliases)}
                add_version(transaction, context, changed, number, definition, now)
            elif aliases:
                raise ValidationException(
                    "PipelineVersionAliases can be given only when the definition changes. "
                    "Change the aliases of an existing version with UpdatePipelineVersion."
                )
            replace_resource(transaction, PIPELINE, pipeline["PipelineName"], changed, modified=now)
        return {"PipelineArn": changed["PipelineArn"], "PipelineVersionId": changed["_Version"]}

    @operation("DescribePipeline", quick=True, members=DESCRIBE_MEMBERS)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceNotFound for an unknown pipeline, version or alias."""
        with self.database.read() as transaction:
            pipeline = find_pipeline(transaction, parameters["PipelineName"])
            version = find_version(
                transaction, pipeline, parameters.get("PipelineVersionId"), parameters.get("PipelineVersionAlias")
            )
        return {
            **pipeline,
            "PipelineDefinition": version["_PipelineDefinition"],
            **pick(version, "PipelineVersionDisplayName", "PipelineVersionDescription"),
            **aliases_of(pipeline, version["PipelineVersionId"]),
        }

    @operation("ListPipelines", quick=True, members=LIST_MEMBERS)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        if parameters.get("ManagedBy") == "AWS":
            return {"PipelineSummaries": []}
        query = list_query(
            PIPELINE,
            parameters,
            name_prefix=parameters.get("PipelineNamePrefix"),
            created_after=parameters.get("CreatedAfter"),
            created_before=parameters.get("CreatedBefore"),
        )
        with self.database.read() as transaction:
            return answer("PipelineSummaries", list_resources(transaction, query), _summary)

    @operation("DeletePipeline", members=DELETE_MEMBERS)
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Delete a pipeline with its versions and executions. Raises ConflictException while one is running."""
        with self.database.write() as transaction:
            pipeline = find_pipeline(transaction, parameters["PipelineName"], lock=True)
            name = pipeline["PipelineName"]
            executions = _children(transaction, "PipelineExecution", name)
            running = [e for e in executions if e["PipelineExecutionStatus"] in ("Executing", "Stopping")]
            if running:
                raise ConflictException(
                    f"Pipeline '{name}' can't be deleted while {running[0]['PipelineExecutionArn']} is in status "
                    f"{running[0]['PipelineExecutionStatus']}. Stop its executions first, with StopPipelineExecution."
                )
            for execution in executions:
                identity = execution["PipelineExecutionArn"].rpartition("/")[2]
                delete_resource(transaction, "PipelineExecution", identity)
                self.history.forget(transaction, f"execution/{identity}")
            for version in _children(transaction, "PipelineVersion", name):
                delete_resource(transaction, "PipelineVersion", f"{name}/{version['PipelineVersionId']}")
            delete_resource(transaction, PIPELINE, name)
        return {"PipelineArn": pipeline["PipelineArn"]}

    def _definition(self, operation_name: str, parameters: Mapping[str, Any]) -> str | None:
        """The definition's text, parsed for its problems; None when none is given."""
        text = parameters.get("PipelineDefinition")
        location = parameters.get("PipelineDefinitionS3Location")
        if text is not None and location is not None:
            raise ValidationException("Give PipelineDefinition or PipelineDefinitionS3Location, not both.")
        if location is not None:
            text = self._read(location["Bucket"], location["ObjectKey"])
        if text is None:
            return None
        if parse(text, self._operations).mlflow:
            raise UnsupportedOperation.member(
                operation_name,
                "PipelineDefinition.MlflowConfig",
                "Leave it out, and call your MLflow server from a step.",
            )
        return str(text)

    def _read(self, bucket: str, key: str) -> str:
        where = f"PipelineDefinitionS3Location s3://{bucket}/{key}"
        try:
            size = self._objects.head(bucket, key).size
            if size > MAX_DEFINITION:
                raise ValidationException(f"it has {size} bytes; the limit is {MAX_DEFINITION}.")
            return self._objects.read(bucket, key).decode()
        except AwsError as error:
            raise ValidationException(f"{where} can't be read: {error.message}") from error
        except UnicodeDecodeError as error:
            raise ValidationException(f"{where} is not text in UTF-8: {error}.") from error


def fingerprint(parameters: Mapping[str, Any]) -> str:
    """What a repeated request with the same ClientRequestToken must have in common with the first."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()


def _same_request(existing: Document, token: str, request: str) -> bool:
    if existing["_ClientRequestToken"] != token:
        return False
    if existing["_Request"] != request:
        raise ConflictException(f"ClientRequestToken '{token}' was used before with other parameters.")
    return True


def _taken(transaction: Transaction, name: str, arn: str) -> Document | None:
    """The pipeline that has this name, or one whose ARN is the same because ARNs are in lower case."""
    found = find_by_arn(transaction, arn)
    return found[2] if found is not None else find_resource(transaction, PIPELINE, name)


def _children(transaction: Transaction, kind: str, pipeline: str) -> list[Document]:
    documents: list[Document] = []
    token = None
    while True:
        page = list_resources(transaction, Query(kind, parent=pipeline, limit=500, token=token))
        documents += page.documents
        token = page.next_token
        if token is None:
            return documents


def _summary(pipeline: Document) -> Document:
    summary = pick(
        pipeline,
        "PipelineArn",
        "PipelineName",
        "PipelineDisplayName",
        "PipelineDescription",
        "RoleArn",
        "CreationTime",
        "LastModifiedTime",
    )
    if "LastRunTime" in pipeline:
        summary["LastExecutionTime"] = pipeline["LastRunTime"]
    return summary
