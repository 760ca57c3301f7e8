"""Instances of endpoints, and notebooks, that run on this machine while no server does."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from modelwright.config import Settings
from modelwright.runtimes.base import Handle, Running
from modelwright.runtimes.process import ProcessRuntime

GRACE = 10.0
ENDPOINTS = "endpoint."
"""Of the names of their containers: `endpoint.NAME.TIME.INSTANCE.ATTEMPT`."""
NOTEBOOKS = "notebook-instance."


def left_running(settings: Settings, prefix: str = ENDPOINTS) -> list[Handle]:
    """Their containers."""
    runtime = ProcessRuntime(settings)
    found = [Handle(runtime.name, folder.parent.name) for folder in sorted(settings.jobs.glob(f"{prefix}*/started"))]
    return [handle for handle in found if isinstance(runtime.poll(handle), Running)]


def by_endpoint(containers: Sequence[Handle]) -> Mapping[str, int]:
    """How many each endpoint has."""
    return Counter(handle.name.split(".")[1] for handle in containers)


def stop(settings: Settings, containers: Sequence[Handle]) -> list[Handle]:
    """End them, and wait for that; those that don't end. The next server starts others in an endpoint's place."""
    runtime = ProcessRuntime(settings)
    waiting = []
    for handle in containers:
        ended = threading.Event()
        runtime.stop(handle, grace=GRACE)
        runtime.watch(handle, ended.set)
        waiting.append((handle, ended))
    return [handle for handle, ended in waiting if not ended.wait(2 * GRACE)]
