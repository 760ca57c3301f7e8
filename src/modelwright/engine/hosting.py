"""Endpoints, driven: instances that serve, are watched, replaced and drained.

The order is `lifecycles.endpoint`'s; here is how each effect is done, and that each may be done again. An instance's
attempt is a container of its own with a folder of its own, `<jobs>/<container>.replica`, whose `ml` is its /opt/ml.
Which port it listens on is part of the fact `Prepared`, so that a server that starts again finds it.

Containers share this machine's network. AWS's contract says port 8080, so a container is told another one by
SAGEMAKER_BIND_TO_PORT, as AWS's own images understand it. The first one that isn't known to understand it gets 8080
itself; a second such container at the same time is told, when it fails, who has the port.

Endpoints hold nothing of the jobs' capacity: they would hold it for ever, and an update needs two fleets at once.
Their containers' CPU and memory are limited as their instance type says.
"""

from __future__ import annotations

import http.client
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from modelwright.arns import Arn
from modelwright.engine.capacity import Capacity, instance_type
from modelwright.engine.log_shipping import JobLog, LogShipper
from modelwright.engine.model_data import place_model
from modelwright.engine.tidying import Tidier
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, ConfigurationError
from modelwright.events import sagemaker as changes
from modelwright.images.base import Images
from modelwright.lifecycles import endpoint as lifecycle
from modelwright.lifecycles import endpoint_document
from modelwright.lifecycles.endpoint import Endpoint, Instance, Routes, Variant
from modelwright.lifecycles.job import REASON_LIMIT, Effect, Fact
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import ContainerSpec, Exit, Handle, Image, Limits, Lost, Mount, Running, Runtime
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event
from modelwright.store.resources import delete_resource, find_resource, replace_resource

_log = logging.getLogger(__name__)

KIND = "Endpoint"
LOG_GROUP = "/aws/sagemaker/Endpoints"
CONTRACT_PORT = 8080
PING_TIMEOUT = 2.0
"""Seconds for an answer to /ping, as AWS documents them."""
FIRST_PING, LAST_PING = 0.1, 1.0
"""Seconds between two pings of an instance that is coming up: at first, and after a while."""
PING_INTERVAL = 5.0
"""Of a healthy one."""
UNHEALTHY_AFTER = 3
"""Pings in a row without a good answer make a healthy instance a sick one."""
DRAIN_SECONDS = 70.0
"""An invocation may take 60."""
STOP_GRACE = 30.0
TAIL_LINES = 12
SUFFIX = ".replica"


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
        now: Callable[[], float],
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        """`capacity` says what an instance type's share of this machine is."""
        self._database = database
        self._events = events
        self._runtime = runtime
        self._objects = objects
        self._images = images
        self._capacity = capacity
        self._logs = logs
        self._tidier = tidier
        self._folder = folder
        self._client_environment = client_environment
        self._routing = routing
        self._now = now
        self._ping_interval = ping_interval
        self._lock = threading.Lock()
        self._notes: dict[str, set[str]] = {}
        self._checks: dict[str, _Checks] = {}
        self._drains: dict[str, float] = {}
        self._open_logs: dict[str, JobLog] = {}
        self._ports: dict[str, int] = {}
        self._reservation: socket.socket | None = None
        """What keeps other servers of this machine from giving away the contract's port too."""
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
            self._found.add(f"{_container(state, one)}{SUFFIX}")
            if one.phase != "Wanted":
                self._ports[one.key] = one.port
            if one.phase == "Running" and one.signalled:  # its SIGKILL was this process' predecessor's
                self._runtime.stop(Handle(**one.handle), grace=0 if one.sick else STOP_GRACE)
        self._routing.publish(lifecycle.routes(state))

    def record(self, transaction: Transaction, stream: str, state: Endpoint, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "Exited":
                self._logs.forget(transaction, event.data["Log"])
        if state.status == "Gone":
            delete_resource(transaction, KIND, state.name)
            transaction.after_commit(lambda: self._routing.withdraw(lifecycle.routes(state)))
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
        transaction.after_commit(lambda: self._routing.publish(lifecycle.routes(state)))

    def perform(self, work: Work) -> Sequence[Fact] | None:
        one = work.state.instances[work.effect.key.partition("/")[0]]
        return _EFFECTS[work.effect.kind](self, work, one)

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        if not work.owed():  # the server is ending: nothing has gone wrong with the instance
            return []
        one = work.state.instances[work.effect.key.partition("/")[0]]
        reason = f"InternalServerError: {work.effect.kind} failed: {type(error).__name__}: {error}"
        if work.effect.kind == "watch":
            self._runtime.stop(Handle(**one.handle), grace=0)
        kinds = {"watch": "Exited", "stop": "Signalled", "drain": "Drained", "check": "Sick"}
        kind = kinds.get(work.effect.kind, "Refused")
        return [_fact(kind, one, Reason=reason[:REASON_LIMIT], Log=_log_key(work, one))]

    def closed(self, stream: str, state: Endpoint) -> None:
        """What an attempt leaves is deleted when it ends; there is nothing more."""

    def folders(self) -> list[Path]:
        """The attempts' folders that there are."""
        return list(self._folder.glob(f"*{SUFFIX}"))

    def close(self) -> None:
        """Instances go on serving; the next server finds out what they hold."""
        with self._lock:
            if self._reservation is not None:
                self._reservation.close()
                self._reservation = None

    def sweep(self, folders: Sequence[Path]) -> None:
        """Delete those of attempts that no open stream goes on with: an earlier process had no time to."""
        for folder in folders:
            if folder.name not in self._found:
                self._tidier.later(partial(shutil.rmtree, folder, ignore_errors=True))

    # Effects

    def _launch(self, work: Work, one: Instance) -> Sequence[Fact]:
        """Image, model, port: everything but the start."""
        variant = _variant(work.state, one)
        container = variant.container
        try:
            image = self._image(work, one, container["Image"])
        except (AwsError, ConfigurationError) as error:
            return [_refused(one, f"The image {container['Image']} can't be used: {error}", hopeless=True)]
        if not work.owed():
            return []
        name = _container(work.state, one)
        folder = self._folder / f"{name}{SUFFIX}"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
        (folder / "ml" / "model").mkdir(parents=True)
        try:
            place_model(self._objects, container, folder / "ml" / "model")
        except AwsError as error:
            shutil.rmtree(folder, ignore_errors=True)
            text = f"Failed to download the model data of production variant {one.variant}: {error}"
            return [_refused(one, text, hopeless=error.status < 500)]
        images = {"Resolved": _resolved(container["Image"], image), "Time": self._now()}
        return [_fact("Prepared", one, Port=self._port(one, image), Container=name, Images=images)]

    def _start(self, work: Work, one: Instance) -> Sequence[Fact]:
        variant = _variant(work.state, one)
        try:
            image = self._images.resolve(variant.container["Image"], lambda line: None)
            handle = self._runtime.start(self._spec(work.state, one, variant, image))
        except (AwsError, ConfigurationError) as error:
            self._give_back_port(one)
            shutil.rmtree(self._folder / f"{one.container}{SUFFIX}", ignore_errors=True)
            return [_refused(one, f"The container of production variant {one.variant} can't be started: {error}")]
        return [_fact("Started", one, Handle=asdict(handle))]

    def _watch(self, work: Work, one: Instance) -> Sequence[Fact] | None:
        handle = Handle(**one.handle)
        log = self._log_of(work, one, handle)
        found = self._runtime.poll(handle)
        if isinstance(found, Running):
            self._logs.follow(log)
            self._runtime.watch(handle, work.resume)
            return None
        self._logs.finish(log)
        reason = self._ending(work.state, one, found, self._logs.tail(log, TAIL_LINES))
        if not one.leaving:
            self._note(work, one, [f"The container has ended: {_exit_text(found)}."])
        self._forget(one, handle)
        return [_fact("Exited", one, Reason=reason, Log=log.stream)]

    def _check(self, work: Work, one: Instance) -> Sequence[Fact] | None:
        """/ping until it is healthy, and ever after."""
        checks = self._checks.setdefault(one.key, _Checks())
        now = self._now()
        if one.healthy and now < checks.last + self._ping_interval:
            work.resume_at(checks.last + self._ping_interval)
            return None
        problem = ping(one.port)
        checks.last, checks.count = self._now(), checks.count + 1
        if not problem:
            checks.missed = 0
            if not one.healthy and not isinstance(self._runtime.poll(Handle(**one.handle)), Running):
                work.resume_at(checks.last + LAST_PING)  # somebody else answered; what became of it is being looked at
                return None
            if not one.healthy:
                return [_fact("Healthy", one)]
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
        if self._now() - one.began >= _variant(work.state, one).startup:
            return [_fact("Sick", one, Reason=self._unhealthy(work, one, problem))]
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
        self._runtime.stop(Handle(**one.handle), grace=0 if one.sick else STOP_GRACE)
        return [_fact("Signalled", one)]

    # Before the start

    def _image(self, work: Work, one: Instance, uri: str) -> Image:
        image = self._images.ready(uri)
        return image or self._images.resolve(uri, lambda line: self._note(work, one, [line]))

    def _spec(self, state: Endpoint, one: Instance, variant: Variant, image: Image) -> ContainerSpec:
        region = Arn.parse(state.arn).region
        client = self._client_environment(region, f"endpoint/{Arn.parse(state.arn).name}")
        mounts = [Mount(self._folder / f"{one.container}{SUFFIX}" / "ml", "/opt/ml", "rw")]
        mounts += [Mount(Path(path), path) for path in sorted({value for value in client.values() if _is_file(value)})]
        kind = instance_type(variant.instance_type)
        total = self._capacity.total
        share = self._capacity.share(kind) if kind else total
        return ContainerSpec(
            name=one.container,
            image=image,
            argv=(*image.entrypoint, "serve"),
            environment={
                **client,
                "AWS_REGION": region,
                **variant.container.get("Environment", {}),
                "SAGEMAKER_BIND_TO_PORT": str(one.port),
            },
            mounts=tuple(mounts),
            limits=Limits(
                cpus=share.cpus if share.cpus < total.cpus else None,
                memory=share.memory if share.memory < total.memory else None,
            ),
        )

    def _port(self, one: Instance, image: Image) -> int:
        """8080 for a container that may know no other, where it is free; else any."""
        with self._lock:
            taken = set(self._ports.values())
            if not _understands_ports(image) and CONTRACT_PORT not in taken:
                self._reservation = _reserve(CONTRACT_PORT)
                if self._reservation is not None:
                    self._ports[one.key] = CONTRACT_PORT
                    return CONTRACT_PORT
            while (port := _any_port()) in taken:
                pass
            self._ports[one.key] = port
            return port

    def _give_back_port(self, one: Instance) -> None:
        with self._lock:
            if self._ports.pop(one.key, 0) == CONTRACT_PORT and self._reservation is not None:
                self._reservation.close()
                self._reservation = None

    # How it ended

    def _ending(self, state: Endpoint, one: Instance, found: Exit | Lost, tail: Sequence[str]) -> str:
        if isinstance(found, Lost):
            return f"InternalServerError: {found.reason}"[:REASON_LIMIT]
        head = (
            f"The primary container for production variant {one.variant} did not pass the ping health check: it ended "
            f"({_exit_text(found)}). {self._port_hint(one)}Its log ({LOG_GROUP}/{state.name}) ends: "
        )
        return _with_tail(head, tail)

    def _unhealthy(self, work: Work, one: Instance, problem: str) -> str:
        log = self._log_of(work, one, Handle(**one.handle))
        seconds = _variant(work.state, one).startup
        head = (
            f"The primary container for production variant {one.variant} did not pass the ping health check within "
            f"{seconds:g} seconds ({problem}). {self._port_hint(one)}"
            f"Its log ({LOG_GROUP}/{work.state.name}) ends: "
        )
        return _with_tail(head, self._logs.tail(log, TAIL_LINES))

    def _port_hint(self, one: Instance) -> str:
        holder = next((key for key, port in self._ports.items() if port == CONTRACT_PORT), "")
        if one.port == CONTRACT_PORT or not holder:
            return ""
        return (
            f"It was to listen on SAGEMAKER_BIND_TO_PORT, {one.port}; port {CONTRACT_PORT} is held by instance "
            f"{holder.partition('/')[0]}. "
        )

    def _forget(self, one: Instance, handle: Handle) -> None:
        """What an ended attempt leaves behind."""
        self._give_back_port(one)
        self._notes.pop(one.key, None)
        self._checks.pop(one.key, None)
        self._drains.pop(one.key, None)
        self._open_logs.pop(one.key, None)
        try:
            self._runtime.remove(handle)
        except Exception:
            _log.exception("what the runtime keeps of %s could not be removed", handle.name)
        shutil.rmtree(self._folder / f"{handle.name}{SUFFIX}", ignore_errors=True)

    # Its log

    def _log_of(self, work: Work, one: Instance, handle: Handle) -> JobLog:
        if one.key not in self._open_logs:
            place = (f"{LOG_GROUP}/{work.state.name}", f"{one.variant}/{one.id}")
            self._open_logs[one.key] = self._logs.open(_log_key(work, one), *place, handle, (), fresh=False)
        return self._open_logs[one.key]

    def _note(self, work: Work, one: Instance, lines: Sequence[str]) -> None:
        seen = self._notes.setdefault(one.key, set())
        new = [line for line in lines if line not in seen]
        seen.update(new)
        self._logs.note(f"{LOG_GROUP}/{work.state.name}", f"{one.variant}/{one.id}", new)


def ping(port: int) -> str:
    """What is wrong with an instance; empty when nothing is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PING_TIMEOUT)
    try:
        connection.request("GET", "/ping")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"GET /ping on port {port}: {error or type(error).__name__}"
    finally:
        connection.close()
    return "" if status == 200 else f"GET /ping answered {status}"


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


def _refused(one: Instance, text: str, *, hopeless: bool = False) -> Fact:
    return _fact("Refused", one, Reason=text[:REASON_LIMIT], Hopeless=hopeless)


def _variant(state: Endpoint, one: Instance) -> Variant:
    return state.known[one.fleet].variant(one.variant)


def _container(state: Endpoint, one: Instance) -> str:
    """Unique for ever: the stream has the endpoint's time of creation in it."""
    return f"{state.stream.replace('/', '.')}.{one.id}.{one.attempt}"


def _log_key(work: Work, one: Instance) -> str:
    return f"{work.stream}/{one.key}"


def _resolved(uri: str, image: Image) -> str:
    return f"{uri.partition('@')[0].rpartition(':')[0] or uri}@{image.reference}"[:255]


def _understands_ports(image: Image) -> bool:
    """A framework's environment serves by our own `serve`; an image with a tree may bring its own server."""
    return image.root is None and not image.entrypoint


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _reserve(port: int) -> socket.socket | None:
    """A port that nobody uses, and that no other server gives away as long as the result is open; None: it is used."""
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if sys.platform.startswith("linux"):
            reservation.bind(f"\0modelwright-port-{port}")  # a name in memory, gone with this process
        if _is_free(port):
            return reservation
    except OSError:
        pass
    reservation.close()
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - looked at, never listened on
        except OSError:
            return False
    return True


def _is_file(value: str) -> bool:
    return value.startswith("/") and os.path.isfile(value)


def _exit_text(found: Exit | Lost) -> str:
    if isinstance(found, Lost):
        return found.reason
    return f"exit code {found.code}" + (", out of memory: use a larger instance" if found.out_of_memory else "")


def _with_tail(head: str, tail: Sequence[str]) -> str:
    return head + "\n".join(tail)[-(REASON_LIMIT - len(head)) :]
