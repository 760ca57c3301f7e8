"""Notebook instances, driven: a JupyterLab each, as a container of ours with a folder that stays.

The container is sandboxed as a job is: it sees its own folder and nothing of the home's, because whoever uses it may be
less than an administrator. Its folder (`notebooks/NAME`) is what AWS calls the instance's volume: it outlives stops and
goes with the instance. When a server is killed its notebooks go on and the next one adopts them; `modelwright down`
ends them. A token is derived from the home's secret for each start; it goes by the environment, where `ps` shows it to
nobody else.
"""

from __future__ import annotations

import http.client
import shutil
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from modelwright.arns import Arn
from modelwright.engine.capacity import InstanceType, Share, instance_type
from modelwright.engine.log_shipping import JobLog, LogShipper
from modelwright.engine.ports import Ports
from modelwright.engine.tidying import Tidier
from modelwright.engine.worker import Work
from modelwright.errors import AwsError, ConfigurationError
from modelwright.images.base import Images
from modelwright.lifecycles import notebook as lifecycle
from modelwright.lifecycles.job import REASON_LIMIT, Effect, Fact
from modelwright.lifecycles.notebook import Notebook
from modelwright.runtimes.base import ContainerSpec, Exit, Handle, Limits, Lost, Mount, Running, Runtime
from modelwright.store.database import Database, Transaction
from modelwright.store.history import Event
from modelwright.store.resources import delete_resource, find_resource, replace_resource

KIND = "NotebookInstance"
IMAGE = "aws/sagemaker/notebook:latest"
"""Made here on first use; an image of this name that was built here takes its place."""
VOLUME = "/home/ec2-user/SageMaker"
"""Where the folder is in the container, as on AWS."""
LOG_GROUP = "/aws/sagemaker/NotebookInstances"
STARTUP = 180.0
"""Seconds in which JupyterLab must answer."""
STOP_GRACE = 20.0
_TAIL_LINES = 20
_FIRST_CHECK, _LAST_CHECK = 0.2, 2.0

Token = Callable[[str], str]
"""The token of one start, by the instance's id and the attempt: `ID:ATTEMPT`."""


class Notebooks:
    """The driver of streams of kind `NotebookInstance`, named `notebook-instance/NAME/ID`."""

    kind = KIND

    def __init__(
        self,
        *,
        database: Database,
        runtime: Runtime,
        images: Images,
        logs: LogShipper,
        tidier: Tidier,
        folder: Path,
        host: str,
        client_environment: Callable[[str, str], Mapping[str, str]],
        token: Token,
        total: Share,
        now: Callable[[], float],
    ) -> None:
        """`folder` holds a folder for each instance; `host` is where they listen."""
        self._database = database
        self._runtime = runtime
        self._images = images
        self._logs = logs
        self._tidier = tidier
        self._folder = folder
        self._host = host
        self._client_environment = client_environment
        self._token = token
        self._total = total
        self._now = now
        self._ports = Ports()
        self._lock = threading.Lock()
        self._open: dict[str, JobLog] = {}
        self._checks: dict[str, int] = {}

    # The state machine

    def begin(self, stream: str) -> Notebook:
        return Notebook()

    def apply(self, state: Notebook, event: Event) -> Notebook:
        return lifecycle.apply(state, event.kind, event.data, event.time)

    def decide(self, state: Notebook, now: float) -> Sequence[Fact]:
        return lifecycle.decide(state)

    def outstanding(self, state: Notebook) -> Sequence[Effect]:
        return lifecycle.outstanding(state)

    def ended(self, state: Notebook) -> bool:
        return lifecycle.ended(state)

    def recover(self, stream: str, state: Notebook) -> None:
        if state.port:
            self._ports.keep(stream, state.port)

    def record(self, transaction: Transaction, stream: str, state: Notebook, events: Sequence[Event]) -> None:
        name = _name(stream)
        if state.phase == "Gone":
            delete_resource(transaction, KIND, name)
            return
        before = find_resource(transaction, KIND, name, lock=True)
        if before is None:
            return
        document = {key: value for key, value in before.items() if key not in ("FailureReason", "Url", "_Port")}
        document |= {
            "NotebookInstanceStatus": state.status,
            "LastModifiedTime": events[-1].time,
            "_Attempt": state.attempt,
        }
        if state.reason:
            document["FailureReason"] = state.reason
        if state.port and state.phase == "Running":
            document |= {"_Port": state.port, "Url": f"{self._host}:{state.port}"}
        replace_resource(
            transaction, KIND, name, document, modified=events[-1].time, status=document["NotebookInstanceStatus"]
        )
        log = self._open.get(stream)
        if lifecycle.ended(state) and log is not None and log.recorded:
            self._logs.forget(transaction, stream)

    def perform(self, work: Work) -> Sequence[Fact] | None:
        return _EFFECTS[work.effect.kind](self, work)

    def failure(self, work: Work, error: Exception) -> Sequence[Fact]:
        text = f"InternalServerError: {work.effect.kind} failed: {type(error).__name__}: {error}"[:REASON_LIMIT]
        if work.effect.kind in ("prepare", "start"):
            return [("Failed", {"Reason": text})]
        return [("Removed", {})] if work.effect.kind == "remove" else [("Sick", {"Reason": text})]

    def closed(self, stream: str, state: Notebook) -> None:
        self._ports.give_back(stream)
        self._logs.drop(stream)
        self._checks.pop(stream, None)
        with self._lock:
            self._open.pop(stream, None)
        if state.handle and state.phase == "Stopped":
            self._tidier.later(partial(self._runtime.remove, Handle(**state.handle)))

    # Effects

    def _prepare(self, work: Work) -> Sequence[Fact] | None:
        stream = work.stream
        try:
            if self._images.ready(IMAGE) is None:
                self._note(stream, ["JupyterLab is being installed: this is its first start here."])
                self._images.resolve(IMAGE, lambda line: self._note(stream, [line]))
        except (AwsError, ConfigurationError) as error:
            text = f"JupyterLab can't be installed: {error}"
            self._note(stream, [text])
            return [("Failed", {"Reason": text[:REASON_LIMIT]})]
        if not work.owed():
            return []
        return [("Prepared", {"Port": self._ports.give(stream, any_will_do=True)})]

    def _start(self, work: Work) -> Sequence[Fact]:
        document = self._document(work.stream)
        try:
            handle = self._runtime.start(self._spec(work.stream, document, work.state))
        except (AwsError, ConfigurationError, OSError) as error:
            return [("Failed", {"Reason": f"It can't be started: {error}"[:REASON_LIMIT]})]
        with self._lock:
            self._open[work.stream] = self._log(work.stream, handle, fresh=True)
        return [("Started", {"Handle": asdict(handle)})]

    def _spec(self, stream: str, document: Mapping[str, Any], state: Notebook) -> ContainerSpec:
        folder = self._folder / _name(stream)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        region = Arn.parse(document["NotebookInstanceArn"]).region
        client = self._client_environment(region, stream)
        mounts = [Mount(folder, VOLUME, "rw")]
        mounts += [Mount(Path(path), path) for path in sorted({value for value in client.values() if _is_file(value)})]
        kind = instance_type(document["InstanceType"])
        return ContainerSpec(
            name=f"notebook-instance.{document['_Id']}.{state.attempt}",
            image=self._images.resolve(IMAGE, lambda line: None),
            argv=(
                "jupyter", "lab", "--no-browser", "--allow-root", f"--ServerApp.ip={self._host}",
                f"--ServerApp.port={state.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={VOLUME}",
            ),
            environment={
                **client,
                "AWS_REGION": region,
                "JUPYTER_TOKEN": self._token(f"{document['_Id']}:{state.attempt}"),
                "JUPYTER_RUNTIME_DIR": "/tmp/jupyter-runtime",  # noqa: S108 - the container's own
                "SHELL": "/bin/bash",
            },
            working_directory=VOLUME,
            mounts=tuple(mounts),
            limits=_limits(kind, self._total),
        )  # fmt: skip

    def _watch(self, work: Work) -> Sequence[Fact] | None:
        handle = Handle(**work.state.handle)
        with self._lock:
            log = self._open.get(work.stream)
            if log is None:  # after a restart
                log = self._open[work.stream] = self._log(work.stream, handle, fresh=False)
        found = self._runtime.poll(handle)
        if isinstance(found, Running):
            self._logs.follow(log)
            self._runtime.watch(handle, work.resume)
            return None
        self._logs.finish(log)
        return [("Exited", _ending(found, self._logs.tail(log, _TAIL_LINES)))]

    def _check(self, work: Work) -> Sequence[Fact] | None:
        """Until it answers, once."""
        if _answers(self._host, work.state.port):
            self._checks.pop(work.stream, None)
            return [("Ready", {})]
        now = self._now()
        if now - work.state.began > STARTUP:
            return [("Sick", {"Reason": f"JupyterLab did not answer within {STARTUP:.0f} seconds: see its log."})]
        count = self._checks[work.stream] = self._checks.get(work.stream, 0) + 1
        work.resume_at(now + min(_LAST_CHECK, _FIRST_CHECK * 1.2**count))
        return None

    def _stop(self, work: Work) -> Sequence[Fact]:
        self._runtime.stop(Handle(**work.state.handle), grace=STOP_GRACE)
        return [("Signalled", {})]

    def _remove(self, work: Work) -> Sequence[Fact]:
        shutil.rmtree(self._folder / _name(work.stream), ignore_errors=True)
        return [("Removed", {})]

    # What is known of one

    def _document(self, stream: str) -> Mapping[str, Any]:
        with self._database.read() as transaction:
            document = find_resource(transaction, KIND, _name(stream))
        if document is None:
            raise LookupError(f"{stream} has no document")
        return document

    def _log(self, stream: str, handle: Handle, *, fresh: bool) -> JobLog:
        return self._logs.open(stream, LOG_GROUP, f"{_name(stream)}/jupyter.log", handle, (), fresh=fresh)

    def _note(self, stream: str, lines: Sequence[str]) -> None:
        self._logs.note(LOG_GROUP, f"{_name(stream)}/jupyter.log", lines, stream)


_EFFECTS: Mapping[str, Callable[[Notebooks, Work], Sequence[Fact] | None]] = {
    "prepare": Notebooks._prepare,
    "start": Notebooks._start,
    "watch": Notebooks._watch,
    "check": Notebooks._check,
    "stop": Notebooks._stop,
    "remove": Notebooks._remove,
}


def _name(stream: str) -> str:
    return stream.split("/")[1]


def _limits(kind: InstanceType | None, total: Share) -> Limits:
    if kind is None:
        return Limits()
    return Limits(
        cpus=kind.vcpus if kind.vcpus < total.cpus else None,
        memory=kind.memory if kind.memory < total.memory else None,
    )


def _is_file(value: str) -> bool:
    return value.startswith("/") and Path(value).is_file()


def _ending(found: Exit | Lost, tail: Sequence[str]) -> dict[str, Any]:
    """JupyterLab that was shut down from its own menu, or by `modelwright down`, has ended well."""
    if isinstance(found, Lost):
        return {"Reason": f"InternalServerError: {found.reason}"[:REASON_LIMIT]}
    if found.code in (0, 128 + signal.SIGTERM):
        return {}
    text = "\n".join(tail)
    head = f"JupyterLab has ended with exit status {found.code}. Its log ends: "
    return {"Reason": head + text[-(REASON_LIMIT - len(head)) :]}


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", "/api")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
