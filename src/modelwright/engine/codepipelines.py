"""CodePipeline's pipelines, driven: what `start`, `watch` and `expire` of an action do.

What an action does is its provider's (`engine.actions`, found by category and provider); here is what all of them
have in common: the values of variables, input artifacts, and how what went wrong becomes the action's failure. An
artifact is named by place and ETag: what was approved is what is deployed, whoever may write to the bucket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelwright.codepipeline import variables
from modelwright.codepipeline.declaration import store_of
from modelwright.engine.actions.approvals import Manual
from modelwright.engine.actions.base import Action, ActionFailed, Outcome, Place, Task, Tools, check_tag
from modelwright.engine.actions.builds import Build
from modelwright.engine.actions.sources import S3, CodeCommit, Connection
from modelwright.engine.actions.stacks import Stack
from modelwright.engine.worker import Work
from modelwright.errors import AwsError
from modelwright.lifecycles import codepipeline as lifecycle
from modelwright.lifecycles.codepipeline_state import ActionRun, Pipeline
from modelwright.lifecycles.job import Effect, Fact, internal_error
from modelwright.objects.base import ObjectStore
from modelwright.objects.tags import object_tag
from modelwright.store.codepipelines import PIPELINE, save
from modelwright.store.database import Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event

Actions = Mapping[tuple[str, str], Action]
"""By category and provider."""


def actions(tools: Tools) -> Actions:
    """THE TABLE: which action does what."""
    return {
        ("Source", "S3"): S3(tools),
        ("Source", "CodeCommit"): CodeCommit(tools),
        ("Source", "CodeStarSourceConnection"): Connection(tools),
        ("Build", "CodeBuild"): Build(tools),
        ("Test", "CodeBuild"): Build(tools),
        ("Deploy", "CloudFormation"): Stack(tools),
        ("Approval", "Manual"): Manual(),
    }


class CodePipelines:
    """The driver of streams of kind `CodePipeline`."""

    kind = PIPELINE

    def __init__(self, *, events: EventBus, actions: Actions, objects: ObjectStore | None = None) -> None:
        """Without `objects` nobody looks whether artifacts stay what they were."""
        self._bus = events
        self._actions = actions
        self._objects = objects

    # The state machine

    def begin(self, stream: str) -> Pipeline:
        return Pipeline()

    def apply(self, state: Pipeline, event: Event) -> Pipeline:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Pipeline, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Pipeline) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Pipeline) -> bool:
        """Never: a pipeline of this name may be created again."""
        return False

    def recover(self, stream: str, state: Pipeline) -> None:
        """Nothing is held in memory."""

    def record(self, transaction: Transaction, stream: str, state: Pipeline, events: Sequence[Event]) -> None:
        save(transaction, self._bus, state, events)

    def closed(self, stream: str, state: Pipeline) -> None:
        """Nothing is held in memory."""

    # Effects

    def perform(self, work: Work) -> Sequence[Fact] | None:
        state: Pipeline = work.state
        action = state.action(work.effect.key)
        if action is None:
            return []
        if work.effect.kind == "expire":
            return [_failed(action, "JobFailed", _expired(action))]
        try:
            if work.effect.kind == "start":
                return self._start(work, state, action)
            found = self._provider(action).poll(self._task(work, state, action, action.detail["configuration"]))
            return None if found is None else [self._told(action, found)]
        except variables.Unresolved as error:
            return [_failed(action, "ConfigurationError", str(error))]
        except ActionFailed as error:
            return [_failed(action, error.code, str(error))]
        except AwsError as error:
            if error.status >= 500:
                raise
            return [_failed(action, "JobFailed", f"{error.message} ({error.code})")]

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        state: Pipeline = work.state
        action = state.action(work.effect.key)
        reason = internal_error(f"{work.effect.kind} of the action failed: {type(error).__name__}: {error}")
        return [] if action is None else [_failed(action, "SystemUnavailable", reason)]

    def _start(self, work: Work, state: Pipeline, action: ActionRun) -> Sequence[Fact]:
        known = lifecycle.namespaces(state.runs[action.execution])
        given = action.declaration.get("configuration", {})
        configuration = {key: variables.resolve(value, known) for key, value in given.items()}
        task = self._task(work, state, action, configuration)
        begun = {"configuration": configuration, "inputs": dict(task.inputs)}
        started: Fact = ("ActionStarted", {"action": action.id, "detail": begun})
        try:
            self._check(task)
            found = self._provider(action).start(task)
        except ActionFailed as error:
            return [started, _failed(action, error.code, str(error))]
        except AwsError as error:
            if error.status >= 500:
                raise
            return [started, _failed(action, "JobFailed", f"{error.message} ({error.code})")]
        if found.status == "InProgress":
            return [("ActionStarted", {"action": action.id, "detail": {**begun, **found.detail}})]
        return [started, self._told(action, found)]

    def _told(self, action: ActionRun, found: Outcome) -> Fact:
        data: dict[str, Any] = {"action": action.id, "detail": dict(found.detail)}
        if found.status == "InProgress":
            return ("ActionProgressed", data)
        if "outputs" in found.detail:
            data["detail"]["outputs"] = {name: self._tagged(place) for name, place in found.detail["outputs"].items()}
        return ("ActionEnded", {**data, "status": found.status})

    def _tagged(self, place: Place) -> Place:
        tag = None if self._objects is None else object_tag(self._objects, place["bucket"], place["key"])
        return {**place, "etag": tag} if tag else place

    def _check(self, task: Task) -> None:
        """Whether the input artifacts are still those that were made. Raises ActionFailed."""
        for name, place in task.inputs.items():
            if self._objects is not None and "etag" in place:
                check_tag(name, place, object_tag(self._objects, place["bucket"], place["key"]))

    def _provider(self, action: ActionRun) -> Action:
        identity = action.declaration["actionTypeId"]
        return self._actions[identity["category"], identity["provider"]]

    def _task(self, work: Work, state: Pipeline, action: ActionRun, configuration: Mapping[str, str]) -> Task:
        run = state.runs[action.execution]
        made = lifecycle.artifacts(run)
        names = [artifact["name"] for artifact in action.declaration.get("inputArtifacts", [])]
        missing = [name for name in names if name not in made]
        if missing:
            raise ActionFailed(
                f"There is no artifact '{missing[0]}': the action that makes it has made none in this execution.",
                "ConfigurationError",
            )
        return Task(
            pipeline=state.name,
            account=state.account,
            region=state.region,
            bucket=store_of(state.declaration),
            action=action,
            configuration=configuration,
            inputs={name: made[name] for name in names},
            revision=run.revisions.get(action.name, {}),
            changes_of=work.resume_on,
        )


def _failed(action: ActionRun, code: str, message: str) -> Fact:
    error = {"code": code, "message": message}
    return ("ActionEnded", {"action": action.id, "status": "Failed", "detail": {"error": error}})


def _expired(action: ActionRun) -> str:
    hours = (action.deadline - action.started) / 3600
    waited = f"{hours / 24:g} days" if hours >= 48 else f"{hours:.3g} hours"
    return f"The approval '{action.name}' was not answered within {waited}."
