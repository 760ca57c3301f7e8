"""Changes of sources that start a pipeline without an EventBridge rule: PollForSourceChanges, DetectChanges, triggers.

AWS asks its sources every minute; here a source says by itself that it has changed, in the transaction of the change.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelwright.codepipeline.triggers import of_action, starts
from modelwright.errors import AwsError
from modelwright.lifecycles import codepipeline as lifecycle
from modelwright.services.codepipeline.base import CodePipelineService
from modelwright.services.codepipeline.starting import new_execution
from modelwright.services.dispatch import Document
from modelwright.store.codepipelines import PIPELINE
from modelwright.store.database import Transaction
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

    def stored(self, transaction: Transaction, detail_type: str, detail: Mapping[str, Any], time: float) -> None:
        """An object in S3 was written."""
        if detail_type != "Object Created":
            return
        place = (detail["bucket"]["name"], detail["object"]["key"])

        def wanted(_: Document, action: Document) -> bool:
            configuration = action["configuration"]
            return (configuration.get("S3Bucket"), configuration.get("S3ObjectKey")) == place

        self._changed(transaction, wanted)

    def _changed(
        self, transaction: Transaction, wanted: Callable[[Document, Document], bool], commit: str | None = None
    ) -> None:
        for pipeline in self._pipelines(transaction):
            for action in pipeline["stages"][0]["actions"]:
                switch = SWITCHES.get(action["actionTypeId"]["provider"])
                triggered = of_action(pipeline, action["name"]) is not None
                on = triggered or (switch is not None and action["configuration"].get(switch) != "false")
                if on and wanted(pipeline, action):
                    self._start(transaction, pipeline["name"], action["name"], commit if triggered else None)
                    break

    def _start(self, transaction: Transaction, name: str, action: str, commit: str | None) -> None:
        version, state = self.states.at(transaction, name, remember=False)
        if state.deleted or sum(not run.over for run in state.runs.values()) >= lifecycle.MOST_OPEN:
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


def _repository(action: Document) -> str | None:
    """The CodeCommit repository that a source action is about."""
    configuration = action["configuration"]
    provider = action["actionTypeId"]["provider"]
    if provider == "CodeCommit":
        return str(configuration["RepositoryName"])
    return str(configuration["FullRepositoryId"]).rpartition("/")[2] if "Star" in provider else None
