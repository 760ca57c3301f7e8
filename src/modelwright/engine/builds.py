"""Builds, driven: their turn, image and source, start, watch, stop, artifacts.

The order is `lifecycles.build`'s. A build takes nothing from the jobs' capacity: it may wait for a job that it started,
which must not wait for the build. So builds have turns of their own; each is limited as its compute type says.

Its folder is made before the fact `Prepared`; only `build` in there is the container's to write. What the container
tells (`report.json`) is read when its log has new lines and when it has ended, and never trusted further than that it
describes this build.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modelwright.arns import Arn
from modelwright.engine.build_artifacts import store_artifacts
from modelwright.engine.build_plan import ROOT, BuildFailed, Sources, environment, make_plan
from modelwright.engine.capacity import GIB, Capacity, Share
from modelwright.engine.docker import DockerDesk
from modelwright.engine.log_shipping import JobLog, LogShipper
from modelwright.engine.tidying import Tidier
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, ConfigurationError
from modelwright.images.base import Images
from modelwright.images.environments import base_interpreter, interpreter_folders
from modelwright.lifecycles import build as lifecycle
from modelwright.lifecycles import build_document
from modelwright.lifecycles.build import STOP_GRACE, Build
from modelwright.lifecycles.job import Effect, Fact
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import ContainerSpec, Handle, Image, Limits, Lost, Mount, Running, Runtime
from modelwright.runtimes.contents import PATH
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event
from modelwright.store.resources import find_resource, replace_resource

KIND = "CodeBuildBuild"
SUFFIX = ".build"
MOST = 8
"""Builds that run at once; the others wait."""
_TOOLS = Path(__file__).parent / "build_tools"
_REPORT = 1 << 22
_COMPUTE = {
    "BUILD_GENERAL1_SMALL": Share(2, 3 * GIB),
    "BUILD_GENERAL1_MEDIUM": Share(4, 7 * GIB),
    "BUILD_GENERAL1_LARGE": Share(8, 15 * GIB),
    "BUILD_GENERAL1_XLARGE": Share(36, 70 * GIB),
    "BUILD_GENERAL1_2XLARGE": Share(72, 145 * GIB),
}


@dataclass
class _Active:
    """What is kept in memory of a build that has not ended."""

    document: Mapping[str, Any]
    folder: Path
    spec: ContainerSpec | None = None
    log: JobLog | None = None
    phases: Sequence[Mapping[str, Any]] = ()
    look: Callable[[], None] = field(default=lambda: None)

    @property
    def region(self) -> str:
        return Arn.parse(str(self.document["arn"])).region

    @property
    def logs(self) -> tuple[str, str] | None:
        logs = self.document["logs"]
        return (logs["groupName"], logs["streamName"]) if "groupName" in logs else None


class Builds:
    """The driver of streams of kind `Build`, named `build/PROJECT:UUID`."""

    kind = "Build"

    def __init__(
        self,
        *,
        database: Database,
        events: EventBus,
        runtime: Runtime,
        images: Images,
        objects: ObjectStore,
        sources: Sources,
        logs: LogShipper,
        tidier: Tidier,
        folder: Path,
        client_environment: Callable[[str, str], Mapping[str, str]],
        desk: DockerDesk,
        total: Share,
        now: Callable[[], float],
        grace: float = STOP_GRACE,
    ) -> None:
        self._database = database
        self._events = events
        self._runtime = runtime
        self._images = images
        self._objects = objects
        self._sources = sources
        self._logs = logs
        self._tidier = tidier
        self._folder = folder
        self._client_environment = client_environment
        self._desk = desk
        self._total = total
        self._now = now
        self._grace = grace
        self._turns = Capacity(Share(MOST, MOST))
        self._lock = threading.Lock()
        self._active: dict[str, _Active] = {}

    # The state machine

    def begin(self, stream: str) -> Build:
        return Build()

    def apply(self, state: Build, event: Event) -> Build:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Build, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Build) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Build) -> bool:
        return state.phase == "Ended"

    def recover(self, stream: str, state: Build) -> None:
        if state.phase in ("Provisioning", "Starting", "Running"):
            self._turns.hold(stream, Share(1, 1))
        if state.phase == "Running" and state.signalled:  # its SIGKILL was this process' predecessor's
            self._runtime.stop(Handle(**state.handle), grace=self._grace)

    def record(self, transaction: Transaction, stream: str, state: Build, events: Sequence[Event]) -> None:
        name = _identity(stream)
        before = find_resource(transaction, KIND, name, lock=True)
        if before is None:
            return
        document = before
        for event in events:
            document = build_document.fold(document, event.kind, event.data, event.time)
        time = events[-1].time
        replace_resource(transaction, KIND, name, document, modified=time, status=document["buildStatus"])
        if document["buildStatus"] != before["buildStatus"]:
            _emit(self._events, transaction, document, time)
        active = self._active.get(stream)
        if state.phase == "Ended" and active is not None and active.log is not None and active.log.recorded:
            self._logs.forget(transaction, stream)

    def perform(self, work: Work) -> Sequence[Fact] | None:
        return _EFFECTS[work.effect.kind](self, work)

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        text = f"{work.effect.kind} failed: {type(error).__name__}: {error}"
        return [("Ended", {"Status": "FAULT", "Context": {"statusCode": "INTERNAL_SERVER_ERROR", "message": text}})]

    def closed(self, stream: str, state: Build) -> None:
        self._turns.release(stream)
        self._logs.drop(stream)
        self._desk.close(stream)
        with self._lock:
            active = self._active.pop(stream, None)
        if active is None:
            return  # nothing was made, or the next start tidies up
        handle = Handle(self._runtime.name, _container(stream))
        if state.exit or not state.handle:
            self._tidier.later(partial(self._tidy, handle, active.folder))
        else:  # an internal error ended the build before its container
            self._runtime.stop(handle, grace=0)
            self._runtime.watch(handle, lambda: self._tidier.later(partial(self._tidy, handle, active.folder)))

    def folders(self) -> list[Path]:
        """The builds' folders that there are."""
        return list(self._folder.glob(f"*{SUFFIX}"))

    def sweep(self, folders: Sequence[Path], open_streams: set[str]) -> None:
        """Delete what an earlier process had no time to delete."""
        kept = {_container(stream) for stream in open_streams if stream.startswith("build/")}
        for folder in folders:
            name = folder.name.removesuffix(SUFFIX)
            if name not in kept:
                self._tidier.later(partial(self._tidy, Handle(self._runtime.name, name), folder))

    def close(self) -> None:
        """Builds go on; what they ask of `docker` they ask of the next server."""
        self._desk.close_all()

    def log_shipped(self, stream: str) -> None:
        """A build's log has new lines: so it may have come further."""
        active = self._active.get(stream)
        if active is not None:
            active.look()

    # Effects

    def _queue(self, work: Work) -> Sequence[Fact] | None:
        build = self._build(work.stream)
        waits = self._turns.request(work.stream, Share(1, 1), build.document["startTime"], work.resume)
        return [("Granted", {})] if waits is None else None

    def _limit(self, work: Work) -> Sequence[Fact]:
        build = self._build(work.stream)
        member = "queuedTimeoutInMinutes" if work.effect.key else "timeoutInMinutes"
        self._note(build, [f"The build has used up its {member}, {build.document[member]}: it is ended."])
        return [("TimedOut", {})]

    def _provision(self, work: Work) -> Sequence[Fact]:
        build = self._build(work.stream)
        uri = build.document["environment"]["image"]
        try:
            image = self._images.ready(uri) or self._images.resolve(uri, lambda line: self._note(build, [line]))
        except (AwsError, ConfigurationError) as error:
            context = {"statusCode": "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", "message": f"{uri}: {error}"}
            return self._failed(build, "PROVISIONING", context)
        try:
            version = self._make(work.stream, build, image)
        except BuildFailed as error:
            return self._failed(build, "DOWNLOAD_SOURCE", error.context)
        source: list[Fact] = [("Source", {"Version": version})] if version else []
        return [*source, ("Prepared", {})]

    def _start(self, work: Work) -> Sequence[Fact]:
        build = self._build(work.stream)
        self._open_desk(work.stream, build)
        name = _container(work.stream)
        try:
            spec = build.spec or self._stored_spec(build, name)
            handle = self._runtime.start(spec)
        except (AwsError, ConfigurationError, OSError) as error:
            context = {"statusCode": "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", "message": f"It can't be started: {error}"}
            return self._failed(build, "PROVISIONING", context)
        return [("Started", {"Handle": asdict(handle)})]

    def _watch(self, work: Work) -> Sequence[Fact] | None:
        build, handle = self._build(work.stream), Handle(**work.state.handle)
        self._open_desk(work.stream, build)
        log = self._log(work.stream, build, handle)
        found = self._runtime.poll(handle)
        if isinstance(found, Running):
            if log is not None:
                self._logs.follow(log)
            self._runtime.watch(handle, work.resume)
            return None
        if isinstance(found, Lost):
            return [("Exited", {"Lost": found.reason})]
        return [("Exited", {"Code": found.code, "OutOfMemory": found.out_of_memory})]

    def _follow(self, work: Work) -> None:
        build = self._build(work.stream)
        build.look = work.resume
        phases = build_document.report(self._report(build).get("phases"))
        if phases and phases != build.phases:
            build.phases = phases
            work.tell([("Progress", {"Phases": phases})])

    def _stop(self, work: Work) -> Sequence[Fact]:
        self._note(self._build(work.stream), ["The build is stopped."])
        self._runtime.stop(Handle(**work.state.handle), grace=self._grace)
        return [("Signalled", {})]

    def _collect(self, work: Work) -> Sequence[Fact]:
        build, state = self._build(work.stream), work.state
        log = self._log(work.stream, build, Handle(**state.handle))
        if log is not None:
            self._logs.finish(log)
        told = self._report(build)
        phases = build_document.report(told.get("phases"))
        names = json.loads((build.folder / "plan.json").read_text())["exported"]
        data: dict[str, Any] = {
            "Phases": phases,
            "Exported": build_document.exported(told.get("exported"), names),
        }
        if state.stop and not told.get("done"):
            return [("Ended", {**data, "Status": state.stop})]
        if "Lost" in state.exit:
            context = {"statusCode": "INTERNAL_SERVER_ERROR", "message": str(state.exit["Lost"])}
            return [("Ended", {**data, "Status": "FAULT", "Context": context})]
        if not told.get("done"):
            memory = " It used more memory than its compute type has." if state.exit.get("OutOfMemory") else ""
            text = f"The build's container ended before the build, with exit status {state.exit['Code']}.{memory}"
            context = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": text}
            return [("Ended", {**data, "Status": "FAILED", "Context": context})]
        good = all(phase.get("phaseStatus") == "SUCCEEDED" for phase in phases)
        artifacts = told.get("artifacts")
        if isinstance(artifacts, dict):
            try:
                data |= store_artifacts(self._objects, build.document, build.folder / "build", artifacts)
            except (AwsError, OSError) as error:
                context = {"statusCode": "CLIENT_ERROR", "message": f"The artifacts can't be stored: {error}"}
                self._note(build, [context["message"]])
                return [("Ended", {**data, "Status": "FAILED", "Phase": "UPLOAD_ARTIFACTS", "Context": context})]
        return [("Ended", {**data, "Status": "SUCCEEDED" if good else "FAILED"})]

    # Before the start

    def _make(self, stream: str, build: _Active, image: Image) -> str:
        """Make the build's folder, from nothing; the primary source's commit, if it has one. Raises BuildFailed."""
        folder, document = build.folder, build.document
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "build").mkdir(parents=True)
        folder.chmod(0o700)
        sources = self._sources.fetch(document, folder / "sources")
        specification = self._sources.specification(document, sources[0])
        plan = make_plan(document, specification, sources, self._notes(document))
        (folder / "plan.json").write_text(json.dumps(plan))
        tools = folder / "bin"
        tools.mkdir()
        for name in ("runner.py", "docker.py"):
            target = tools / name.removesuffix(".py") if name == "docker.py" else tools / name
            target.write_text(f"#!{base_interpreter()} -IS\n{(_TOOLS / name).read_text()}")
            target.chmod(0o755)
        os.makedirs(folder / "build" / "output" / "src0" / "src")
        client = self._client_environment(build.region, stream)
        mounts = [Mount(folder / "build", ROOT, "rw"), Mount(folder / "plan.json", f"{ROOT}/plan.json")]
        mounts += [Mount(tools, f"{ROOT}/bin"), Mount(self._desk.folder(folder), f"{ROOT}/docker", "rw")]
        mounts += [
            Mount(source.input, f"{ROOT}/input/{i}") for i, source in enumerate(sources) if source.input is not None
        ]
        mounts += [Mount(Path(path), path) for path in sorted({v for v in client.values() if _is_file(v)})]
        mounts += [Mount(path, str(path)) for path in interpreter_folders()]
        variables = {**client, **environment(document, specification, sources)}
        if "SSL_CERT_FILE" in client:
            variables.setdefault("GIT_SSL_CAINFO", client["SSL_CERT_FILE"])
        variables["PATH"] = f"{ROOT}/bin:{variables.get('PATH') or image.environment.get('PATH', PATH)}"
        if not document["environment"].get("privilegedMode"):
            variables["MODELWRIGHT_UNPRIVILEGED"] = "1"
        wanted = _COMPUTE.get(document["environment"]["computeType"], self._total)
        build.spec = ContainerSpec(
            name=_container(stream),
            image=image,
            argv=(str(base_interpreter()), "-IS", f"{ROOT}/bin/runner.py"),
            environment=variables,
            working_directory=f"{ROOT}/output/src0/src",
            mounts=tuple(mounts),
            limits=Limits(
                cpus=wanted.cpus if wanted.cpus < self._total.cpus else None,
                memory=wanted.memory if wanted.memory < self._total.memory else None,
            ),
        )
        _write_spec(folder / "spec.json", build.spec)
        return next((source.version for source in sources if not source.identifier), "")

    def _stored_spec(self, build: _Active, name: str) -> ContainerSpec:
        """After a restart: it may run already, so its folder stays as it is."""
        stored = json.loads((build.folder / "spec.json").read_text())
        image = self._images.resolve(stored["image"], lambda line: None)
        mounts = tuple(Mount(Path(source), target, mode) for source, target, mode in stored["mounts"])
        return ContainerSpec(
            name=name,
            image=image,
            argv=tuple(stored["argv"]),
            environment=stored["environment"],
            working_directory=stored["working_directory"],
            mounts=mounts,
            limits=Limits(**stored["limits"]),
        )

    def _notes(self, document: Mapping[str, Any]) -> list[str]:
        wanted = _COMPUTE.get(document["environment"]["computeType"])
        if wanted is None or (wanted.cpus <= self._total.cpus and wanted.memory <= self._total.memory):
            return []
        return [f"{document['environment']['computeType']} has {wanted}; this machine has {self._total}."]

    def _failed(self, build: _Active, phase: str, context: Mapping[str, str]) -> list[Fact]:
        self._note(build, [f"Phase context status code: {context['statusCode']} Message: {context['message']}"])
        return [("Ended", {"Status": "FAILED", "Phase": phase, "Context": dict(context)})]

    # What is known of a build

    def _build(self, stream: str) -> _Active:
        with self._lock:
            active = self._active.get(stream)
        if active is None:
            with self._database.read() as transaction:
                document = find_resource(transaction, KIND, _identity(stream))
            if document is None:
                raise LookupError(f"{stream} has no document")
            with self._lock:
                folder = self._folder / f"{_container(stream)}{SUFFIX}"
                active = self._active.setdefault(stream, _Active(document, folder))
        return active

    def _log(self, stream: str, build: _Active, handle: Handle) -> JobLog | None:
        if build.log is None and build.logs is not None:
            group, name = build.logs
            build.log = self._logs.open(stream, group, name, handle, (), fresh=build.spec is not None)
        return build.log

    def _report(self, build: _Active) -> dict[str, Any]:
        """What the container has written about itself; empty when it is nothing sensible."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(build.folder / "build" / "report.json", flags)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return {}
                found = json.loads(file.read(_REPORT))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _open_desk(self, stream: str, build: _Active) -> None:
        if build.document["environment"].get("privilegedMode"):
            self._desk.open(stream, build.folder, build.region)

    def _note(self, build: _Active, lines: Sequence[str]) -> None:
        if build.logs is not None:
            self._logs.note(*build.logs, lines)

    def _tidy(self, handle: Handle, folder: Path) -> None:
        """The folder goes last: as long as it is there, the next start tidies up again."""
        self._runtime.remove(handle)
        shutil.rmtree(folder, ignore_errors=True)


_EFFECTS: Mapping[str, Callable[[Builds, Work], Sequence[Fact] | None]] = {
    "queue": Builds._queue,
    "limit": Builds._limit,
    "provision": Builds._provision,
    "start": Builds._start,
    "watch": Builds._watch,
    "follow": Builds._follow,
    "stop": Builds._stop,
    "collect": Builds._collect,
}


def _emit(events: EventBus, transaction: Transaction, document: Mapping[str, Any], time: float) -> None:
    """CodeBuild's `Build State Change`."""
    events.emit(
        transaction,
        source="aws.codebuild",
        detail_type="CodeBuild Build State Change",
        detail=build_document.state_change(document),
        region=Arn.parse(document["arn"]).region,
        time=time,
        resources=[document["arn"]],
    )


def _write_spec(file: Path, spec: ContainerSpec) -> None:
    content = {
        "image": spec.image.uri,
        "argv": spec.argv,
        "environment": dict(spec.environment),
        "working_directory": spec.working_directory,
        "mounts": [(str(mount.source), mount.target, mount.mode) for mount in spec.mounts],
        "limits": asdict(spec.limits),
    }
    with open(file, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        json.dump(content, out)


def _identity(stream: str) -> str:
    return stream.partition("/")[2]


def _container(stream: str) -> str:
    return f"build.{stream.rpartition(':')[2]}"


def _is_file(value: str) -> bool:
    return value.startswith("/") and os.path.isfile(value)
