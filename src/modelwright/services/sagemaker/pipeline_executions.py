"""Pipeline executions: start, describe, list, and the commands to one that runs: update, stop, retry.

The document (kind `PipelineExecution`, name = execution id, parent = pipeline) is what DescribePipelineExecution
answers; what happened is in the stream `execution/ID`, which `lifecycles.execution` folds and the engine drives. Start
writes both in one transaction; stop and retry append the request and change the status in one transaction. After that
the status members (PipelineExecutionStatus, FailureReason, LastModifiedTime) are the engine's.

SendPipelineExecutionStepSuccess and -Failure belong to Callback steps, which do not run yet.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from modelwright.arns import execution_id
from modelwright.errors import ConflictException, ResourceNotFound, ValidationException
from modelwright.events import sagemaker as changes
from modelwright.lifecycles import execution as lifecycle
from modelwright.pipelines.expressions import text
from modelwright.pipelines.selection import needs_source, select
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table
from modelwright.services.sagemaker.base import (
    LEASE_SECONDS,
    SageMakerService,
    answer,
    list_query,
    pick,
    user_context,
)
from modelwright.services.sagemaker.pipeline_start import START_MEMBERS, Start
from modelwright.services.sagemaker.pipeline_versions import (
    PIPELINE,
    aliases_of,
    find_pipeline,
    find_version,
    note_execution,
)
from modelwright.services.sagemaker.pipelines import fingerprint
from modelwright.store.database import Transaction
from modelwright.store.history import Event
from modelwright.store.resources import (
    Condition,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

KIND = "PipelineExecution"

ARN_MEMBERS: Table = {"PipelineExecutionArn": HONOURED}
PAGE_MEMBERS: Table = dict.fromkeys(("PipelineExecutionArn", "NextToken", "MaxResults"), HONOURED)
STEPS_MEMBERS: Table = {**PAGE_MEMBERS, "SortOrder": HONOURED}
LIST_MEMBERS: Table = dict.fromkeys(
    (
        "PipelineName",
        "CreatedAfter",
        "CreatedBefore",
        "SortBy",
        "SortOrder",
        "NextToken",
        "MaxResults",
        "PipelineVersionAlias",
    ),
    HONOURED,
)
UPDATE_MEMBERS: Table = dict.fromkeys(
    (
        "PipelineExecutionArn",
        "PipelineExecutionDescription",
        "PipelineExecutionDisplayName",
        "ParallelismConfiguration",
    ),
    HONOURED,
)
STOP_MEMBERS: Table = {"PipelineExecutionArn": HONOURED, "ClientRequestToken": HONOURED}
RETRY_MEMBERS: Table = {**STOP_MEMBERS, "ParallelismConfiguration": HONOURED}


class PipelineExecutions(SageMakerService):
    """StartPipelineExecution and what belongs to it."""

    @operation("StartPipelineExecution", members=START_MEMBERS)
    def start(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The same ClientRequestToken gives the same execution. Raises ResourceNotFound, ValidationException."""
        now, token = self.now(), parameters["ClientRequestToken"]
        with self.database.write() as transaction:
            pipeline = find_pipeline(transaction, parameters["PipelineName"], lock=True)
            name = pipeline["PipelineName"]
            identity = execution_id(f"{pipeline['PipelineArn']}/{pipeline['CreationTime']}/{token}".encode())
            existing = find_resource(transaction, KIND, identity)
            if existing is not None:
                return _repeated(existing, token, parameters)
            version = find_version(
                transaction, pipeline, parameters.get("PipelineVersionId"), parameters.get("PipelineVersionAlias")
            )
            start = Start(context, pipeline, version, parameters, identity, now)
            reused = self._reused(transaction, start)
            document, data = start.document(), {**start.data(), **reused}
            insert_resource(
                transaction, KIND, identity, document, created=now, arn=start.arn, parent=name, status="Executing"
            )
            self.events.tell(transaction, lambda: changes.pipeline_execution(document, "Executing", None), now)
            self.history.open(
                transaction,
                _stream(identity),
                "Execution",
                [Event("ExecutionStarted", data, now)],
                lease_until=now + LEASE_SECONDS,
            )
            note_execution(transaction, pipeline, version, start.arn, now)
            ran = {**pipeline, "LastRunTime": now}
            replace_resource(transaction, PIPELINE, name, ran, modified=pipeline["LastModifiedTime"])
        return {"PipelineExecutionArn": start.arn}

    @operation("DescribePipelineExecution", quick=True, members=ARN_MEMBERS)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceNotFound."""
        with self.database.read() as transaction:
            execution = _find(transaction, parameters["PipelineExecutionArn"])
            pipeline = find_pipeline(transaction, execution["_PipelineName"])
        return {**execution, **aliases_of(pipeline, execution["PipelineVersionId"])}

    @operation("ListPipelineExecutions", quick=True, members=LIST_MEMBERS)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ResourceNotFound for an unknown pipeline or alias."""
        sort = parameters.get("SortBy", "CreationTime")
        with self.database.read() as transaction:
            pipeline = find_pipeline(transaction, parameters["PipelineName"])
            conditions: tuple[Condition, ...] = ()
            if "PipelineVersionAlias" in parameters:
                version = find_version(transaction, pipeline, alias=parameters["PipelineVersionAlias"])
                conditions = (Condition("PipelineVersionId", "equals", version["PipelineVersionId"]),)
            query = list_query(
                KIND,
                {**parameters, "SortBy": "Name" if sort == "PipelineExecutionArn" else sort},
                parent=pipeline["PipelineName"],
                created_after=parameters.get("CreatedAfter"),
                created_before=parameters.get("CreatedBefore"),
                conditions=conditions,
            )
            page = list_resources(transaction, query)
        return answer("PipelineExecutionSummaries", page, lambda execution: _summary(pipeline, execution))

    @operation("ListPipelineExecutionSteps", quick=True, members=STEPS_MEMBERS)
    def list_steps(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Newest first, as AWS does it. Raises ResourceNotFound."""
        if "PipelineExecutionArn" not in parameters:
            raise ValidationException("PipelineExecutionArn is missing: say whose steps to list.")
        state = self._state(parameters["PipelineExecutionArn"])
        steps = lifecycle.step_documents(state)
        if parameters.get("SortOrder", "Descending") == "Descending":
            steps.reverse()
        return _page("PipelineExecutionSteps", steps, "StepName", parameters, default=100)

    @operation("ListPipelineParametersForExecution", quick=True, members=PAGE_MEMBERS)
    def list_parameters(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Every parameter with the value it has in this execution, defaults included. Raises ResourceNotFound."""
        state = self._state(parameters["PipelineExecutionArn"])
        values = [{"Name": name, "Value": text(value)} for name, value in state.parameters.items()]
        return _page("PipelineParameters", values, "Name", parameters, default=100)

    @operation("DescribePipelineDefinitionForExecution", quick=True, members=ARN_MEMBERS)
    def describe_definition(self, _: Context, parameters: dict[str, Any]) -> Document:
        """The definition that the execution is pinned to. Raises ResourceNotFound."""
        with self.database.read() as transaction:
            execution = _find(transaction, parameters["PipelineExecutionArn"])
            pipeline = find_pipeline(transaction, execution["_PipelineName"])
            version = find_version(transaction, pipeline, execution["PipelineVersionId"])
        return {"PipelineDefinition": version["_PipelineDefinition"], "CreationTime": pipeline["CreationTime"]}

    @operation("UpdatePipelineExecution", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Change name, description and parallelism; the last also while it runs. Raises ResourceNotFound."""
        arn, now = parameters["PipelineExecutionArn"], self.now()
        with self.database.write() as transaction:
            execution = _find(transaction, arn, lock=True)
            members = ("PipelineExecutionDescription", "PipelineExecutionDisplayName", "ParallelismConfiguration")
            changed = {**execution, **pick(parameters, *members)}
            self._replace(transaction, context, changed, now)
            if "ParallelismConfiguration" in parameters:
                data = pick(parameters["ParallelismConfiguration"], "MaxParallelExecutionSteps")
                self._append(transaction, execution, Event("ParallelismUpdated", data, now))
        return {"PipelineExecutionArn": execution["PipelineExecutionArn"]}

    @operation("StopPipelineExecution", members=STOP_MEMBERS)
    def stop(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Ask a running execution to stop; one that is stopping already is left to it."""
        now = self.now()
        with self.database.write() as transaction:
            execution = _find(transaction, parameters["PipelineExecutionArn"], lock=True)
            status = execution["PipelineExecutionStatus"]
            if status in lifecycle.ENDED:
                raise ValidationException(
                    f"Only pipelines with 'Executing' status can be stopped. The execution is in status {status}."
                )
            if status == "Executing":
                self._replace(transaction, context, {**execution, "PipelineExecutionStatus": "Stopping"}, now)
                self._append(transaction, execution, Event("StopRequested", {}, now))
        return {"PipelineExecutionArn": execution["PipelineExecutionArn"]}

    @operation("RetryPipelineExecution", members=RETRY_MEMBERS)
    def retry(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Run a failed or stopped execution again from the steps that did not succeed, with the same parameters."""
        token, now = parameters["ClientRequestToken"], self.now()
        with self.database.write() as transaction:
            execution = _find(transaction, parameters["PipelineExecutionArn"], lock=True)
            arn = execution["PipelineExecutionArn"]
            if execution.get("_RetryToken") == token:
                return {"PipelineExecutionArn": arn}
            status = execution["PipelineExecutionStatus"]
            if status not in ("Failed", "Stopped"):
                raise ValidationException(
                    "Only pipelines with 'Failed' or 'Stopped' status can be retried. "
                    f"The execution is in status {status}."
                )
            changed = {
                **{member: value for member, value in execution.items() if member != "FailureReason"},
                **pick(parameters, "ParallelismConfiguration"),
                "PipelineExecutionStatus": "Executing",
                "_RetryToken": token,
            }
            self._replace(transaction, context, changed, now)
            data = pick(parameters.get("ParallelismConfiguration", {}), "MaxParallelExecutionSteps")
            self.history.reopen(
                transaction,
                _stream(_identity(arn)),
                [Event("RetryRequested", data, now)],
                lease_until=now + LEASE_SECONDS,
            )
        return {"PipelineExecutionArn": arn}

    def _state(self, arn: str) -> lifecycle.Execution:
        with self.database.read() as transaction:
            _find(transaction, arn)
            return self._fold(transaction, _identity(arn))

    def _fold(self, transaction: Transaction, identity: str) -> lifecycle.Execution:
        events = self.history.read(transaction, _stream(identity))
        return lifecycle.fold((event.kind, event.data, event.time) for event in events)

    def _reused(self, transaction: Transaction, start: Start) -> Document:
        """ExecutionStarted's members of a selective execution: what is chosen, and what the source gives."""
        config = start.parameters.get("SelectiveExecutionConfig")
        if config is None:
            return {}
        chosen = [step["StepName"] for step in config["SelectedSteps"]]
        needed = select(start.definition.graph, chosen)
        source = config.get("SourcePipelineExecutionArn")
        if source is None:
            if needed:
                raise needs_source(chosen, needed)
            return {"SelectedSteps": chosen}
        execution = _find(transaction, source)
        if execution["_PipelineName"] != start.pipeline["PipelineName"]:
            raise ValidationException(f"Invalid SourcePipelineExecutionArn: {source} is not of this pipeline.")
        if execution["PipelineExecutionStatus"] not in lifecycle.ENDED:
            raise ValidationException(f"Invalid SourcePipelineExecutionArn: {source} has not ended yet.")
        runs = self._fold(transaction, _identity(source)).runs
        missing = sorted(name for name in needed if name not in runs or runs[name].status != "Succeeded")
        if missing:
            raise ValidationException(
                f"Invalid SourcePipelineExecutionArn: the selected steps need {', '.join(missing)}, which did not "
                f"succeed in {source}. Select them too, or name another execution."
            )
        reused: dict[str, Document] = {name: {"metadata": dict(runs[name].metadata)} for name in sorted(needed)}
        for name, entry in reused.items():
            if runs[name].outcome is not None:
                entry["outcome"] = runs[name].outcome
        return {"SelectedSteps": chosen, "SourcePipelineExecutionArn": source, "Reused": reused}

    def _append(self, transaction: Transaction, execution: Document, event: Event) -> None:
        self.history.append(transaction, _stream(_identity(execution["PipelineExecutionArn"])), [event])

    def _replace(self, transaction: Transaction, context: Context, execution: Document, now: float) -> None:
        document = {**execution, "LastModifiedTime": now, "LastModifiedBy": user_context(context)}
        identity, status = _identity(execution["PipelineExecutionArn"]), execution["PipelineExecutionStatus"]
        before = find_resource(transaction, KIND, identity) or execution
        replace_resource(transaction, KIND, identity, document, modified=now, status=status)
        previous = before["PipelineExecutionStatus"]
        if previous != status:
            self.events.tell(transaction, lambda: changes.pipeline_execution(document, status, previous), now)


def _repeated(existing: Document, token: str, parameters: Mapping[str, Any]) -> Document:
    if existing["_Request"] != fingerprint(parameters):
        raise ConflictException(f"ClientRequestToken '{token}' was used before with other parameters.")
    return {"PipelineExecutionArn": existing["PipelineExecutionArn"]}


def _stream(identity: str) -> str:
    return f"execution/{identity}"


def _identity(arn: str) -> str:
    return arn.rpartition("/execution/")[2]


def _find(transaction: Transaction, arn: str, *, lock: bool = False) -> Document:
    execution = find_resource(transaction, KIND, _identity(arn), lock=lock)
    if execution is None or execution["PipelineExecutionArn"].lower() != arn.lower():
        raise ResourceNotFound(f"Pipeline execution '{arn}' does not exist.")
    return execution


def _summary(pipeline: Document, execution: Document) -> Document:
    summary = pick(
        execution,
        "PipelineExecutionArn",
        "PipelineExecutionStatus",
        "PipelineExecutionDescription",
        "PipelineExecutionDisplayName",
    )
    summary["StartTime"] = execution["CreationTime"]
    if "FailureReason" in execution:
        summary["PipelineExecutionFailureReason"] = execution["FailureReason"]
    return {**summary, **aliases_of(pipeline, execution["PipelineVersionId"])}


def _page(member: str, items: Sequence[Document], key: str, parameters: Mapping[str, Any], *, default: int) -> Document:
    """One page of what is small enough to be at hand whole. The token names the last item, not its position: steps
    that begin meanwhile shift positions."""
    start = 0
    if "NextToken" in parameters:
        last = _open_token(parameters["NextToken"])
        positions = [index for index, item in enumerate(items) if item[key] == last]
        if not positions:
            raise ValidationException(
                "NextToken is not valid for this request: pass on the token of its previous page."
            )
        start = positions[0] + 1
    limit = parameters.get("MaxResults", default)
    page = items[start : start + limit]
    result: Document = {member: list(page)}
    if start + limit < len(items):
        result["NextToken"] = base64.urlsafe_b64encode(json.dumps(page[-1][key]).encode()).decode()
    return result


def _open_token(token: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        return None
