"""Training and processing jobs, driven: capacity, image, inputs, start, watch, stop, outputs.

The order is `lifecycles.job`'s; here is how each effect is done, and that each may be done again. A job's folder is
made before the fact `Prepared`, never written to by the engine while the container may run, and deleted when the job
has ended.

What goes wrong is said as AWS says it: ClientError for what the request names and isn't there, AlgorithmError for what
the container did, InternalServerError for us and this machine.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modelwright.engine.capacity import Capacity, Share, instance_type
from modelwright.engine.containers import Containers, JobFolder
from modelwright.engine.log_shipping import JobLog, LogShipper
from modelwright.engine.opt_ml import Contract, network_interface, processing_contract, training_contract
from modelwright.engine.outputs import Mirror, upload_archive, upload_tree, weight
from modelwright.engine.tidying import Tidier
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, ConfigurationError
from modelwright.events import sagemaker as changes
from modelwright.images.base import Images, Progress
from modelwright.lifecycles import job as lifecycle
from modelwright.lifecycles import job_document
from modelwright.lifecycles.job import REASON_LIMIT, Effect, Fact, Job, client_error, internal_error, verdict
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import ContainerSpec, Exit, Handle, Image, Lost, Running, Runtime
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event
from modelwright.store.resources import find_resource, replace_resource

_log = logging.getLogger(__name__)

MIRROR_INTERVAL = 5.0
"""Seconds between two looks at what a running job uploads continuously."""
LIGHT = 8 << 20
"""Outputs of fewer bytes are stored before anybody is told that they are being uploaded."""
TAIL_LINES = 20
TELL_INTERVAL = 1.0

_KINDS = {"training-job": "TrainingJob", "processing-job": "ProcessingJob"}
_UNSEEN = frozenset({"Prepared", "Signalled", "TimedOut", "Created", "StopRequested"})
"""Facts that change nothing in a document."""


@dataclass
class _Active:
    """What is kept in memory of a job that has not ended."""

    contract: Contract
    container: str
    folder: JobFolder
    share: Share
    spec: ContainerSpec | None = None
    log: JobLog | None = None
    mirrors: list[Mirror] | None = None
    notes: set[str] = field(default_factory=set)


class Jobs:
    """The driver of streams of kind `Job`."""

    kind = "Job"

    def __init__(
        self,
        *,
        database: Database,
        events: EventBus,
        runtime: Runtime,
        objects: ObjectStore,
        images: Images,
        capacity: Capacity,
        logs: LogShipper,
        containers: Containers,
        tidier: Tidier,
        folder: Path,
        now: Callable[[], float],
        grace: float = lifecycle.STOP_GRACE,
        mirror_interval: float = MIRROR_INTERVAL,
    ) -> None:
        """`folder` is where the jobs' own folders are made."""
        self._database = database
        self._events = events
        self._runtime = runtime
        self._objects = objects
        self._images = images
        self._capacity = capacity
        self._logs = logs
        self._folder = folder
        self._containers = containers
        self._tidier = tidier
        self._now = now
        self._grace = grace
        self._mirror_interval = mirror_interval
        self._interface = network_interface()
        self._lock = threading.Lock()
        self._active: dict[str, _Active] = {}
        self._making: dict[str, list[Callable[[], None]]] = {}
        """Images that are being made, and who waits for each."""

    # The state machine

    def begin(self, stream: str) -> Job:
        return Job()

    def apply(self, state: Job, event: Event) -> Job:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Job, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Job) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Job) -> bool:
        return state.phase == "Ended"

    def recover(self, stream: str, state: Job) -> None:
        if state.phase in ("Starting", "Running"):
            self._capacity.hold(stream, self._job(stream).share)
        if state.phase == "Running" and state.signalled is not None:  # its SIGKILL was this process' predecessor's
            grace = max(0.0, state.signalled + self._grace - self._now())
            self._runtime.stop(Handle(**state.handle), grace=grace)

    def record(self, transaction: Transaction, stream: str, state: Job, events: Sequence[Event]) -> None:
        telling = [event for event in events if event.kind not in _UNSEEN]
        if not telling:
            return
        kind, name = _resource(stream)
        document = find_resource(transaction, kind, name, lock=True)
        if document is None:
            return
        before = document[f"{kind}Status"], document.get("SecondaryStatus")
        fold = job_document.training if kind == "TrainingJob" else job_document.processing
        for event in telling:
            document = fold(document, event.kind, event.data, event.time)
        status = document[f"{kind}Status"]
        replace_resource(transaction, kind, name, document, modified=document["LastModifiedTime"], status=status)
        told = document
        if before != (status, told.get("SecondaryStatus")):
            change = changes.training_job if kind == "TrainingJob" else changes.processing_job
            self._events.tell(transaction, lambda: change(told), document["LastModifiedTime"])
        active = self._active.get(stream)
        if state.phase == "Ended" and active is not None and active.log is not None and active.log.recorded:
            self._logs.forget(transaction, stream)

    def perform(self, work: Work) -> Sequence[Fact] | None:
        return _EFFECTS[work.effect.kind](self, work)

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        reason = internal_error(f"{work.effect.kind} failed: {type(error).__name__}: {error}")
        return [("Ended", {"Status": "Failed", "FailureReason": reason})]

    def closed(self, stream: str, state: Job) -> None:
        self._capacity.release(stream)
        self._logs.drop(stream)
        with self._lock:
            active = self._active.pop(stream, None)
        if not state.began or active is None:
            return  # nothing was started, or the next start tidies up
        handle = Handle(self._runtime.name, active.container)
        if state.exit:
            self._tidier.later(partial(self._tidy, handle))
        else:  # an internal error ended the job before its container
            self._runtime.stop(handle, grace=0)
            self._runtime.watch(handle, lambda: self._tidier.later(partial(self._tidy, handle)))

    def folders(self) -> list[Path]:
        """The jobs' folders that there are."""
        return list(self._folder.glob("*.work"))

    def sweep(self, folders: Sequence[Path], open_streams: set[str]) -> None:
        """Delete what an earlier process had no time to delete."""
        for folder in folders:
            kind, name, created = folder.name.removesuffix(".work").split(".")
            if f"{kind}/{name}" not in open_streams:
                handle = Handle(self._runtime.name, f"{kind}.{name}.{created}")
                self._tidier.later(partial(self._tidy, handle))

    # Effects

    def _prepare(self, work: Work) -> Sequence[Fact] | None:
        job = self._job(work.stream)
        try:
            image = self._image(work, job)
        except (AwsError, ConfigurationError) as error:
            return _failed(client_error(f"The image {job.contract.image} can't be used: {error}"))
        if image is None:
            return None
        if not work.owed():
            return []
        reason = self._capacity.request(work.stream, job.share, job.contract.created, work.resume)
        if reason is not None:
            if not work.state.waiting_told:
                work.tell([("Queued", {"Message": reason})])
                self._note(job, [reason])
            return None
        began = self._now()
        try:
            job.spec = self._containers.make(job.contract, job.folder, image, job.container, job.share)
        except AwsError as error:
            job.folder.remove()
            text = error.message if error.code == "ValidationException" else f"{error.code} ({error.status}): {error}"
            return _failed(client_error(f"Data download failed: {text}"))
        self._note(job, self._containers.notes(job.contract, job.share))
        limit = {"MaxRuntime": job.contract.max_runtime} if job.contract.max_runtime else {}
        return [("Prepared", {"Began": began, "Continuous": bool(self._mirrors(job)), **limit})]

    def _start(self, work: Work) -> Sequence[Fact]:
        job = self._job(work.stream)
        try:
            if job.spec is None:  # after a restart: it may run already, so its folder stays as it is
                image = self._images.resolve(job.contract.image, lambda line: None)
                job.spec = self._containers.spec(job.contract, job.folder, image, job.container, job.share)
            handle = self._runtime.start(job.spec)
        except (AwsError, ConfigurationError) as error:
            return _failed(client_error(f"The container can't be started: {error}"))
        about = {"Began": work.state.began, "Inputs": bool(job.contract.inputs)}
        return [("Started", {"Handle": asdict(handle), **about})]

    def _watch(self, work: Work) -> Sequence[Fact] | None:
        job, handle = self._job(work.stream), Handle(**work.state.handle)
        log = self._log(work.stream, job, handle)
        found = self._runtime.poll(handle)
        if isinstance(found, Running):
            self._logs.follow(log)
            self._runtime.watch(handle, work.resume)
            return None
        self._capacity.release(work.stream)
        exited = _exited(found)
        heavy = weight_of(job, LIGHT) >= LIGHT
        if heavy:
            return [("Exited", exited)]
        return [("Exited", exited), *self._end(work, job, lifecycle.apply(work.state, "Exited", exited, self._now()))]

    def _collect(self, work: Work) -> Sequence[Fact]:
        return self._end(work, self._job(work.stream), work.state)

    def _limit(self, work: Work) -> Sequence[Fact]:
        job = self._job(work.stream)
        self._note(job, [f"The job has run for its MaxRuntimeInSeconds, {job.contract.max_runtime:g}: it is stopped."])
        return [("TimedOut", {})]

    def _stop(self, work: Work) -> Sequence[Fact]:
        self._runtime.stop(Handle(**work.state.handle), grace=self._grace)
        return [("Signalled", {})]

    def _sync(self, work: Work) -> None:
        job = self._job(work.stream)
        for mirror in self._mirrors(job):
            try:
                mirror.sync(self._objects)
            except (AwsError, OSError) as error:  # it may work next time; the job's end is what counts
                _log.warning("%s: what goes to %s could not be uploaded: %s", work.stream, mirror.uri, error)
        work.resume_at(self._now() + self._mirror_interval)

    # Before the start

    def _image(self, work: Work, job: _Active) -> Image | None:
        """The image, made on first use. None: another job's thread is making it, and this one will be resumed."""
        uri = job.contract.image
        image = self._images.ready(uri)
        if image is not None:
            return image
        with self._lock:
            waiting = self._making.get(uri)
            if waiting is not None:
                waiting.append(work.resume)
            else:
                self._making[uri] = []
        if waiting is not None:
            work.tell([("Preparing", {"Message": f"Waiting for the image {uri}, which another job has begun to make"})])
            return None
        try:
            return self._images.resolve(uri, self._progress(work, job))
        finally:
            with self._lock:
                resumes = self._making.pop(uri)
            for resume in resumes:
                resume()

    def _progress(self, work: Work, job: _Active) -> Progress:
        told = 0.0

        def progress(line: str) -> None:
            nonlocal told
            self._note(job, [line])
            now = self._now()
            if now - told >= TELL_INTERVAL:
                told = now
                work.tell([("Preparing", {"Message": f"Preparing the image: {line}"[:REASON_LIMIT]})])

        return progress

    # After the end

    def _end(self, work: Work, job: _Active, state: Job) -> Sequence[Fact]:
        """Log, metrics and outputs of an exited job, and how it ended."""
        contract, folder = job.contract, job.folder
        log = self._log(work.stream, job, Handle(**state.handle))
        self._logs.finish(log)
        failed = state.exit.get("Code") != 0
        failure_text = folder.text("output/failure", REASON_LIMIT) if failed else ""
        found = verdict(state, failure_text, self._logs.tail(log, TAIL_LINES) if failed else [])
        data: dict[str, Any] = {"Status": found.status}
        try:
            stored = self._upload(job, found.status)
        except AwsError as error:
            stored = False
            found = lifecycle.Verdict("Failed", reason=client_error(f"Failed to upload the outputs: {error}"))
            data["Status"] = found.status
        if found.why:
            data["Why"] = found.why
        if found.reason:
            data["FailureReason"] = found.reason
        if contract.artifacts is not None and stored:
            data["ModelArtifacts"] = {"S3ModelArtifacts": contract.artifacts}
        if contract.kind == "processing" and (message := folder.text("output/message", REASON_LIMIT)):
            data["ExitMessage"] = message
        if metrics := log.metrics.final():
            data["FinalMetricDataList"] = metrics
        return [("Ended", data)]

    def _upload(self, job: _Active, status: str) -> bool:
        """Store what an ended job leaves; whether that includes its model.

        A stopped training job keeps what it has written, a failed one only what it wrote to /opt/ml/output/data; of a
        processing job that did not complete only continuous outputs are stored.
        """
        notes: list[str] = []
        for mirror in self._mirrors(job):
            notes += mirror.finish(self._objects)
        training = job.contract.kind == "training"
        for output in job.contract.outputs:
            tree = job.folder.tree(output)
            if status != "Completed" and not (training and (status == "Stopped" or output.name == "output")):
                continue
            if output.form == "tree":
                notes += upload_tree(self._objects, tree, output.uri)
            elif output.form == "archive" and (output.name == "model" or weight(tree, 1)):
                notes += upload_archive(self._objects, tree, output.uri, job.folder.scratch)
        self._note(job, notes)
        return training and status in ("Completed", "Stopped")

    def _tidy(self, handle: Handle) -> None:
        """The folder goes last: as long as it is there, the next start tidies up again."""
        self._runtime.remove(handle)
        self._job_folder(handle.name).remove()

    # What is known of a job

    def _job(self, stream: str) -> _Active:
        with self._lock:
            active = self._active.get(stream)
        if active is None:
            kind, name = _resource(stream)
            with self._database.read() as transaction:
                document = find_resource(transaction, kind, name)
            if document is None:
                raise LookupError(f"{kind} '{name}' has no document")
            training = kind == "TrainingJob"
            contract = training_contract(document, self._interface) if training else processing_contract(document)
            wanted = instance_type(contract.instance_type)
            share = self._capacity.share(wanted) if wanted else self._capacity.total
            with self._lock:
                container = _container(stream, contract)
                folder = self._job_folder(container)
                active = self._active.setdefault(stream, _Active(contract, container, folder, share))
        return active

    def _job_folder(self, container: str) -> JobFolder:
        return JobFolder(self._folder / f"{container}.work")

    def _log(self, stream: str, job: _Active, handle: Handle) -> JobLog:
        if job.log is None:
            contract = job.contract
            fresh = job.spec is not None  # then it is this process that started it
            place = (contract.log_group, contract.log_stream)
            job.log = self._logs.open(stream, *place, handle, contract.metrics, fresh=fresh)
        return job.log

    def _mirrors(self, job: _Active) -> list[Mirror]:
        if job.mirrors is None:
            contract = job.contract
            continuous = [output for output in contract.outputs if output.form == "mirror"]
            continuous += [contract.checkpoints] if contract.checkpoints else []
            job.mirrors = [Mirror(job.folder.tree(output), output.uri) for output in continuous]
        return job.mirrors

    def _note(self, job: _Active, lines: Sequence[str]) -> None:
        """Say something in the job's log, once."""
        new = [line for line in lines if line not in job.notes]
        job.notes.update(new)
        self._logs.note(job.contract.log_group, job.contract.log_stream, new)


def weight_of(job: _Active, limit: int) -> int:
    """About how much an ended job has to upload."""
    total = 0
    for output in job.contract.outputs:
        total += weight(job.folder.tree(output), limit)
    return total


_EFFECTS: Mapping[str, Callable[[Jobs, Work], Sequence[Fact] | None]] = {
    "prepare": Jobs._prepare,
    "start": Jobs._start,
    "watch": Jobs._watch,
    "collect": Jobs._collect,
    "limit": Jobs._limit,
    "stop": Jobs._stop,
    "sync": Jobs._sync,
}


def _failed(reason: str) -> list[Fact]:
    return [("Ended", {"Status": "Failed", "FailureReason": reason})]


def _exited(found: Exit | Lost) -> dict[str, Any]:
    if isinstance(found, Lost):
        return {"Lost": found.reason}
    return {"Code": found.code, "Ended": found.ended, **({"OutOfMemory": True} if found.out_of_memory else {})}


def _resource(stream: str) -> tuple[str, str]:
    kind, _, name = stream.partition("/")
    return _KINDS[kind], name


def _container(stream: str, contract: Contract) -> str:
    """Unique for ever: a job that was deleted may have a namesake."""
    return f"{stream.replace('/', '.', 1)}.{int(contract.created * 1000):x}"
