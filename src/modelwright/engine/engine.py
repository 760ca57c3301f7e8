"""The engine put together: what drives jobs, endpoints and pipeline executions on one home folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from modelwright.config import Settings
from modelwright.engine.capacity import GIB, Capacity, Share, machine
from modelwright.engine.executions import Call, Executions
from modelwright.engine.hosting import PING_INTERVAL, Hosting, NoRouting, Routing
from modelwright.engine.jobs import MIRROR_INTERVAL, Jobs
from modelwright.engine.log_shipping import LogShipper
from modelwright.engine.worker import Worker
from modelwright.images.base import Images
from modelwright.lifecycles.job import STOP_GRACE
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import Runtime
from modelwright.store.database import Database
from modelwright.store.history import History


class Engine:
    """Drives everything that has an event stream, from start() to close()."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        history: History,
        objects: ObjectStore,
        images: Images,
        runtime: Runtime,
        call: Call,
        client_environment: Callable[[str], Mapping[str, str]],
        now: Callable[[], float],
        routing: Routing | None = None,
        grace: float = STOP_GRACE,
        mirror_interval: float = MIRROR_INTERVAL,
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        """`call` acts as the platform's own user; `client_environment(region)` is given to jobs; `routing` is told
        where the instances of endpoints are."""
        capacity = Capacity(total(settings))
        self._logs = LogShipper(database=database, runtime=runtime, now=now)
        self._jobs = Jobs(
            database=database,
            runtime=runtime,
            objects=objects,
            images=images,
            capacity=capacity,
            logs=self._logs,
            folder=settings.jobs,
            client_environment=client_environment,
            now=now,
            grace=grace,
            mirror_interval=mirror_interval,
        )
        self._hosting = Hosting(
            database=database,
            runtime=runtime,
            objects=objects,
            images=images,
            capacity=capacity,
            logs=self._logs,
            folder=settings.jobs,
            client_environment=client_environment,
            routing=routing or NoRouting(),
            now=now,
            ping_interval=ping_interval,
        )
        executions = Executions(database=database, objects=objects, call=call, now=now)
        self.worker = Worker(
            database=database, history=history, drivers=[self._jobs, self._hosting, executions], now=now
        )

    def start(self) -> None:
        """Take over what is open, and go on."""
        leftovers, attempts = self._jobs.folders(), self._hosting.folders()
        opened = self.worker.start()

        def sweep() -> None:
            self._jobs.sweep(leftovers, opened)
            self._hosting.sweep(attempts)

        threading.Thread(target=sweep, name="sweep", daemon=True).start()

    def close(self) -> None:
        """Take up nothing more. Running jobs and endpoints go on, and are adopted by the next start."""
        self.worker.close()
        self._logs.close()


def total(settings: Settings) -> Share:
    """What jobs may use together."""
    here = machine()
    return Share(settings.cpus or here.cpus, int(settings.memory * GIB) or here.memory)
