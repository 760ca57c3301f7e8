"""Where CodePipeline's executions and actions are written down, by whoever appended to the pipeline's stream.

The stream is what happened; these documents are what Get and List answer. A service's command and the engine's turn
both change them, each in the transaction of its events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelwright.lifecycles.codepipeline_document import SOURCE, action_document, events_of, execution_document
from modelwright.lifecycles.codepipeline_state import ActionRun, Pipeline, Run
from modelwright.store.database import Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

PIPELINE, EXECUTION, ACTION = "CodePipeline", "CodePipelineExecution", "CodePipelineActionExecution"


def stream_of(pipeline: str) -> str:
    """The event stream of a pipeline."""
    return f"codepipeline/{pipeline}"


def save(transaction: Transaction, bus: EventBus, state: Pipeline, events: Sequence[Event]) -> None:
    """Bring the documents up to these new events, and tell EventBridge; `state` is the one after them."""
    if state.deleted:
        return
    for event in events:
        for detail_type, detail in events_of(state, event.kind, event.data):
            bus.emit(
                transaction,
                source=SOURCE,
                detail_type=detail_type,
                detail=detail,
                resources=[state.arn],
                region=state.region,
                time=event.time,
            )
    since = min(event.time for event in events)
    for run in state.runs.values():
        if run.changed >= since:
            _put(transaction, EXECUTION, run.id, execution_document(state, run), state.name, run)
            for action in run.actions.values():
                if action.changed >= since:
                    document = action_document(state, action, run.version)
                    _put(transaction, ACTION, action.id, document, state.name, action)


def forget(transaction: Transaction, pipeline: str) -> None:
    """Delete what is known of a pipeline's executions."""
    for kind, member in ((EXECUTION, "pipelineExecutionId"), (ACTION, "actionExecutionId")):
        while documents := list_resources(transaction, Query(kind, parent=pipeline, limit=500)).documents:
            for document in documents:
                delete_resource(transaction, kind, document[member])


def _put(
    transaction: Transaction, kind: str, name: str, document: dict[str, Any], pipeline: str, about: Run | ActionRun
) -> None:
    status = document["status"]
    if find_resource(transaction, kind, name) is None:
        insert_resource(transaction, kind, name, document, created=about.started, parent=pipeline, status=status)
    else:
        replace_resource(transaction, kind, name, document, modified=about.changed, status=status)
