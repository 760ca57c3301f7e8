"""The engine put together: what drives jobs, endpoints and pipeline executions on one home folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from modelwright.config import Settings
from modelwright.engine.actions.base import Tools, no_archive
from modelwright.engine.actions.remotes import Remotes
from modelwright.engine.api_destinations import ApiDestinations
from modelwright.engine.build_plan import Sources
from modelwright.engine.builds import Builds
from modelwright.engine.capacity import GIB, Capacity, Share, machine
from modelwright.engine.codepipelines import CodePipelines, actions
from modelwright.engine.containers import Containers
from modelwright.engine.deliveries import Deliveries
from modelwright.engine.docker import DockerDesk
from modelwright.engine.executions import Executions
from modelwright.engine.hosted import Gatekeeping, NoGates
from modelwright.engine.hosting import PING_INTERVAL, Hosting, NoRouting, Routing
from modelwright.engine.job_metrics import job_metrics
from modelwright.engine.jobs import MIRROR_INTERVAL, Jobs
from modelwright.engine.log_shipping import LogShipper
from modelwright.engine.notebooks import Notebooks, Token
from modelwright.engine.projects import Projects, Seeds, no_seeds
from modelwright.engine.schedules import Schedules
from modelwright.engine.stacks import Stacks
from modelwright.engine.targets import Targets
from modelwright.engine.tidying import Tidier
from modelwright.engine.values import Call
from modelwright.engine.worker import Worker
from modelwright.images.base import Images
from modelwright.lifecycles.job import STOP_GRACE
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import Runtime
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.metric_buffer import MetricBuffer

PATIENT = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "12"}
"""AWS's clients in containers try as long as this server may need to start again: a container outlives it."""


class Engine:
    """Drives everything that has an event stream, from start() to close()."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        history: History,
        events: EventBus,
        objects: ObjectStore,
        images: Images,
        runtime: Runtime,
        call: Call,
        client_environment: Callable[[str], Mapping[str, str]],
        credentials: Callable[[str], Mapping[str, str]] = lambda _: {},
        now: Callable[[], float],
        routing: Routing | None = None,
        gates: Gatekeeping | None = None,
        grace: float = STOP_GRACE,
        mirror_interval: float = MIRROR_INTERVAL,
        ping_interval: float = PING_INTERVAL,
        log_shipped: Callable[[str], None] = lambda _: None,
        archive: Callable[[str, str, Path], None] = no_archive,
        seeds: Seeds = no_seeds,
        metrics: MetricBuffer | None = None,
        notebook_token: Token = lambda start: start,
    ) -> None:
        """`call` acts as the platform's own user; `client_environment(region)` is given to jobs and endpoints,
        with `credentials(event stream)` of their own.

        `routing` is told where the instances of endpoints are, `gates` by what those with a network of their own reach
        this server; `log_shipped(event stream)` is called when a job's log has new lines; `archive(repository's id,
        commit, target)` writes the tree of a commit as a ZIP archive; `seeds(template, seed)` is the seed code of a
        project template, as one; `notebook_token(start)` is the secret that a notebook instance is opened with;
        what training jobs measure goes to `metrics`.
        """

        def shipped(stream: str) -> None:
            log_shipped(stream)
            self._builds.log_shipped(stream)

        self._logs = LogShipper(
            database=database, runtime=runtime, now=now, shipped=shipped, measured=job_metrics(metrics)
        )
        self._tidier = Tidier()
        available = total(settings)
        capacity = Capacity(available)
        environments: dict[str, Mapping[str, str]] = {}  # they stay the same as long as this server runs

        def environment(region: str, stream: str) -> Mapping[str, str]:
            if region not in environments:
                environments[region] = {**PATIENT, **client_environment(region)}
            return {**environments[region], **credentials(stream)}

        self._jobs = Jobs(
            database=database,
            events=events,
            runtime=runtime,
            objects=objects,
            images=images,
            capacity=capacity,
            logs=self._logs,
            containers=Containers(
                objects=objects, client_environment=environment, total=available, hosts=settings.cache / "hosts"
            ),
            tidier=self._tidier,
            folder=settings.jobs,
            now=now,
            grace=grace,
            mirror_interval=mirror_interval,
        )
        self._hosting = Hosting(
            database=database,
            events=events,
            runtime=runtime,
            objects=objects,
            images=images,
            capacity=capacity,
            logs=self._logs,
            tidier=self._tidier,
            folder=settings.jobs,
            client_environment=environment,
            routing=routing or NoRouting(),
            gates=gates or NoGates(),
            now=now,
            ping_interval=ping_interval,
            metrics=metrics,
        )
        self._builds = Builds(
            database=database,
            events=events,
            runtime=runtime,
            images=images,
            objects=objects,
            sources=Sources(objects=objects, call=call, archive=archive),
            logs=self._logs,
            tidier=self._tidier,
            folder=settings.jobs,
            client_environment=environment,
            desk=DockerDesk(images=images, settings=settings, call=call),
            total=available,
            now=now,
        )
        executions = Executions(database=database, events=events, objects=objects, call=call, now=now)
        tools = Tools(
            call=call,
            objects=objects,
            now=now,
            archive=archive,
            remotes=Remotes(settings.remotes, settings.cache / "remotes"),
        )
        codepipelines = CodePipelines(events=events, actions=actions(tools), objects=objects)
        deliveries = Deliveries(
            history=history,
            targets=Targets(call=call, destinations=ApiDestinations(database=database, now=now)),
            now=now,
        )
        schedules = Schedules(history=history, events=events, now=now)
        stacks = Stacks(database=database, call=call, now=now, read=objects.read)
        projects = Projects(objects=objects, call=call, seeds=seeds, now=now)
        notebooks = Notebooks(
            database=database,
            runtime=runtime,
            images=images,
            logs=self._logs,
            tidier=self._tidier,
            folder=settings.notebooks,
            host=settings.notebook_host,
            client_environment=environment,
            token=notebook_token,
            total=available,
            now=now,
        )
        self.worker = Worker(
            database=database,
            history=history,
            drivers=[
                *(self._jobs, self._hosting, self._builds, executions, codepipelines, deliveries, schedules, stacks),
                *(projects, notebooks),
            ],
            now=now,
        )

    def start(self) -> None:
        """Take over what is open, and go on."""
        leftovers, attempts = self._jobs.folders(), self._hosting.folders()
        builds = self._builds.folders()
        open_streams = self.worker.start()
        self._jobs.sweep(leftovers, open_streams)
        self._builds.sweep(builds, open_streams)
        self._hosting.sweep(attempts)

    def close(self) -> None:
        """Take up nothing more. Running jobs and endpoints go on, and are adopted by the next start."""
        self.worker.close()
        self._hosting.close()
        self._builds.close()
        self._logs.close()
        self._tidier.close()


def total(settings: Settings) -> Share:
    """What jobs may use together."""
    here = machine()
    return Share(settings.cpus or here.cpus, int(settings.memory * GIB) or here.memory)
