"""Changes of sources that start a pipeline without an EventBridge rule: PollForSourceChanges and DetectChanges.

AWS asks its sources every minute; here a source says by itself that it has changed, in the transaction of the change.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from modelwright.codepipeline.declaration import actions_of
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
        if detail.get("referenceType") != "branch" or detail.get("event") == "referenceDeleted":
            return
        place = (detail.get("repositoryName"), detail.get("referenceName"))
        self._changed(
            transaction,
            {
                ("CodeCommit", place),
                ("CodeStarSourceConnection", place),
            },
        )

    def stored(self, transaction: Transaction, detail_type: str, detail: Mapping[str, Any], time: float) -> None:
        """An object in S3 was written."""
        if detail_type == "Object Created":
            place = (detail["bucket"]["name"], detail["object"]["key"])
            self._changed(transaction, {("S3", place)})

    def _changed(self, transaction: Transaction, changed: set[tuple[str, tuple[Any, Any]]]) -> None:
        for pipeline in self._pipelines(transaction):
            for _, action in actions_of(pipeline):
                provider = action["actionTypeId"]["provider"]
                configuration = action.get("configuration", {})
                switch = SWITCHES.get(provider)
                if switch is None or configuration.get(switch) == "false":
                    continue
                if (provider, _place(provider, configuration)) in changed:
                    self._start(transaction, pipeline["name"], action["name"])
                    break

    def _start(self, transaction: Transaction, name: str, action: str) -> None:
        version, state = self.states.at(transaction, name, remember=False)
        if state.deleted or sum(not run.over for run in state.runs.values()) >= lifecycle.MOST_OPEN:
            return
        trigger = {"triggerType": "PollForSourceChanges", "triggerDetail": action}
        try:
            data = new_execution(state.declaration, str(uuid.uuid4()), trigger)
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


def _place(provider: str, configuration: Mapping[str, str]) -> tuple[str | None, str | None]:
    if provider == "S3":
        return configuration.get("S3Bucket"), configuration.get("S3ObjectKey")
    repository = configuration.get("RepositoryName") or configuration.get("FullRepositoryId", "").rpartition("/")[2]
    return repository, configuration.get("BranchName")
