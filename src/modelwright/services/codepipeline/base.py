"""What CodePipeline's operations have in common: collaborators, errors, commands, pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelwright.errors import AwsError, StaleVersion, ValidationException
from modelwright.lifecycles import codepipeline as lifecycle
from modelwright.lifecycles.codepipeline_state import Pipeline
from modelwright.services.codepipeline.states import States
from modelwright.services.dispatch import Context, Document
from modelwright.store.codepipelines import PIPELINE, save, stream_of
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event, History
from modelwright.store.resources import Page, Query, find_resource, list_resources

LEASE_SECONDS = 60.0
ATTEMPTS = 20
"""How often a command decides again because somebody else appended first."""

Decision = Callable[[Transaction, Pipeline], Sequence[tuple[str, Document]]]
"""What a command appends, given the state: (kind, data) of each event. Raises AwsError."""


class CodePipelineService:
    """A group of CodePipeline's operations."""

    def __init__(
        self, *, database: Database, history: History, now: Callable[[], float], events: EventBus, states: States
    ) -> None:
        self.database = database
        self.history = history
        self.now = now
        self.events = events
        self.states = states

    def state(self, context: Context, name: str) -> Pipeline:
        """Raises PipelineNotFoundException."""
        with self.database.read() as transaction:
            return self.states.at(transaction, self.check(transaction, context, name))[1]

    def check(self, transaction: Transaction, context: Context, name: str) -> str:
        """The name. Raises PipelineNotFoundException."""
        self.find(transaction, context, name)
        return name

    def find(self, transaction: Transaction, context: Context, name: str, *, lock: bool = False) -> Document:
        """The pipeline's document. Raises PipelineNotFoundException."""
        found = find_resource(transaction, PIPELINE, name, lock=lock)
        if found is None:
            raise no_pipeline(context, name)
        return found

    def command(self, context: Context, name: str, decide: Decision) -> None:
        """Decide on the newest state, append and write down what follows, all in one transaction."""
        for _ in range(ATTEMPTS):
            try:
                with self.database.write() as transaction:
                    self.find(transaction, context, name, lock=True)
                    version, state = self.states.at(transaction, name)
                    self.append(transaction, version, state, decide(transaction, state))
                return
            except StaleVersion:
                continue
        raise AwsError(
            f"The pipeline '{name}' is changing too quickly. Try again.", code="ConcurrentModificationException"
        )

    def append(
        self, transaction: Transaction, version: int, state: Pipeline, facts: Sequence[tuple[str, Document]]
    ) -> Pipeline:
        """The state after the facts. Raises StaleVersion."""
        now = self.now()
        events = [Event(kind, data, now) for kind, data in facts]
        if events:
            for event in events:
                state = lifecycle.apply(state, event.kind, event.data, now)
            self.history.append(transaction, stream_of(state.name), events, expected=version)
            save(transaction, self.events, state, events)
        return state


def no_pipeline(context: Context, name: str) -> AwsError:
    return AwsError(
        f"Account '{context.account}' does not have a pipeline with name '{name}'", code="PipelineNotFoundException"
    )


def no_execution(pipeline: str, execution: str) -> AwsError:
    return AwsError(
        f"The pipeline '{pipeline}' has no execution '{execution}'.", code="PipelineExecutionNotFoundException"
    )


def no_stage(pipeline: str, stage: str) -> AwsError:
    return AwsError(f"The pipeline '{pipeline}' has no stage '{stage}'.", code="StageNotFoundException")


def paged(transaction: Transaction, query: Query) -> Page:
    """Raises InvalidNextTokenException."""
    try:
        return list_resources(transaction, query)
    except ValidationException as error:
        raise AwsError(error.message.replace("NextToken", "nextToken"), code="InvalidNextTokenException") from error


def answer(member: str, items: list[Any], token: str | None) -> Document:
    """A List operation's result."""
    return {member: items, **({} if token is None else {"nextToken": token})}


def public(document: Document) -> Document:
    """Less what is ours."""
    return {member: value for member, value in document.items() if not member.startswith("_")}
