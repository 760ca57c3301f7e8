"""Pipelines and their tags: create, update, get, list, delete.

Whoever creates a pipeline starts it too, as on AWS. Each version of the declaration is kept. An update ends what is
not over (its executions are Cancelled) and starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from modelwright.arns import Arn
from modelwright.codepipeline.declaration import actions_of, check
from modelwright.codepipeline.triggers import of_action
from modelwright.errors import AwsError, StaleVersion, UnsupportedOperation, ValidationException
from modelwright.lifecycles.codepipeline_state import Pipeline
from modelwright.services.codepipeline.base import (
    LEASE_SECONDS,
    CodePipelineService,
    answer,
    paged,
)
from modelwright.services.codepipeline.starting import execution_id, new_execution
from modelwright.services.codepipeline.states import States
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.store.codepipelines import PIPELINE, forget, stream_of
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event, History
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_by_arn,
    find_resource,
    get_tags,
    insert_resource,
    list_resources,
    put_tags,
    remove_tags,
    replace_resource,
)

VERSION = "CodePipelineVersion"

_CONDITIONS = refused("Leave it out: conditions of stages are not supported; put a CodeBuild action into the stage.")
_ROLE = recorded("Actions run as the platform: roles are not assumed here.")
_KEY = recorded("Artifacts lie on this machine's own disk: there are no KMS keys.")
_STORE: Table = {
    "type": HONOURED,
    "location": HONOURED,
    "encryptionKey": {"id": _KEY, "type": _KEY},
}
DECLARATION: Table = {
    "name": HONOURED,
    "roleArn": _ROLE,
    "artifactStore": _STORE,
    "artifactStores": HONOURED,
    "stages": {
        "name": HONOURED,
        "blockers": refused("Leave it out: AWS has reserved it.", []),
        "actions": {
            "name": HONOURED,
            "actionTypeId": HONOURED,
            "runOrder": HONOURED,
            "configuration": HONOURED,
            "commands": refused("The Commands action is not supported: use CodeBuild.", []),
            "outputArtifacts": {"name": HONOURED, "files": refused("The Commands action is not supported.", [])},
            "inputArtifacts": HONOURED,
            "outputVariables": refused("The Commands action is not supported: use CodeBuild.", []),
            "roleArn": _ROLE,
            "region": HONOURED,
            "namespace": HONOURED,
            "timeoutInMinutes": HONOURED,
            "environmentVariables": refused("The Commands action is not supported: use CodeBuild.", []),
        },
        "onFailure": _CONDITIONS,
        "onSuccess": _CONDITIONS,
        "beforeEntry": _CONDITIONS,
    },
    "version": recorded("A pipeline is created as version 1, and each update adds 1."),
    "executionMode": HONOURED,
    "pipelineType": HONOURED,
    "variables": HONOURED,
    "triggers": {
        "providerType": HONOURED,
        "gitConfiguration": {
            "sourceActionName": HONOURED,
            "push": {
                "tags": HONOURED,
                "branches": HONOURED,
                "filePaths": refused("Leave it out: pushes can be filtered by branches and tags only."),
            },
            "pullRequest": refused("Leave it out: repositories here have no pull requests."),
        },
    },
}
CREATE_MEMBERS: Table = {"pipeline": DECLARATION, "tags": HONOURED}
UPDATE_MEMBERS: Table = {"pipeline": DECLARATION}


class Pipelines(CodePipelineService):
    """CreatePipeline and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        events: EventBus,
        states: States,
        sources_changed: Callable[[], None],
        remotes: Collection[str] = (),
    ) -> None:
        super().__init__(database=database, history=history, now=now, events=events, states=states)
        self._sources_changed = sources_changed
        self._remotes = remotes

    @operation("CreatePipeline", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises PipelineNameInUseException, InvalidStructureException and the like."""
        declaration = self._declaration(context, parameters["pipeline"], 1)
        name, now, tags = declaration["name"], self.now(), parameters.get("tags", [])
        arn = str(Arn("codepipeline", context.region, context.account, name))
        with self.database.write() as transaction:
            if find_resource(transaction, PIPELINE, name) is not None:
                raise AwsError(
                    f"A pipeline with the name '{name}' already exists in account '{context.account}'",
                    code="PipelineNameInUseException",
                )
            document = {"pipeline": declaration, "created": now, "updated": now, "_arn": arn}
            insert_resource(transaction, PIPELINE, name, document, created=now, arn=arn)
            self._keep(transaction, declaration, now)
            _put_tags(transaction, arn, tags)
            made = {"Pipeline": declaration, "Arn": arn, "Account": context.account, "Region": context.region}
            version, state = self._open(transaction, name, now)
            facts = [("PipelineCreated", made)]
            if all("defaultValue" in variable for variable in declaration.get("variables", [])):
                trigger = {"triggerType": "CreatePipeline", "triggerDetail": context.principal.arn}
                identity = execution_id(arn, now, "creation")
                facts.append(("ExecutionStarted", new_execution(declaration, identity, trigger)))
            self.append(transaction, version, Pipeline(name=name, count=state.count), facts)
        return {"pipeline": declaration, **({"tags": tags} if tags else {})}

    @operation("UpdatePipeline", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """A new version. What is not over is cancelled. Raises PipelineNotFoundException, and what Create raises."""
        name = parameters["pipeline"]["name"]
        declaration: Document = {}

        def decide(transaction: Transaction, state: Pipeline) -> list[tuple[str, Document]]:
            now = self.now()
            document = self.find(transaction, context, name)
            declaration.update(self._declaration(context, parameters["pipeline"], state.version + 1))
            changed = {**document, "pipeline": declaration, "updated": now}
            replace_resource(transaction, PIPELINE, name, changed, modified=now)
            self._keep(transaction, declaration, now)
            return [("PipelineUpdated", {"Pipeline": dict(declaration)})]

        self.command(context, name, decide)
        return {"pipeline": declaration}

    @operation("GetPipeline", quick=True, members={"name": HONOURED, "version": HONOURED})
    def get(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises PipelineNotFoundException, PipelineVersionNotFoundException."""
        name = parameters["name"]
        with self.database.read() as transaction:
            document = self.find(transaction, context, name)
            version = parameters.get("version", document["pipeline"]["version"])
            kept = find_resource(transaction, VERSION, f"{name}/{version}")
        if kept is None:
            raise AwsError(
                f"The pipeline '{name}' has no version {version}; its latest is {document['pipeline']['version']}.",
                code="PipelineVersionNotFoundException",
            )
        return {
            "pipeline": kept["pipeline"],
            "metadata": {
                "pipelineArn": document["_arn"],
                "created": document["created"],
                "updated": document["updated"],
            },
        }

    @operation("ListPipelines", members={"nextToken": HONOURED, "maxResults": HONOURED})
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """By name. Raises InvalidNextTokenException."""
        query = Query(
            PIPELINE,
            sort="name",
            descending=False,
            limit=parameters.get("maxResults", 1000),
            token=parameters.get("nextToken"),
        )
        with self.database.read() as transaction:
            page = paged(transaction, query)
        return answer("pipelines", [_summary(document) for document in page.documents], page.next_token)

    @operation("DeletePipeline")
    def delete(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Its executions are forgotten; what their actions have begun elsewhere goes on. No pipeline: no error."""
        name = parameters["name"]
        with self.database.write() as transaction:
            if not delete_resource(transaction, PIPELINE, name):
                return {}
            forget(transaction, name)
            transaction.after_commit(self._sources_changed)
            while found := list_resources(transaction, Query(VERSION, parent=name, limit=500)).documents:
                for kept in found:
                    delete_resource(transaction, VERSION, f"{name}/{kept['pipeline']['version']}")
            self.history.append(transaction, stream_of(name), [Event("PipelineDeleted", {}, self.now())])
        return {}

    @operation("ListTagsForResource", members=dict.fromkeys(("resourceArn", "nextToken", "maxResults"), HONOURED))
    def list_tags(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceNotFoundException, InvalidNextTokenException."""
        arn, token = parameters["resourceArn"], parameters.get("nextToken", "0")
        if not token.isdigit():
            raise AwsError("nextToken is not one of this operation's.", code="InvalidNextTokenException")
        with self.database.read() as transaction:
            _check_arn(transaction, arn)
            tags = [{"key": tag["Key"], "value": tag["Value"]} for tag in get_tags(transaction, arn)]
        end = int(token) + parameters.get("maxResults", 100)
        return answer("tags", tags[int(token) : end], str(end) if end < len(tags) else None)

    @operation("TagResource")
    def tag(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceNotFoundException, InvalidTagsException, TooManyTagsException."""
        with self.database.write() as transaction:
            _check_arn(transaction, parameters["resourceArn"])
            _put_tags(transaction, parameters["resourceArn"], parameters["tags"])
        return {}

    @operation("UntagResource")
    def untag(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceNotFoundException."""
        with self.database.write() as transaction:
            _check_arn(transaction, parameters["resourceArn"])
            remove_tags(transaction, parameters["resourceArn"], parameters["tagKeys"])
        return {}

    def _open(self, transaction: Transaction, name: str, now: float) -> tuple[int, Pipeline]:
        """The stream of this name, which an earlier pipeline may have had."""
        version, state = self.states.at(transaction, name)
        if version == 0:
            try:
                self.history.open(transaction, stream_of(name), PIPELINE, [], lease_until=now + LEASE_SECONDS)
            except StaleVersion as error:
                raise AwsError(
                    f"A pipeline '{name}' is being created by somebody else.", code="PipelineNameInUseException"
                ) from error
        return version, state

    def _declaration(self, context: Context, given: Mapping[str, Any], version: int) -> Document:
        """What was given, checked, with AWS's defaults in it."""
        check(given, context.region)
        for _, action in actions_of(given):
            configuration = action.get("configuration", {})
            if configuration.get("FullRepositoryId") not in self._remotes:
                continue
            if configuration.get("DetectChanges") != "false" or of_action(given, action["name"]) is not None:
                raise UnsupportedOperation.member(
                    "CreatePipeline",
                    f"DetectChanges or triggers of the action '{action['name']}'",
                    "Say DetectChanges: false, leave triggers out, and start the pipeline yourself: "
                    f"{configuration['FullRepositoryId']} is elsewhere, and nobody tells of its changes.",
                )
        stages = [{**stage, "actions": [_action(action) for action in stage["actions"]]} for stage in given["stages"]]
        return {
            **given,
            "stages": stages,
            "version": version,
            "pipelineType": given.get("pipelineType", "V1"),
            "executionMode": given.get("executionMode", "SUPERSEDED"),
        }

    def _keep(self, transaction: Transaction, declaration: Mapping[str, Any], now: float) -> None:
        name, version = declaration["name"], declaration["version"]
        transaction.after_commit(self._sources_changed)
        document = {"pipeline": dict(declaration)}
        insert_resource(transaction, VERSION, f"{name}/{version}", document, created=now, parent=name)


def _action(given: Mapping[str, Any]) -> Document:
    return {"runOrder": 1, "inputArtifacts": [], "outputArtifacts": [], **given}


def _summary(document: Mapping[str, Any]) -> Document:
    declaration = document["pipeline"]
    members = ("name", "version", "pipelineType", "executionMode")
    return {
        **{member: declaration[member] for member in members},
        "created": document["created"],
        "updated": document["updated"],
    }


def _check_arn(transaction: Transaction, arn: str) -> None:
    found = find_by_arn(transaction, arn)
    if found is None or found[0] != PIPELINE:
        raise AwsError(f"There is no pipeline with the ARN '{arn}'.", code="ResourceNotFoundException")


def _put_tags(transaction: Transaction, arn: str, tags: list[Document]) -> None:
    reserved = [tag["key"] for tag in tags if tag["key"].lower().startswith("aws:")]
    if reserved:
        raise AwsError(f"Tag key '{reserved[0]}': the prefix aws: is reserved.", code="InvalidTagsException")
    try:
        put_tags(transaction, arn, [{"Key": tag["key"], "Value": tag["value"]} for tag in tags])
    except ValidationException as error:
        code = "TooManyTagsException" if "limit" in error.message else "InvalidTagsException"
        raise AwsError(error.message, code=code) from error
