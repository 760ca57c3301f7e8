"""Endpoints, driven: instances that serve, are watched, replaced and drained.

The order is `lifecycles.endpoint`'s; here is how each effect is done, and that each may be done again. An instance's
attempt is one container or several, each with a folder of its own, `<jobs>/<container>.replica`, whose `ml` is its
/opt/ml. Where each listens is part of the fact `Prepared`, so that a server that starts again finds it. An attempt's
containers begin and end together: when one has ended, the others are stopped.

Endpoints hold nothing of the jobs' capacity: they would hold it for ever, and an update needs two fleets at once.
Their containers' CPU and memory are limited as their instance type says.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from modelwright.engine.capacity import Capacity
from modelwright.engine.endpoint_load import EndpointLoad
from modelwright.engine.hosted import SUFFIX, Gatekeeping, Hosted, container_names, variant_of
from modelwright.engine.log_shipping import JobLog, LogShipper
from modelwright.engine.model_data import place_model
from modelwright.engine.tidying import Tidier
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, ConfigurationError
from modelwright.events import sagemaker as changes
from modelwright.images.base import Images
from modelwright.lifecycles import endpoint as lifecycle
from modelwright.lifecycles import endpoint_document
from modelwright.lifecycles.endpoint import Endpoint, Instance
from modelwright.lifecycles.endpoint_routes import Routes, routes
from modelwright.lifecycles.job import REASON_LIMIT, Effect, Fact
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import (
    Exit,
    Handle,
    Image,
    Lost,
    Poll,
    Running,
    Runtime,
)
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event
from modelwright.store.metric_buffer import MetricBuffer
from modelwright.store.resources import delete_resource, find_resource, replace_resource

_log = logging.getLogger(__name__)

KIND = "Endpoint"
LOG_GROUP = "/aws/sagemaker/Endpoints"
FIRST_PING, LAST_PING = 0.1, 1.0
"""Seconds between two pings of an instance that is coming up: at first, and after a while."""
PING_INTERVAL = 5.0
"""Of a healthy one."""
UNHEALTHY_AFTER = 3
"""Pings in a row without a good answer make a healthy instance a sick one."""
DRAIN_SECONDS = 70.0
"""An invocation may take 60."""
STOP_GRACE = 30.0
WITH_IT_GRACE = 5.0
"""For the containers of an instance of which one has ended by itself."""
TAIL_LINES = 12


class Routing(Protocol):
    """The router, as the engine sees it. Safe to call from any thread."""

    def publish(self, routes: Routes) -> None:
        """From now on requests go there."""
        ...

    def withdraw(self, routes: Routes) -> None:
        """There is no such endpoint any more."""
        ...

    def when_idle(self, replica: str, then: Callable[[], None]) -> bool:
        """Whether the replica answers no request; if it does, `then` is called when it doesn't any more."""
        ...


class NoRouting:
    """Where nobody invokes."""

    def publish(self, routes: Routes) -> None: ...

    def withdraw(self, routes: Routes) -> None: ...

    def when_idle(self, replica: str, then: Callable[[], None]) -> bool:
        return True


@dataclass
class _Checks:
    """Of one attempt: pings so far."""

    count: int = 0
    missed: int = 0
    last: float = 0.0


class Hosting:
    """The driver of streams of kind `Endpoint`."""

    kind = KIND

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
        tidier: Tidier,
        folder: Path,
        client_environment: Callable[[str, str], Mapping[str, str]],
        routing: Routing,
        gates: Gatekeeping,
        now: Callable[[], float],
        ping_interval: float = PING_INTERVAL,
        metrics: MetricBuffer | None = None,
    ) -> None:
        """`capacity` says what an instance type's share of this machine is, `metrics` gets how busy instances are."""
        self._database = database
        self._events = events
        self._runtime = runtime
        self._objects = objects
        self._images = images
        self._logs = logs
        self._tidier = tidier
        self._folder = folder
        self._routing = routing
        self._now = now
        self._ping_interval = ping_interval
        self._notes: dict[str, set[str]] = {}
        self._checks: dict[str, _Checks] = {}
        self._drains: dict[str, float] = {}
        self._open_logs: dict[str, list[JobLog]] = {}
        self._hosted = Hosted(
            runtime=runtime, folder=folder, capacity=capacity, client_environment=client_environment, gates=gates
        )
        self._load = EndpointLoad(runtime, capacity, metrics, folder, now)
        self._found: set[str] = set()
        """Names of the folders that the streams found at the start go on with."""

    # The state machine

    def begin(self, stream: str) -> Endpoint:
        return Endpoint(stream)

    def apply(self, state: Endpoint, event: Event) -> Endpoint:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Endpoint, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Endpoint) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Endpoint) -> bool:
        return state.status == "Gone"

    def recover(self, stream: str, state: Endpoint) -> None:
        for one in state.instances.values():
            self._found.update(f"{name}{SUFFIX}" for name in container_names(state, one))
            if one.phase != "Wanted":
                for part in one.parts:
                    if not part.isolated:
                        self._hosted.ports.keep(one.key, part.port)
            if one.phase == "Running" and one.signalled:  # its SIGKILL was this process' predecessor's
                self._hosted.stop(one, 0 if one.sick else STOP_GRACE)
        self._routing.publish(routes(state))

    def record(self, transaction: Transaction, stream: str, state: Endpoint, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "Exited":
                for log in event.data.get("Logs") or [event.data["Log"]]:
                    self._logs.forget(transaction, log)
        if state.status == "Gone":
            delete_resource(transaction, KIND, state.name)
            transaction.after_commit(lambda: self._routing.withdraw(routes(state)))
            return
        document = find_resource(transaction, KIND, state.name, lock=True)
        if document is None:
            return
        new = endpoint_document.describe(document, state, document["LastModifiedTime"])
        if new != document:
            new["LastModifiedTime"] = self._now()
            replace_resource(
                transaction, KIND, state.name, new, modified=new["LastModifiedTime"], status=new["EndpointStatus"]
            )
            if new["EndpointStatus"] != document["EndpointStatus"]:
                self._events.tell(transaction, lambda: changes.endpoint(new), new["LastModifiedTime"])
        # Before anybody can see that it is in service: who waits for that invokes it at once.
        self._routing.publish(routes(state))

    def perform(self, work: Work) -> Sequence[Fact] | None:
        one = work.state.instances[work.effect.key.partition("/")[0]]
        return _EFFECTS[work.effect.kind](self, work, one)

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        if not work.owed():  # the server is ending: nothing has gone wrong with the instance
            return []
        one = work.state.instances[work.effect.key.partition("/")[0]]
        reason = f"InternalServerError: {work.effect.kind} failed: {type(error).__name__}: {error}"
        if work.effect.kind == "watch":
            self._hosted.stop(one, 0)
        kinds = {"watch": "Exited", "stop": "Signalled", "drain": "Drained", "check": "Sick"}
        kind = kinds.get(work.effect.kind, "Refused")
        if kind == "Refused":
            self._hosted.abandon(work.state, one)
        return [_fact(kind, one, Reason=reason[:REASON_LIMIT], Logs=_log_keys(work, one))]

    def closed(self, stream: str, state: Endpoint) -> None:
        """What an attempt leaves is deleted when it ends; there is nothing more."""

    def folders(self) -> list[Path]:
        """The attempts' folders that there are."""
        return list(self._folder.glob(f"*{SUFFIX}"))

    def close(self) -> None:
        """Instances go on serving; the next server finds out what they hold."""
        self._hosted.ports.close()

    def sweep(self, folders: Sequence[Path]) -> None:
        """Delete those of attempts that no open stream goes on with: an earlier process had no time to."""
        for folder in folders:
            if folder.name not in self._found:
                self._tidier.later(partial(shutil.rmtree, folder, ignore_errors=True))

    # Effects

    def _launch(self, work: Work, one: Instance) -> Sequence[Fact]:
        """Image, model, port of each container: everything but the start."""
        parts = []
        variant = variant_of(work.state, one)
        for container, name in zip(variant.containers, container_names(work.state, one), strict=True):
            try:
                image = self._image(work, one, container)
            except (AwsError, ConfigurationError) as error:
                return self._give_up(work, one, f"The image {container['Image']} can't be used: {error}", hopeless=True)
            if not work.owed():
                return []
            folder = self._hosted.folder(name)
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder, mode=0o700)
            (folder / "ml" / "model").mkdir(parents=True)
            try:
                place_model(self._objects, container, folder / "ml" / "model")
            except AwsError as error:
                text = f"Failed to download the model data of production variant {one.variant}: {error}"
                return self._give_up(work, one, text, hopeless=error.status < 500)
            images = {"Resolved": _resolved(container["Image"], image), "Time": self._now()}
            try:
                place = self._hosted.place(one, variant, image)
            except ConfigurationError as error:
                return self._give_up(work, one, str(error), hopeless=True)
            parts.append({"Container": name, "Images": images, **place})
        return [_fact("Prepared", one, Parts=parts)]

    def _start(self, work: Work, one: Instance) -> Sequence[Fact]:
        variant = variant_of(work.state, one)
        started: list[Handle] = []
        try:
            for container, part in zip(variant.containers, one.parts, strict=True):
                image = self._images.resolve(self._image_uri(container), lambda line: None)
                started.append(self._runtime.start(self._hosted.spec(work.state, variant, container, part, image)))
        except (AwsError, ConfigurationError) as error:
            text = f"The container of production variant {one.variant} can't be started: {error}"
            return self._give_up(work, one, text)
        return [_fact("Started", one, Handles=[asdict(handle) for handle in started])]

    def _give_up(self, work: Work, one: Instance, text: str, *, hopeless: bool = False) -> Sequence[Fact]:
        """This attempt never ran as a whole."""
        self._hosted.abandon(work.state, one)
        return [_fact("Refused", one, Reason=text[:REASON_LIMIT], Hopeless=hopeless)]

    def _watch(self, work: Work, one: Instance) -> Sequence[Fact] | None:
        logs = self._logs_of(work, one)
        found = [self._runtime.poll(log.handle) for log in logs]
        going = [log for log, state in zip(logs, found, strict=True) if isinstance(state, Running)]
        if going:
            if len(going) < len(found) and not one.signalled:
                for log in going:
                    self._runtime.stop(log.handle, grace=WITH_IT_GRACE)
            for log in going:
                self._logs.follow(log)
                self._hosted.watch(log.handle, work.resume)
            return None
        for log in logs:
            self._logs.finish(log)
        first = min(range(len(found)), key=lambda number: _ended_at(found[number]))
        reason = self._ending(work.state, one, first, found[first], self._logs.tail(logs[first], TAIL_LINES))
        if not one.leaving:
            name = variant_of(work.state, one).names[first]
            whose = "The container" if len(found) == 1 else f"The container {name}"
            self._note(work, one, [f"{whose} has ended: {_exit_text(found[first])}."])
        self._forget(one)
        return [_fact("Exited", one, Reason=reason, Logs=[log.stream for log in logs])]

    def _check(self, work: Work, one: Instance) -> Sequence[Fact] | None:
        """/ping until it is healthy, and ever after."""
        self._hosted.attend(work.state, one)
        checks = self._checks.setdefault(one.key, _Checks())
        now = self._now()
        if one.healthy and now < checks.last + self._ping_interval:
            work.resume_at(checks.last + self._ping_interval)
            return None
        number, problem = self._hosted.ping(work.state, one)
        checks.last, checks.count = self._now(), checks.count + 1
        if not problem:
            checks.missed = 0
            if not one.healthy and not self._hosted.all_run(one):
                work.resume_at(checks.last + LAST_PING)  # somebody else answered; what became of it is being looked at
                return None
            if not one.healthy:
                return [_fact("Healthy", one)]
            self._load.look(work.state, one)
            work.resume_at(checks.last + self._ping_interval)
            return None
        if one.healthy:
            checks.missed += 1
            if checks.missed >= UNHEALTHY_AFTER:
                text = f"The container stopped answering /ping ({problem}): it is restarted."
                self._note(work, one, [text])
                return [_fact("Sick", one, Reason=text)]
            work.resume_at(checks.last + min(self._ping_interval, LAST_PING))
            return None
        if self._now() - one.began >= variant_of(work.state, one).startup:
            return [_fact("Sick", one, Reason=self._unhealthy(work, one, number, problem))]
        work.resume_at(checks.last + min(LAST_PING, FIRST_PING * 1.2**checks.count))
        return None

    def _drain(self, work: Work, one: Instance) -> Sequence[Fact] | None:
        deadline = self._drains.setdefault(one.key, self._now() + DRAIN_SECONDS)
        if self._routing.when_idle(one.id, work.resume) or self._now() >= deadline:
            self._drains.pop(one.key, None)
            return [_fact("Drained", one)]
        work.resume_at(deadline)
        return None

    def _stop(self, work: Work, one: Instance) -> Sequence[Fact]:
        self._hosted.stop(one, 0 if one.sick else STOP_GRACE)
        return [_fact("Signalled", one)]

    # Before the start

    def _image(self, work: Work, one: Instance, container: Mapping[str, Any]) -> Image:
        uri = self._image_uri(container)
        image = self._images.ready(uri)
        return image or self._images.resolve(uri, lambda line: self._note(work, one, [line]))

    def _image_uri(self, container: Mapping[str, Any]) -> str:
        """Of the content that its model package or its fleet began with, wherever the tag is now. Raises AwsError."""
        uri, digest = str(container["Image"]), container.get("ImageDigest")
        return uri if digest is None else self._images.pinned(uri, digest)

    # How it ended

    def _ending(self, state: Endpoint, one: Instance, number: int, found: Poll, tail: Sequence[str]) -> str:
        if isinstance(found, Lost):
            return f"InternalServerError: {found.reason}"[:REASON_LIMIT]
        name = variant_of(state, one).names[number]
        head = (
            f"The {name} container for production variant {one.variant} did not pass the ping health check: it ended "
            f"({_exit_text(found)}). {self._hosted.hint(state, one, tail)}Its log ({LOG_GROUP}/{state.name}) ends: "
        )
        return _with_tail(head, tail)

    def _unhealthy(self, work: Work, one: Instance, number: int, problem: str) -> str:
        variant = variant_of(work.state, one)
        tail = self._logs.tail(self._logs_of(work, one)[number], TAIL_LINES)
        head = (
            f"The {variant.names[number]} container for production variant {one.variant} did not pass the ping health "
            f"check within {variant.startup:g} seconds ({problem}). {self._hosted.hint(work.state, one, tail)}"
            f"Its log ({LOG_GROUP}/{work.state.name}) ends: "
        )
        return _with_tail(head, tail)

    def _forget(self, one: Instance) -> None:
        """What an ended attempt leaves behind."""
        self._notes.pop(one.key, None)
        self._checks.pop(one.key, None)
        self._drains.pop(one.key, None)
        self._open_logs.pop(one.key, None)
        self._load.forget(one)
        self._hosted.forget(one)

    # Its log

    def _logs_of(self, work: Work, one: Instance) -> list[JobLog]:
        """Of each container: as AWS has them, a stream for the instance, or for each container of a pipeline."""
        if one.key not in self._open_logs:
            variant = variant_of(work.state, one)
            group, place = f"{LOG_GROUP}/{work.state.name}", f"{one.variant}/{one.id}"
            places = [place] if len(variant.names) == 1 else [f"{place}/{name}" for name in variant.names]
            self._open_logs[one.key] = [
                self._logs.open(key, group, place, Handle(**part.handle), (), fresh=False)
                for key, place, part in zip(_log_keys(work, one), places, one.parts, strict=True)
            ]
        return self._open_logs[one.key]

    def _note(self, work: Work, one: Instance, lines: Sequence[str]) -> None:
        seen = self._notes.setdefault(one.key, set())
        new = [line for line in lines if line not in seen]
        seen.update(new)
        self._logs.note(f"{LOG_GROUP}/{work.state.name}", f"{one.variant}/{one.id}", new)


_EFFECTS: Mapping[str, Callable[[Hosting, Work, Instance], Sequence[Fact] | None]] = {
    "launch": Hosting._launch,
    "start": Hosting._start,
    "watch": Hosting._watch,
    "check": Hosting._check,
    "drain": Hosting._drain,
    "stop": Hosting._stop,
}


def _fact(kind: str, one: Instance, **data: Any) -> Fact:
    return kind, {"Instance": one.id, **data}


def _log_keys(work: Work, one: Instance) -> list[str]:
    first = f"{work.stream}/{one.key}"
    return [first, *(f"{first}/{number}" for number in range(2, len(variant_of(work.state, one).containers) + 1))]


def _resolved(uri: str, image: Image) -> str:
    return f"{uri.partition('@')[0].rpartition(':')[0] or uri}@{image.reference}"[:255]


def _ended_at(found: Poll) -> float:
    """For who ended first; what nobody saw is last."""
    return found.ended if isinstance(found, Exit) else float("inf")


def _exit_text(found: Poll) -> str:
    if not isinstance(found, Exit):
        return found.reason if isinstance(found, Lost) else "it runs"
    return f"exit code {found.code}" + (", out of memory: use a larger instance" if found.out_of_memory else "")


def _with_tail(head: str, tail: Sequence[str]) -> str:
    return head + "\n".join(tail)[-(REASON_LIMIT - len(head)) :]
