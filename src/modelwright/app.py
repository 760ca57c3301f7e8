"""The composition root: settings become a running platform. Wiring only; nothing is decided here."""

from __future__ import annotations

import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

from modelwright import __version__
from modelwright.config import Settings
from modelwright.engine.behalf import behalf
from modelwright.engine.capacity import known_instance_type
from modelwright.engine.definitions import StepOperations
from modelwright.engine.engine import Engine
from modelwright.images.library import LocalImages
from modelwright.lifecycles.job_timings import Stage, stages
from modelwright.objects.directory import DirectoryStore
from modelwright.pipelines.definition import parse
from modelwright.projects.catalog import Catalog
from modelwright.protocol.validation import validate
from modelwright.repositories.home import Repositories
from modelwright.runtimes.process import ProcessRuntime
from modelwright.server import serve as server
from modelwright.server.authority import Authority
from modelwright.server.connect import Proxy
from modelwright.server.environment import client_environment, original
from modelwright.server.gateway import Gateway
from modelwright.server.git import GitHttp, is_git
from modelwright.server.git_credentials import Credentials
from modelwright.server.keys import Holder, Keys
from modelwright.server.running import Running, is_loopback
from modelwright.server.upstream import Upstream
from modelwright.services import cloudformation, cloudwatch, codecommit, codepipeline, events, s3
from modelwright.services.access import BUILD, DEVELOPER, JOB, SERVICE
from modelwright.services.cloudtrail import CloudTrail
from modelwright.services.codebuild.builds import Builds
from modelwright.services.codebuild.projects import Projects as BuildProjects
from modelwright.services.codecommit.announcements import Announcements
from modelwright.services.dispatch import Context, Dispatcher, Document
from modelwright.services.ecr import Ecr
from modelwright.services.guard import Guard
from modelwright.services.iam import Iam
from modelwright.services.logs.groups import LogGroups
from modelwright.services.logs.streams import LogStreams
from modelwright.services.production import Production
from modelwright.services.runtime import Runtime
from modelwright.services.s3.notifications import Notifications
from modelwright.services.sagemaker.code_repositories import CodeRepositories
from modelwright.services.sagemaker.endpoint_configs import EndpointConfigs
from modelwright.services.sagemaker.endpoints import Endpoints
from modelwright.services.sagemaker.images import SageMakerImages
from modelwright.services.sagemaker.model_package_groups import ModelPackageGroups
from modelwright.services.sagemaker.model_packages import ModelPackages
from modelwright.services.sagemaker.models import Models
from modelwright.services.sagemaker.notebook_instances import NotebookInstances
from modelwright.services.sagemaker.pipeline_executions import PipelineExecutions
from modelwright.services.sagemaker.pipeline_versions import PipelineVersions
from modelwright.services.sagemaker.pipelines import Pipelines
from modelwright.services.sagemaker.processing_jobs import ProcessingJobs
from modelwright.services.sagemaker.projects import Projects
from modelwright.services.sagemaker.search import Search
from modelwright.services.sagemaker.tags import Tags
from modelwright.services.sagemaker.training_jobs import TrainingJobs
from modelwright.services.servicecatalog import ServiceCatalog
from modelwright.services.sqs import Sqs
from modelwright.services.sts import Sts, Temporary
from modelwright.services.trail import AuditTrail
from modelwright.services.users import Users
from modelwright.serving.capture import Capture
from modelwright.serving.gates import Gates
from modelwright.serving.measures import Measures
from modelwright.serving.router import Router
from modelwright.store.audit_journal import AuditJournal
from modelwright.store.database import Database
from modelwright.store.ended_sessions import EndedSessions
from modelwright.store.endings import Endings
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.metric_buffer import MetricBuffer
from modelwright.studio.application import Studio
from modelwright.studio.live import Live
from modelwright.studio.session import Sessions, links
from modelwright.studio.view import ROOT as STUDIO
from modelwright.studio.view import Place


class _Common(TypedDict):
    """What every service over the metadata takes."""

    database: Database
    history: History
    now: Callable[[], float]


class _SageMaker(_Common):
    """What SageMaker's services take."""

    events: EventBus


class Platform:
    """One home folder's stores, services and engine, served at `running.url`."""

    def __init__(self, settings: Settings, running: Running, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self.keys = Keys.open(settings.credentials, settings.account)
        self.authority = Authority.open(settings.authority)
        self.database = Database(settings.database_url)
        self.history = History(owner=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}")
        self.keys.over(Endings(self.database, self.history).over)
        self.events = EventBus(self.history, settings.account)
        self.metrics = MetricBuffer(self.database, time.time)
        self.objects = DirectoryStore(settings.objects, fsync=settings.fsync)
        self.repositories = Repositories(settings.repositories, fsync=settings.fsync)
        self.announcements = Announcements(
            database=self.database,
            repositories=self.repositories,
            events=self.events,
            now=time.time,
            account=settings.account,
        )
        self.catalog = Catalog(settings.project_templates)
        self.images = LocalImages(settings)
        self.runtime = ProcessRuntime(settings)
        measures = Measures(self.metrics.stir)
        self.metrics.gather(measures.points)
        self.capture = Capture(self.objects, self.database, time.time)
        self.router = Router(measures=measures, capture=self.capture, socket_into=self.runtime.socket_into)
        self.gates = Gates(urlsplit(running.url).hostname or running.host, running.port)
        self.users = Users(
            database=self.database,
            now=time.time,
            account=settings.account,
            secret_of=self.keys.secret_of,
            owner_key=lambda: self.keys.admin.id,
            changed=self._reload_keys,
        )
        self._reload_keys()
        self.audit = AuditJournal(settings.home / "audit", self.database)
        self.dispatcher = Dispatcher(
            self._services(),
            validate,
            Guard(self.keys.role_of, [Production(self.database)]),
            AuditTrail(self.audit.begin, time.time),
        )
        before = original(environ)
        self.live = Live()
        self.history.subscribe(self.live.wake)
        self.database.subscribe(self.live.wake_resource)
        self.objects.watch(self.live.wake_object)
        self.metrics.subscribe(self.live.wake_metrics)
        self.engine = Engine(
            settings=settings,
            database=self.database,
            history=self.history,
            events=self.events,
            objects=self.objects,
            images=self.images,
            runtime=self.runtime,
            call=self._call,
            client_environment=lambda region: client_environment(
                settings, running.url, self.keys.job, self.authority, before, region=region
            ),
            credentials=self._credentials,
            now=time.time,
            routing=self.router,
            gates=self.gates,
            log_shipped=self.live.wake_log,
            archive=self.repositories.archive,
            metrics=self.metrics,
            seeds=lambda template, seed: self.catalog.find(template).seed(seed),
            notebook_token=self._notebook_token,
        )
        self.proxy = Proxy(self.authority, Upstream.of(before, running.url), is_loopback(running.host))
        self._gateway = Gateway(
            self.dispatcher,
            self.keys,
            account=settings.account,
            region=settings.region,
            health={
                "version": __version__,
                "home": str(settings.home),
                "region": settings.region,
                "account": settings.account,
            },
        )
        self._git = GitHttp(
            repositories=self.repositories,
            told=self.announcements,
            credentials=Credentials(self.keys.find, time.time),
            permit=self._permit,
            account=settings.account,
            region=settings.region,
        )
        self._studio = Studio(
            door=self.dispatcher,
            sessions=Sessions(
                self.keys.signing("studio sessions"),
                links(self.keys.signing("studio links"), running.pid, running.port, time.time),
                self.keys.find,
                time.time,
                EndedSessions(self.database, time.time),
            ),
            live=self.live,
            parse=parse,
            place=Place(
                settings.account,
                settings.region,
                {"home": str(settings.home), "url": running.url, "version": __version__},
            ),
            timings=self._timings,
        )

    async def application(self, scope: MutableMapping[str, Any], receive: server.Receive, send: server.Send) -> None:
        """Git, Studio's pages, and AWS's API for everybody else."""
        if is_git(scope):
            await self._git(scope, receive, send)
            return
        await (self._studio if _for_studio(scope) else self._gateway)(scope, receive, send)

    def start(self) -> None:
        """Take up what an earlier process left."""
        self.announcements.start()
        self.engine.start()
        self.objects.tell_untold()

    def wind_down(self) -> None:
        """Pages that are watched reconnect to the next server."""
        self.live.close()

    def stop(self) -> None:
        """Running jobs and endpoints' instances go on."""
        self.engine.close()
        self.router.close()
        self.gates.close()
        self.capture.close()
        self.metrics.close()
        self.audit.close()
        self.objects.close()
        self.database.close()

    def _services(self) -> Iterator[tuple[str, object]]:
        common = _Common(database=self.database, history=self.history, now=time.time)
        sagemaker = _SageMaker(**common, events=self.events)
        yield from s3.services(self.objects)
        yield (
            "s3",
            Notifications(
                store=self.objects,
                database=self.database,
                events=self.events,
                now=time.time,
                account=self.settings.account,
            ),
        )
        yield "sts", Sts(issue=self._session_key, now=time.time)
        yield "iam", Iam(**common, account=self.settings.account)
        yield "iam", self.users
        yield "cloudtrail", CloudTrail(database=self.database, flush=self.audit.flush)
        yield "ecr", Ecr(store=self.images.store, now=time.time)
        yield from cloudwatch.services(database=self.database, metrics=self.metrics, now=time.time)
        yield "logs", LogGroups(**common)
        yield "logs", LogStreams(**common)
        yield (
            "sagemaker",
            TrainingJobs(**sagemaker, check_image=self._check_image, known_instance_type=known_instance_type),
        )
        yield (
            "sagemaker",
            ProcessingJobs(**sagemaker, check_image=self._check_image, known_instance_type=known_instance_type),
        )
        yield "sagemaker", Models(**sagemaker, check_image=self._check_image)
        yield "sagemaker", SageMakerImages(**sagemaker, check_image=self._check_image)
        yield "sagemaker", EndpointConfigs(**sagemaker, known_instance_type=known_instance_type)
        yield "sagemaker", Endpoints(**sagemaker, images=self.images)
        yield "sagemaker-runtime", Runtime(self.router)
        yield "sagemaker", ModelPackageGroups(**sagemaker)
        yield "sagemaker", ModelPackages(**sagemaker, objects=self.objects, images=self.images)
        yield "sagemaker", Pipelines(**sagemaker, objects=self.objects, operations=StepOperations())
        yield "sagemaker", PipelineVersions(**sagemaker)
        yield "sagemaker", PipelineExecutions(**sagemaker)
        yield "sagemaker", Projects(**sagemaker, catalog=self.catalog)
        yield "sagemaker", NotebookInstances(**sagemaker, token=self._notebook_token, host=self.settings.notebook_host)
        yield "sagemaker", CodeRepositories(**sagemaker)
        yield "servicecatalog", ServiceCatalog(self.catalog)
        yield "sagemaker", Search(**sagemaker)
        yield "sagemaker", Tags(**sagemaker)
        yield from codecommit.services(
            database=self.database, repositories=self.repositories, announcements=self.announcements, now=time.time
        )
        yield "codebuild", BuildProjects(**common, events=self.events, check_image=self._check_image)
        yield "codebuild", Builds(**common, events=self.events, check_image=self._check_image)
        yield from cloudformation.services(**common, read=self.objects.read)
        yield "sqs", Sqs(database=self.database, now=time.time)
        yield from events.services(database=self.database, now=time.time, events=self.events)
        yield from codepipeline.services(
            **common, events=self.events, objects=self.objects, remotes=self.settings.remotes
        )

    def _permit(
        self, context: Context, service: str, operation: str, parameters: Mapping[str, Any], /, *, noted: bool
    ) -> AbstractContextManager[object]:
        """The door's check, and its memory, for what is no operation: to pull and to push by git."""
        return self.dispatcher.permitted(context, service, operation, parameters, noted=noted)

    def _call(self, region: str, service: str, operation: str, parameters: Mapping[str, Any], /) -> Document:
        """The door for the engine, which acts as the platform."""
        who = replace(self.keys.job.principal, role=SERVICE, access_key="")
        context = Context(self.settings.account, region, who, source="engine", behalf=behalf())
        return self.dispatcher.call(context, service, operation, parameters)

    def _session_key(self, user: str, expires: int) -> Temporary | None:
        key = self.keys.temporary(user, expires)
        return None if key is None else Temporary(key.id, key.secret, key.token or "")

    def _reload_keys(self) -> None:
        """Users or keys have changed."""
        self.keys.reread()
        self.keys.holders(Holder(*each) for each in self.users.holders())

    def _credentials(self, stream: str) -> dict[str, str]:
        """A key of its own for what runs as this event stream."""
        kind = stream.partition("/")[0]
        key = self.keys.session(stream, {"build": BUILD, "notebook-instance": DEVELOPER}.get(kind, JOB))
        return {
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_SESSION_TOKEN": key.token or "",
        }

    def _notebook_token(self, start: str) -> str:
        return self.keys.signing(f"notebook {start}").hex()

    def _timings(self, stream: str) -> list[Stage]:
        with self.database.read() as transaction:
            return stages(self.history.read(transaction, stream))

    def _check_image(self, uri: str) -> None:
        self.images.ready(uri)


def serve(settings: Settings, ready: Callable[[Running], None] = lambda _: None) -> None:
    """Run a server on a home until it is told to end. `ready` is called when it answers."""
    server.serve(settings, lambda running: Platform(settings, running, os.environ), ready)


def _for_studio(scope: MutableMapping[str, Any]) -> bool:
    """What a browser asks for. A bucket may be called `studio` too: its requests are signed."""
    path = scope["path"]
    if path != STUDIO and not path.startswith(f"{STUDIO}/"):
        return False
    names = {name for name, _ in scope["headers"]}
    query = scope["query_string"]
    return not (names & {b"authorization", b"x-amz-target", b"x-amz-date"}) and b"Signature=" not in query


@contextmanager
def sample() -> Iterator[Platform]:
    """A platform on a home that is thrown away, not served: what the generated pages are made from."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load({"home": Path(folder)}, {})
        platform = Platform(settings, Running(0, settings.host, 0, "http://127.0.0.1:0"), {})
        try:
            yield platform
        finally:
            platform.stop()
