"""What a pipeline is doing and has done: its state, its executions, their actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelwright.errors import AwsError, ValidationException
from modelwright.lifecycles.codepipeline_document import pipeline_state, told_execution
from modelwright.services.codepipeline.base import CodePipelineService, answer, no_execution, paged, public
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table
from modelwright.store.codepipelines import ACTION, EXECUTION
from modelwright.store.database import Transaction
from modelwright.store.resources import Condition, Query, find_resource, list_resources

LIST_MEMBERS: Table = {
    "pipelineName": HONOURED,
    "maxResults": HONOURED,
    "filter": {"succeededInStage": {"stageName": HONOURED}},
    "nextToken": HONOURED,
}
ACTIONS_MEMBERS: Table = {
    "pipelineName": HONOURED,
    "filter": {
        "pipelineExecutionId": HONOURED,
        "latestInPipelineExecution": {"pipelineExecutionId": HONOURED, "startTimeRange": HONOURED},
    },
    "maxResults": HONOURED,
    "nextToken": HONOURED,
}


class Executions(CodePipelineService):
    """GetPipelineState and what belongs to it."""

    @operation("GetPipelineState", members={"name": HONOURED})
    def state_of(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises PipelineNotFoundException."""
        return pipeline_state(self.state(context, parameters["name"]))

    @operation("GetPipelineExecution", quick=True)
    def get(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises PipelineNotFoundException, PipelineExecutionNotFoundException."""
        name, identity = parameters["pipelineName"], parameters["pipelineExecutionId"]
        with self.database.read() as transaction:
            self.check(transaction, context, name)
            found = find_resource(transaction, EXECUTION, identity)
        if found is None or found["_pipelineName"] != name:
            raise no_execution(name, identity)
        return {"pipelineExecution": told_execution(found)}

    @operation("ListPipelineExecutions", members=LIST_MEMBERS)
    def list(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Newest first. Raises PipelineNotFoundException, InvalidNextTokenException."""
        name = parameters["pipelineName"]
        stage = parameters.get("filter", {}).get("succeededInStage", {}).get("stageName")
        conditions = () if stage is None else (Condition(f"_succeeded.{stage.replace('.', '/')}", "exists"),)
        with self.database.read() as transaction:
            pipeline = self.find(transaction, context, name)
            if stage is not None and stage not in [each["name"] for each in pipeline["pipeline"]["stages"]]:
                raise ValidationException(f"filter.succeededInStage: '{name}' has no stage '{stage}'.")
            page = paged(transaction, _query(EXECUTION, name, parameters, conditions))
        return answer("pipelineExecutionSummaries", [public(found) for found in page.documents], page.next_token)

    @operation("ListActionExecutions", members=ACTIONS_MEMBERS)
    def list_actions(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Newest first. Raises PipelineNotFoundException, PipelineExecutionNotFoundException."""
        name, wanted = parameters["pipelineName"], parameters.get("filter", {})
        latest = wanted.get("latestInPipelineExecution", {})
        identity = wanted.get("pipelineExecutionId") or latest.get("pipelineExecutionId")
        conditions = () if identity is None else (Condition("pipelineExecutionId", "equals", identity),)
        with self.database.read() as transaction:
            self.check(transaction, context, name)
            execution = None if identity is None else find_resource(transaction, EXECUTION, identity)
            if identity is not None and (execution is None or execution["_pipelineName"] != name):
                raise no_execution(name, identity)
            if latest.get("startTimeRange") == "Latest":
                return _latest(transaction, name, parameters, conditions)
            page = paged(transaction, _query(ACTION, name, parameters, conditions))
        return answer("actionExecutionDetails", page.documents, page.next_token)


def _query(kind: str, pipeline: str, parameters: Document, conditions: tuple[Condition, ...]) -> Query:
    return Query(
        kind,
        parent=pipeline,
        conditions=conditions,
        limit=parameters.get("maxResults", 100),
        token=parameters.get("nextToken"),
    )


def _latest(
    transaction: Transaction, pipeline: str, parameters: Document, conditions: tuple[Condition, ...]
) -> Document:
    """A page of the last runs of each action: all must be seen to know them, so the token is a position."""
    token = parameters.get("nextToken", "0")
    if not token.isdigit():
        raise AwsError("nextToken is not one of this operation's.", code="InvalidNextTokenException")
    found: dict[tuple[str, str], Document] = {}
    query = Query(ACTION, parent=pipeline, conditions=conditions, limit=500)
    while True:
        page = list_resources(transaction, query)
        for action in page.documents:  # newest first
            found.setdefault((action["stageName"], action["actionName"]), action)
        if page.next_token is None:
            break
        query = replace(query, token=page.next_token)
    end = int(token) + parameters.get("maxResults", 100)
    shown = list(found.values())[int(token) : end]
    return answer("actionExecutionDetails", shown, str(end) if end < len(found) else None)
