"""Which buckets tell EventBridge of new objects, and the event `Object Created` itself.

The configuration lies in the metadata database, objects do not: the event is sent right after the object was written.
The store has noted with the object that it is to be told, so a process that dies between the two leaves it to the next;
an event may come twice then.
Source: "EventBridge event message structure" of S3.
"""

from __future__ import annotations

import threading
import time as clock
import uuid
from collections.abc import Callable
from typing import Any

from modelwright.errors import AwsError
from modelwright.objects.base import ObjectInfo
from modelwright.objects.directory import DirectoryStore
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.s3.parameters import begin
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus
from modelwright.store.resources import Query, delete_resource, insert_resource, list_resources

KIND = "BucketNotification"
SOURCE = "aws.s3"

_ONLY_EVENT_BRIDGE = refused("Use EventBridgeConfiguration, and rules of EventBridge.", [])

MEMBERS: Table = {
    "Bucket": HONOURED,
    "NotificationConfiguration": {
        "TopicConfigurations": _ONLY_EVENT_BRIDGE,
        "QueueConfigurations": _ONLY_EVENT_BRIDGE,
        "LambdaFunctionConfigurations": _ONLY_EVENT_BRIDGE,
        "EventBridgeConfiguration": HONOURED,
    },
    "ExpectedBucketOwner": HONOURED,
    "SkipDestinationValidation": recorded("There is no destination to validate."),
}


class Notifications:
    """PutBucketNotificationConfiguration, GetBucketNotificationConfiguration."""

    def __init__(
        self, *, store: DirectoryStore, database: Database, events: EventBus, now: Callable[[], float], account: str
    ) -> None:
        self._store = store
        self._database = database
        self._events = events
        self._now = now
        self._account = account
        self._lock = threading.Lock()
        self._known: frozenset[tuple[str, float]] | None = None
        """Buckets that tell, by name and creation: one that was made anew does not."""
        store.subscribe(self._is_told, self._stored)

    @operation("PutBucketNotificationConfiguration", members=MEMBERS)
    def put(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Replaces the whole configuration; an empty one turns it off."""
        bucket = self._store.buckets.find(begin(context, "PutBucketNotificationConfiguration", parameters))
        with self._database.write() as transaction:
            delete_resource(transaction, KIND, bucket.name)
            if "EventBridgeConfiguration" in parameters["NotificationConfiguration"]:
                document = {"Bucket": bucket.name, "Created": bucket.created}
                insert_resource(transaction, KIND, bucket.name, document, created=self._now())
            transaction.after_commit(self._forget)
        return {}

    @operation("GetBucketNotificationConfiguration", quick=True)
    def get(self, context: Context, parameters: dict[str, Any]) -> Document:
        bucket = self._store.buckets.find(begin(context, "GetBucketNotificationConfiguration", parameters))
        return {"EventBridgeConfiguration": {}} if (bucket.name, bucket.created) in self._telling() else {}

    def _forget(self) -> None:
        with self._lock:
            self._known = None

    def _telling(self) -> frozenset[tuple[str, float]]:
        with self._lock:  # held while reading: a change that commits meanwhile forgets what is kept afterwards
            if self._known is None:
                with self._database.read() as transaction:
                    found = list_resources(transaction, Query(KIND, limit=100_000)).documents
                self._known = frozenset((each["Bucket"], each["Created"]) for each in found)
            return self._known

    def _is_told(self, bucket: str, key: str) -> bool:
        telling = self._telling()
        if not telling:
            return False
        try:
            found = self._store.buckets.find(bucket)
        except AwsError:
            return False
        return (found.name, found.created) in telling

    def _stored(self, found: ObjectInfo) -> None:
        region = self._store.buckets.find(found.bucket).region
        with self._database.write() as transaction:
            self._events.emit(
                transaction,
                source=SOURCE,
                detail_type="Object Created",
                detail=self._detail(found),
                resources=(f"arn:aws:s3:::{found.bucket}",),
                region=region,
                time=self._now(),
            )

    def _detail(self, found: ObjectInfo) -> Document:
        return {
            "version": "0",
            "bucket": {"name": found.bucket},
            "object": {
                "key": found.key,
                "size": found.size,
                "etag": found.etag,
                "sequencer": f"{clock.time_ns():018X}",
            },
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": self._account,
            "source-ip-address": "127.0.0.1",
            "reason": "CompleteMultipartUpload" if "-" in found.etag else "PutObject",
        }
