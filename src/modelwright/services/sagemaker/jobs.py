"""What training and processing jobs have in common: they begin with a stream of events, are stopped, and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from modelwright.arns import sagemaker_arn
from modelwright.errors import ResourceInUse, ValidationException
from modelwright.events import sagemaker as changes
from modelwright.services.dispatch import Context, Document
from modelwright.services.sagemaker.base import LEASE_SECONDS, SageMakerService, taken
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event, History
from modelwright.store.resources import delete_resource, find_resource, insert_resource, put_tags, replace_resource

ENDED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class JobKind:
    """How AWS speaks of one kind of job."""

    kind: str
    """`TrainingJob`: the resource's kind, and what its members begin with."""
    slug: str
    """`training-job`: in ARNs and names of streams."""
    noun: str
    """`training job`: in texts."""
    taken: str
    """What is said when the name is taken; the ARN follows."""
    missing: str
    """What is said when there is none; the name takes the place of `{}`."""


class JobService(SageMakerService):
    """A kind of job. The subclass checks what is asked for and says what Describe tells."""

    job: ClassVar[JobKind]

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        events: EventBus,
        check_image: Callable[[str], None],
        known_instance_type: Callable[[str], bool],
    ) -> None:
        """`check_image` raises ValidationException for an image URI that can't be resolved at all."""
        super().__init__(database=database, history=history, now=now, events=events)
        self._check_image = check_image
        self._known_instance_type = known_instance_type

    def arn(self, context: Context, name: str) -> str:
        return sagemaker_arn(context.region, context.account, self.job.slug, name)

    def begin(self, document: Document, tags: Sequence[Document]) -> None:
        """Record a new job and open its stream. Raises ResourceInUse when there is one of this name."""
        name, arn = document[f"{self.job.kind}Name"], document[f"{self.job.kind}Arn"]
        now = document["CreationTime"]
        with self.database.write() as transaction:
            if taken(transaction, self.job.kind, name, arn):
                raise ResourceInUse(f"{self.job.taken} ({arn})")
            insert_resource(transaction, self.job.kind, name, document, created=now, arn=arn, status="InProgress")
            put_tags(transaction, arn, tags)
            self.events.tell(transaction, lambda: self._change(document), now)
            created = [Event("Created", {}, now)]
            self.history.open(transaction, self._stream(name), "Job", created, lease_until=now + LEASE_SECONDS)

    def find(self, transaction: Transaction, name: str, *, lock: bool = False) -> Document:
        """Raises ValidationException when there is none."""
        document = find_resource(transaction, self.job.kind, name, lock=lock)
        if document is None:
            raise ValidationException(self.job.missing.format(name))
        return document

    def request_stop(self, name: str) -> None:
        """Ask a running job to stop; a job that is stopping already is left to it."""
        now = self.now()
        with self.database.write() as transaction:
            document = self.find(transaction, name, lock=True)
            status = document[self._status]
            if status in ENDED:
                raise ValidationException(
                    f"The request was rejected because the {self.job.noun} is in status {status}."
                )
            if status == "InProgress":
                stopping = {**document, self._status: "Stopping", "LastModifiedTime": now}
                replace_resource(transaction, self.job.kind, name, stopping, modified=now, status="Stopping")
                self.events.tell(transaction, lambda: self._change(stopping), now)
                self.history.append(transaction, self._stream(name), [Event("StopRequested", {}, now)])

    def forget(self, name: str) -> None:
        """Delete a job that has ended; its outputs and its log stay. Raises ResourceInUse before."""
        with self.database.write() as transaction:
            document = self.find(transaction, name, lock=True)
            if document[self._status] not in ENDED:
                raise ResourceInUse(
                    f"{self.job.noun.capitalize()} {document[f'{self.job.kind}Arn']} is in status "
                    f"{document[self._status]}: only a job that has ended can be deleted. Stop it first."
                )
            delete_resource(transaction, self.job.kind, name)
            self.history.forget(transaction, self._stream(name))

    def _change(self, document: Document) -> changes.Change:
        training = self.job.kind == "TrainingJob"
        return changes.training_job(document) if training else changes.processing_job(document)

    @property
    def _status(self) -> str:
        return f"{self.job.kind}Status"

    def _stream(self, name: str) -> str:
        return f"{self.job.slug}/{name}"
