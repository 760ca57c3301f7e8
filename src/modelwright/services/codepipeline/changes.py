"""Changes of sources that start a pipeline without an EventBridge rule: PollForSourceChanges, DetectChanges, triggers.

AWS asks its sources every minute; here a source says by itself that it has changed, in the transaction of the change.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelwright.codepipeline.triggers import of_action, starts
from modelwright.errors import AwsError
from modelwright.objects.base import ObjectInfo
from modelwright.services.codepipeline.base import CodePipelineService
from modelwright.services.codepipeline.starting import new_execution
from modelwright.services.codepipeline.states import States
from modelwright.services.dispatch import Document
from modelwright.store.codepipelines import PIPELINE
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import Query, list_resources

_log = logging.getLogger(__name__)

SWITCHES = {
    "CodeCommit": "PollForSourceChanges",
    "CodeStarSourceConnection": "DetectChanges",
    "S3": "PollForSourceChanges",
}
"""By provider, what turns it off; it is on where nothing is said."""


class Changes(CodePipelineService):
    """Starts the pipelines whose source has changed."""

    def __init__(
        self, *, database: Database, history: History, now: Callable[[], float], events: EventBus, states: States
    ) -> None:
        super().__init__(database=database, history=history, now=now, events=events, states=states)
        self._lock = threading.Lock()
        self._known: frozenset[tuple[str, str]] | None = None
        self._generation = 0

    def pushed(self, transaction: Transaction, _: str, detail: Mapping[str, Any], time: float) -> None:
        """A reference of a CodeCommit repository was changed."""
        kind, name, repository = (detail.get(key) for key in ("referenceType", "referenceName", "repositoryName"))
        if kind not in ("branch", "tag") or detail.get("event") == "referenceDeleted":
            return

        def wanted(pipeline: Document, action: Document) -> bool:
            if _repository(action) != repository:
                return False
            trigger = of_action(pipeline, action["name"])
            if trigger is not None and "push" in trigger:
                return starts(trigger, str(kind), str(name))
            return kind == "branch" and str(action["configuration"]["BranchName"]) == name

        self._changed(transaction, wanted, detail.get("commitId"))

    def is_source(self, bucket: str, key: str) -> bool:
        """Whether an object in S3 is a source."""
        return (bucket, key) in self._objects()

    def stored(self, found: ObjectInfo) -> None:
        """Such an object was written. Nobody who writes one may hold a transaction."""
        place = (found.bucket, found.key)
        with self.database.write() as transaction:
            self._changed(transaction, lambda _, action: _object(action) == place)

    def forget(self) -> None:
        """There is a new pipeline, or one has changed."""
        with self._lock:
            self._known = None
            self._generation += 1

    def _objects(self) -> frozenset[tuple[str, str]]:
        """The objects that are sources: asked for with every write to S3, so they are kept."""
        with self._lock:
            known, generation = self._known, self._generation
        if known is None:
            with self.database.read() as transaction:
                places = [_object(action) for each in self._pipelines(transaction) for action in _sources(each)]
            known = frozenset(place for place in places if place is not None)
            with self._lock:
                if self._generation == generation:  # else what was read may be older than the change
                    self._known = known
        return known

    def _changed(
        self, transaction: Transaction, wanted: Callable[[Document, Document], bool], commit: str | None = None
    ) -> None:
        for pipeline in self._pipelines(transaction):
            for action in _sources(pipeline):
                switch = SWITCHES.get(action["actionTypeId"]["provider"])
                triggered = of_action(pipeline, action["name"]) is not None
                on = triggered or (switch is not None and action["configuration"].get(switch) != "false")
                if on and wanted(pipeline, action):
                    self._start(transaction, pipeline["name"], action["name"], commit if triggered else None)
                    break

    def _start(self, transaction: Transaction, name: str, action: str, commit: str | None) -> None:
        version, state = self.states.at(transaction, name, remember=False)
        if state.deleted or state.full:
            return
        trigger = {"triggerType": "PollForSourceChanges", "triggerDetail": action}
        revisions = []
        if commit is not None:
            trigger["triggerType"] = "WebhookV2"
            revisions = [{"actionName": action, "revisionType": "COMMIT_ID", "revisionValue": commit}]
        try:
            data = new_execution(state.declaration, str(uuid.uuid4()), trigger, revisions=revisions)
        except AwsError as error:
            _log.warning("a change of %s could not start the pipeline %s: %s", action, name, error.message)
            return
        self.append(transaction, version, state, [("ExecutionStarted", data)])

    def _pipelines(self, transaction: Transaction) -> Iterator[Document]:
        token: str | None = None
        while True:
            page = list_resources(transaction, Query(PIPELINE, limit=500, token=token))
            yield from (document["pipeline"] for document in page.documents)
            token = page.next_token
            if token is None:
                return


def _sources(pipeline: Document) -> list[Document]:
    found: list[Document] = pipeline["stages"][0]["actions"]
    return found


def _object(action: Document) -> tuple[str, str] | None:
    """The object that a source action is about."""
    if action["actionTypeId"]["provider"] != "S3":
        return None
    configuration = action["configuration"]
    return configuration["S3Bucket"], configuration["S3ObjectKey"]


def _repository(action: Document) -> str | None:
    """The CodeCommit repository that a source action is about."""
    configuration = action["configuration"]
    provider = action["actionTypeId"]["provider"]
    if provider == "CodeCommit":
        return str(configuration["RepositoryName"])
    return str(configuration["FullRepositoryId"]).rpartition("/")[2] if "Star" in provider else None
