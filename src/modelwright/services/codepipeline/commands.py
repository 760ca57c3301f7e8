"""What is done to a pipeline that is there: start, stop, retry, approve, disable and enable transitions.

Each is an event, decided on the newest state and appended in the transaction that has seen it: of two approvals of one
token the first wins, and the second is told so.
"""

from __future__ import annotations

import uuid
from typing import Any

from modelwright.codepipeline.declaration import find_action
from modelwright.errors import AwsError, ValidationException
from modelwright.lifecycles import codepipeline as lifecycle
from modelwright.lifecycles.codepipeline_state import MOST_OPEN, OPEN, Pipeline
from modelwright.services.codepipeline.base import CodePipelineService, no_execution, no_stage
from modelwright.services.codepipeline.starting import execution_id, new_execution, trigger_of
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table
from modelwright.store.codepipelines import EXECUTION
from modelwright.store.database import Transaction
from modelwright.store.resources import find_resource

START_MEMBERS: Table = dict.fromkeys(("name", "variables", "clientRequestToken", "sourceRevisions"), HONOURED)

Facts = list[tuple[str, Document]]


class Commands(CodePipelineService):
    """Start, stop, retry, roll back, approve, transitions."""

    @operation("StartPipelineExecution", members=START_MEMBERS)
    def start(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The same clientRequestToken gives the same execution. A delivery of EventBridge's has its id as the token.

        Raises PipelineNotFoundException, ValidationException, ConcurrentPipelineExecutionsLimitExceededException.
        """
        name = parameters["name"]
        token = parameters.get("clientRequestToken") or str(uuid.uuid4())
        answer: Document = {}

        def decide(transaction: Transaction, state: Pipeline) -> Facts:
            answer["pipelineExecutionId"] = identity = execution_id(state.arn, state.created, token)
            if find_resource(transaction, EXECUTION, identity) is not None:
                return []
            if state.full:
                raise AwsError(
                    f"The pipeline '{name}' has {MOST_OPEN} executions that are not over: wait, or stop one.",
                    code="ConcurrentPipelineExecutionsLimitExceededException",
                )
            data = new_execution(
                state.declaration,
                identity,
                trigger_of(context, self.history.read(transaction, f"delivery/{token}")),
                parameters.get("variables", ()),
                parameters.get("sourceRevisions", ()),
            )
            return [("ExecutionStarted", data)]

        self.command(context, name, decide)
        return answer

    @operation("StopPipelineExecution")
    def stop(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises PipelineExecutionNotStoppableException, DuplicatedStopRequestException."""
        name, identity = parameters["pipelineName"], parameters["pipelineExecutionId"]
        abandon = parameters.get("abandon", False)

        def decide(transaction: Transaction, state: Pipeline) -> Facts:
            run = state.runs.get(identity)
            if run is None or run.over:
                known = find_resource(transaction, EXECUTION, identity)
                why = "is not there" if known is None else f"is over ({known['status']})"
                raise AwsError(
                    f"The execution '{identity}' of the pipeline '{name}' {why}: it can't be stopped.",
                    code="PipelineExecutionNotStoppableException",
                )
            if run.status == "Stopping" and (run.abandon or not abandon):
                raise AwsError(
                    f"The execution '{identity}' of the pipeline '{name}' is being stopped already.",
                    code="DuplicatedStopRequestException",
                )
            reason = parameters.get("reason") or run.reason
            return [("StopRequested", {"id": identity, "abandon": abandon, "reason": reason})]

        self.command(context, name, decide)
        return {"pipelineExecutionId": identity}

    @operation("RetryStageExecution")
    def retry(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises StageNotFoundException, NotLatestPipelineExecutionException, StageNotRetryableException."""
        name, stage = parameters["pipelineName"], parameters["stageName"]
        identity, mode = parameters["pipelineExecutionId"], parameters["retryMode"]

        def decide(_: Transaction, state: Pipeline) -> Facts:
            problem = lifecycle.retry_problem(state, stage, identity, mode)
            if problem == "stage":
                raise no_stage(name, stage)
            if problem == "execution":
                latest = state.stages[stage].latest or "none"
                raise AwsError(
                    f"The latest execution in the stage '{stage}' is {latest}, and not {identity}.",
                    code="NotLatestPipelineExecutionException",
                )
            if problem == "state":
                raise AwsError(
                    f"Unable to retry: the stage '{stage}' is {state.stages[stage].status} in the execution "
                    f"{identity} of version {state.runs[identity].version}. Only a stage that has failed can be "
                    "retried, and only as long as the pipeline has not been updated.",
                    code="StageNotRetryableException",
                )
            return [("RetryRequested", {"id": identity, "stage": stage, "mode": mode})]

        self.command(context, name, decide)
        return {"pipelineExecutionId": identity}

    @operation("RollbackStage")
    def rollback(self, context: Context, parameters: dict[str, Any]) -> Document:
        """An execution of one stage with what another had there.

        Raises StageNotFoundException, PipelineExecutionNotFoundException, UnableToRollbackStageException.
        """
        name, stage = parameters["pipelineName"], parameters["stageName"]
        target, identity = parameters["targetPipelineExecutionId"], str(uuid.uuid4())

        def decide(transaction: Transaction, state: Pipeline) -> Facts:
            if state.stage_index(stage) is None:
                raise no_stage(name, stage)
            known = find_resource(transaction, EXECUTION, target)
            if known is None or known["_pipelineName"] != name:
                raise no_execution(name, target)
            if problem := lifecycle.rollback_problem(state, stage, target):
                raise AwsError(
                    f"Unable to roll back the stage '{stage}': {problem}.", code="UnableToRollbackStageException"
                )
            trigger = {"triggerType": "ManualRollback", "triggerDetail": context.principal.arn}
            back = {"stage": stage, "target": target}
            data = {"id": identity, "trigger": trigger, "variables": {}, "revisions": {}, "rollback": back}
            return [("ExecutionStarted", data)]

        self.command(context, name, decide)
        return {"pipelineExecutionId": identity}

    @operation("PutApprovalResult")
    def approve(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises InvalidApprovalTokenException, ApprovalAlreadyCompletedException and the like."""
        name, now = parameters["pipelineName"], self.now()
        stage, action, token = parameters["stageName"], parameters["actionName"], parameters["token"]

        def decide(_: Transaction, state: Pipeline) -> Facts:
            if state.stage_index(stage) is None:
                raise no_stage(name, stage)
            declared = find_action(state.declaration, stage, action)
            if declared is None:
                raise AwsError(f"The stage '{stage}' has no action '{action}'.", code="ActionNotFoundException")
            if declared["actionTypeId"]["category"] != "Approval":
                raise ValidationException(f"The action '{action}' in the stage '{stage}' is no approval.")
            known = [found for run in state.runs.values() if (found := run.actions.get((stage, action))) is not None]
            asked = next((found for found in known if found.token == token), None)
            if asked is not None and asked.answered:
                raise AwsError(
                    f"The approval '{action}' in the stage '{stage}' has been {asked.answered.lower()} already, by "
                    f"{asked.by}.",
                    code="ApprovalAlreadyCompletedException",
                )
            if asked is None or asked.status not in OPEN or now >= asked.deadline:
                raise AwsError(
                    f"The token '{token}' is not that of an approval '{action}' in the stage '{stage}' that waits for "
                    "an answer: it was answered, has expired, or was never asked for. GetPipelineState tells tokens.",
                    code="InvalidApprovalTokenException",
                )
            given = {
                "action": asked.id,
                "status": parameters["result"]["status"],
                "summary": parameters["result"]["summary"],
                "by": context.principal.arn,
            }
            return [("ApprovalGiven", given)]

        self.command(context, name, decide)
        return {"approvedAt": now}

    @operation("DisableStageTransition")
    def disable(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises PipelineNotFoundException, StageNotFoundException."""
        return self._transition(context, parameters, enabled=False, reason=parameters["reason"])

    @operation("EnableStageTransition")
    def enable(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises PipelineNotFoundException, StageNotFoundException."""
        return self._transition(context, parameters, enabled=True)

    def _transition(self, context: Context, parameters: Document, *, enabled: bool, reason: str = "") -> Document:
        name, stage = parameters["pipelineName"], parameters["stageName"]

        def decide(_: Transaction, state: Pipeline) -> Facts:
            index = state.stage_index(stage)
            if index is None:
                raise no_stage(name, stage)
            if parameters["transitionType"] == "Outbound":
                index += 1
                if index == len(state.declaration["stages"]):
                    raise ValidationException(f"The stage '{stage}' is the last: no transition leads out of it.")
            data = {"stage": state.stage_name(index), "enabled": enabled, "by": context.principal.arn}
            return [("TransitionChanged", {**data, "reason": reason})]

        self.command(context, name, decide)
        return {}
