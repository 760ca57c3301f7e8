"""Data capture: what endpoints were asked and what they answered, as JSON lines in S3.

    s3://BUCKET/PREFIX/ENDPOINT/VARIANT/yyyy/mm/dd/hh/mm-ss-mmm-UUID.jsonl

A request hands over its bytes as they are; a thread makes lines of them and writes a file for each variant every few
seconds, and what is left at the end. What a killed server had not written yet is lost. Capturing never holds up a
request: where writing can't keep up, what exceeds `MOST` is dropped, and the endpoint's log says how much.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from modelwright.errors import AwsError
from modelwright.lifecycles.capture import Capturing
from modelwright.objects.base import ObjectStore
from modelwright.serving.client import Bytes
from modelwright.store.database import Database
from modelwright.store.logs import put_log_events

_log = logging.getLogger(__name__)

DELAY = 2.0
"""Seconds that captured data gathers."""
MOST = 256 << 20
"""Bytes that may wait."""
FILE = 32 << 20
"""Bytes after which another file is begun."""
LOG_GROUP = "/aws/sagemaker/Endpoints"
LOG_STREAM = "data-capture"


@dataclass(frozen=True)
class Captured:
    """One invocation."""

    endpoint: str
    variant: str
    settings: Capturing
    asked: Mapping[str, str]
    """The request's headers, as the container got them."""
    body: bytes
    answered: Mapping[str, str]
    """The answer's headers, by names in lower case."""
    answer: Bytes
    time: float
    inference: str = ""
    """The InferenceId of the request."""


class Capture:
    """Takes invocations from the event loop."""

    def __init__(
        self, objects: ObjectStore, database: Database, now: Callable[[], float], delay: float = DELAY
    ) -> None:
        self._objects = objects
        self._database = database
        self._now = now
        self._delay = delay
        self._lock = threading.Condition()
        self._writing = threading.Lock()
        self._waiting: list[Captured] = []
        self._size = 0
        self._dropped: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._random = random.Random()

    def wants(self, settings: Capturing) -> bool:
        """Whether this invocation is one of those that are captured."""
        return settings.percentage >= 100 or self._random.random() * 100 < settings.percentage

    def add(self, one: Captured) -> None:
        """Keep it for the next file."""
        size = len(one.body) + len(one.answer)
        with self._lock:
            if self._size + size > MOST:
                self._dropped[one.endpoint] = self._dropped.get(one.endpoint, 0) + 1
            else:
                self._waiting.append(one)
                self._size += size
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
                self._thread.start()
            self._lock.notify()

    def flush(self) -> None:
        """All that was captured so far is in S3, or its endpoint's log says why not."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                dropped, self._dropped = self._dropped, {}
            for endpoint, count in dropped.items():
                self._say(endpoint, f"{count} invocations were not captured: more came than could be written.")
            variants: dict[tuple[str, str, Capturing], list[Captured]] = {}
            for one in waiting:
                variants.setdefault((one.endpoint, one.variant, one.settings), []).append(one)
            for (endpoint, variant, settings), several in variants.items():
                self._write(endpoint, variant, settings, several)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _write(self, endpoint: str, variant: str, settings: Capturing, several: list[Captured]) -> None:
        lines: list[bytes] = []
        size = 0
        for number, one in enumerate(several, 1):
            lines.append(line(one))
            size += len(lines[-1])
            if size >= FILE or number == len(several):
                self._put(endpoint, variant, settings, several[number - len(lines)].time, b"".join(lines), len(lines))
                lines, size = [], 0
            with self._lock:
                self._size -= len(one.body) + len(one.answer)

    def _put(self, endpoint: str, variant: str, settings: Capturing, time: float, data: bytes, count: int) -> None:
        key = key_of(settings.prefix, endpoint, variant, time, str(uuid.uuid4()))
        try:
            self._objects.put_bytes(settings.bucket, key, data)
        except AwsError as error:
            self._say(endpoint, f"{count} invocations could not be captured in s3://{settings.bucket}: {error.message}")
        except Exception as error:
            _log.exception("captured data of %s could not be written", endpoint)
            self._say(endpoint, f"{count} invocations could not be captured in s3://{settings.bucket}: {error}")

    def _say(self, endpoint: str, text: str) -> None:
        now = int(self._now() * 1000)
        try:
            with self._database.write() as transaction:
                put_log_events(transaction, f"{LOG_GROUP}/{endpoint}", LOG_STREAM, [(now, text)], now)
        except Exception:
            _log.exception("%s: %s", endpoint, text)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting or self._dropped or self._closed)
                if not self._closed:
                    self._lock.wait_for(lambda: self._closed, timeout=self._delay)
                if self._closed:
                    return
            try:
                self.flush()
            except Exception:
                _log.exception("captured data could not be written")


def key_of(prefix: str, endpoint: str, variant: str, time: float, identity: str) -> str:
    """Where a file that begins with this moment's invocation lies."""
    moment = datetime.fromtimestamp(time, UTC)
    name = f"{moment:%M-%S}-{moment.microsecond // 1000:03}-{identity}.jsonl"
    folder = f"{endpoint}/{variant}/{moment:%Y/%m/%d/%H}/{name}"
    return f"{prefix}/{folder}" if prefix else folder


def line(one: Captured) -> bytes:
    """An invocation in AWS's form."""
    data = {}
    if one.settings.input:
        content_type = one.asked.get("Content-Type", "")
        data["endpointInput"] = _side("INPUT", content_type, one.body, one.settings)
    if one.settings.output:
        content_type = one.answered.get("content-type", "")
        data["endpointOutput"] = _side("OUTPUT", content_type, one.answer, one.settings)
    metadata: dict[str, object] = {"eventId": str(uuid.uuid4())}
    attributes = one.asked.get("X-Amzn-SageMaker-Custom-Attributes")
    if attributes:
        metadata["customAttributes"] = [attributes]
    if one.inference:
        metadata["inferenceId"] = one.inference
    metadata["inferenceTime"] = f"{datetime.fromtimestamp(one.time, UTC):%Y-%m-%dT%H:%M:%SZ}"
    document = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _side(mode: str, content_type: str, data: Bytes, settings: Capturing) -> dict[str, str]:
    encoding = settings.encoding(content_type)
    text = None
    if encoding != "BASE64":
        try:
            text = data.decode()
        except UnicodeDecodeError:
            encoding = "BASE64"  # it is not what its type says
    if text is None:
        text = base64.b64encode(data).decode()
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}
